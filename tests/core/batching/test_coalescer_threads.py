"""A coalescer's threads: they end with their work, and no failure of one makes anybody wait."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from llm_optimizers.batching.coalescing import Coalescer, GroupLimits
from llm_optimizers.batching.coalescing.threads import CallThreads
from llm_optimizers.errors import ConfigurationError, RefusedError
from support.waiting import eventually

WAIT = 20.0


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def names() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("coalescer")]


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the threads that the system does not start."""
    refused: set[str] = set()
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if thread.name in refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    return refused


def test_no_thread_is_left_after_close() -> None:
    coalescer = Coalescer(doubled, limits=GroupLimits(max_delay=0.001))
    assert coalescer.call(1) == 2
    coalescer.close()
    assert not names()


def test_threads_end_when_they_have_no_work() -> None:
    coalescer = Coalescer(doubled, limits=GroupLimits(max_delay=0.001))
    assert coalescer.call(1) == 2
    eventually(lambda: not names())
    assert coalescer.call(2) == 4
    coalescer.close()


@pytest.mark.parametrize("name", ["coalescer", "coalescer-timer"])
def test_a_thread_that_cannot_be_started_makes_nobody_wait(no_threads: set[str], name: str) -> None:
    coalescer = Coalescer(doubled, limits=GroupLimits(max_delay=0.001))
    no_threads.add(name)
    if name == "coalescer":
        with pytest.raises(RefusedError, match="can't start new thread"):
            coalescer.call(1, timeout=WAIT)
    else:
        assert (
            coalescer.call(1, timeout=WAIT) == 2
        )  # sent at once, since nothing could send it later
    no_threads.clear()
    assert coalescer.call(2, timeout=WAIT) == 4
    coalescer.close(WAIT)


def test_work_is_done_once_though_no_second_thread_can_be_started(no_threads: set[str]) -> None:
    threads, begun, go_on = CallThreads("call"), threading.Event(), threading.Event()
    done: list[int] = []

    def first() -> None:
        begun.set()
        go_on.wait(WAIT)
        done.append(1)

    threads.submit(first)
    assert begun.wait(WAIT)
    no_threads.add("call")
    threads.submit(lambda: done.append(2))  # for the thread that is at work
    go_on.set()
    eventually(lambda: done == [1, 2])
    threads.close(wait=True)
    with pytest.raises(RuntimeError):
        threads.submit(lambda: done.append(3))
    assert done == [1, 2]


@pytest.mark.parametrize("answers", [None, 5])
def test_what_is_no_list_of_answers_is_an_error_for_the_callers(answers: Any) -> None:
    coalescer = Coalescer(lambda _: answers, limits=GroupLimits(max_delay=0.001))
    with pytest.raises(TypeError):
        coalescer.call(1, timeout=WAIT)
    coalescer.close(WAIT)


def test_a_check_of_errors_that_fails_leaves_the_error_to_the_callers() -> None:
    def failing(_: Sequence[int]) -> list[int]:
        raise OverflowError("of the call")

    def isolate(error: Exception) -> bool:
        raise AttributeError(str(error))

    coalescer: Coalescer[int, int] = Coalescer(
        failing, limits=GroupLimits(max_size=2, max_delay=WAIT), isolate=isolate
    )
    futures = [coalescer.submit(item) for item in (1, 2)]
    for future in futures:
        with pytest.raises(OverflowError, match="of the call"):
            future.result(WAIT)
    coalescer.close(WAIT)


def test_a_key_that_cannot_be_hashed_is_refused_and_nobody_waits_for_it() -> None:
    coalescer = Coalescer(doubled, limits=GroupLimits(max_delay=0.001), max_pending=1)
    with pytest.raises(ConfigurationError, match="key"):
        coalescer.call(1, key=["a"])
    assert coalescer.call(1, timeout=WAIT) == 2
    coalescer.close(WAIT)


def test_a_call_that_hangs_does_not_keep_the_interpreter_alive() -> None:
    script = (
        "import threading\n"
        "from llm_optimizers.batching.coalescing import Coalescer\n"
        "hanging = Coalescer(lambda items: threading.Event().wait())\n"
        "try:\n"
        "    hanging.call(1, timeout=0.2)\n"
        "except TimeoutError:\n"
        "    print('left')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("left\n", "")
