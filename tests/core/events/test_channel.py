"""The channel of events: who hears what, whatever listeners do."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import pickle
import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.events import (
    Event,
    HitServed,
    Notice,
    RecordsLost,
    StoreFailed,
    StoreRecovered,
    emit,
    has_listeners,
    subscribe,
)

LOST = RecordsLost(component="tests.events", store="costs.sqlite", count=3, reason="disk full")
FAILED = StoreFailed(
    component="tests.events", store="costs.sqlite", reason="disk full", message="it failed"
)
RECOVERED = StoreRecovered(component="tests.events", store="costs.sqlite", message="it works")


def notice(message: str, **fields: Any) -> Notice:
    return Notice(component="tests.events", message=message, **fields)


def test_a_listener_hears_its_kinds_and_those_below_them() -> None:
    lost, notices, everything = list[Event](), list[Event](), list[Event]()
    with (
        subscribe(lost.append, RecordsLost, StoreRecovered),
        subscribe(notices.append, Notice),
        subscribe(everything.append),
    ):
        for event in (LOST, FAILED, RECOVERED):
            emit(event)
    emit(LOST)
    assert lost == [LOST, RECOVERED]
    assert notices == [FAILED, RECOVERED]
    assert everything == [LOST, FAILED, RECOVERED]


def test_a_listener_hears_nothing_after_its_end() -> None:
    heard: list[Event] = []
    subscription = subscribe(heard.append, RecordsLost)
    assert has_listeners(RecordsLost)
    subscription.close()
    subscription.close()
    emit(LOST)
    assert not heard
    assert not has_listeners(RecordsLost)


def test_each_subscription_of_a_listener_counts() -> None:
    heard: list[Event] = []
    with subscribe(heard.append, RecordsLost):
        with subscribe(heard.append, RecordsLost):
            emit(LOST)
        emit(LOST)
    assert len(heard) == 3


def test_a_kind_of_ones_own_is_heard() -> None:
    class Own(Event):
        pass

    heard: list[Event] = []
    with subscribe(heard.append, Own):
        emit(LOST)
        emit(Own(component="tests.events"))
    assert [type(each) for each in heard] == [Own]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, RecursionError, MemoryError])
def test_what_a_listener_raises_reaches_nobody_and_is_logged_once(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        heard.append(event)
        raise error("the words of a prompt")

    later: list[Event] = []
    with subscribe(broken, RecordsLost), subscribe(later.append, RecordsLost):
        for _ in range(3):
            emit(LOST)
    assert len(heard) == len(later) == 3, "it stays subscribed"
    (record,) = caplog.records
    assert record.name == "llm_optimizers.events"
    assert "broken" in record.getMessage()
    assert error.__name__ in record.getMessage()
    assert "prompt" not in record.getMessage()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_passed_on(error: type[BaseException]) -> None:
    def ends(_: Event) -> None:
        raise error

    with subscribe(ends, RecordsLost), pytest.raises(error):
        emit(LOST)


def test_an_event_that_a_listener_causes_is_not_given_to_it_again() -> None:
    heard: list[str] = []

    def first(event: Event) -> None:
        heard.append(f"first {type(event).__name__}")
        emit(RECOVERED if isinstance(event, RecordsLost) else LOST)

    def second(event: Event) -> None:
        heard.append(f"second {type(event).__name__}")
        emit(LOST)

    with subscribe(first), subscribe(second):
        emit(LOST)
    assert heard == [
        *("first RecordsLost", "second StoreRecovered"),
        *("second RecordsLost", "first RecordsLost"),
    ]


def test_listeners_may_come_and_go_while_an_event_is_delivered() -> None:
    heard: list[str] = []

    def first(_: Event) -> None:
        heard.append("first")
        own.close()
        other.close()
        added.append(subscribe(lambda _: heard.append("added"), RecordsLost))

    added: list[Any] = []
    own = subscribe(first, RecordsLost)
    other = subscribe(lambda _: heard.append("other"), RecordsLost)
    emit(LOST)
    assert heard == ["first"]
    emit(LOST)
    assert heard == ["first", "added"]
    for each in added:
        each.close()


def test_threads_hear_each_event_once_while_others_come_and_go() -> None:
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            with subscribe(lambda _: None, RecordsLost):
                pass

    restless = [threading.Thread(target=come_and_go) for _ in range(4)]
    with subscribe(heard.put, RecordsLost), ThreadPoolExecutor(64) as pool:
        for thread in restless:
            thread.start()
        list(pool.map(lambda _: [emit(LOST) for _ in range(50)], range(64)))
        stop.set()
        for thread in restless:
            thread.join()
    assert heard.qsize() == 64 * 50


def test_one_threads_listener_does_not_silence_another_thread() -> None:
    heard: list[str] = []
    together = threading.Barrier(2, timeout=30)

    def listener(_: Event) -> None:
        together.wait()  # both are being called
        heard.append(threading.current_thread().name)

    with subscribe(listener, RecordsLost):
        threads = [threading.Thread(target=emit, args=(LOST,), name=name) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(heard) == ["a", "b"]


def test_a_listener_that_takes_long_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with subscribe(lambda _: time.sleep(0.3), RecordsLost):
        emit(LOST)
        emit(LOST)
    (record,) = caplog.records
    assert "SimpleQueue" in record.getMessage()


def test_a_queue_takes_events_to_a_thread_that_may_wait() -> None:
    waiting: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    done: list[Event] = []

    def work() -> None:
        while (event := waiting.get()) is not None:
            done.append(event)

    worker = threading.Thread(target=work)
    worker.start()

    async def app() -> None:
        emit(LOST)

    with subscribe(waiting.put, RecordsLost):
        asyncio.run(app())
        asyncio.run(app())  # another loop
    waiting.put(None)
    worker.join()
    assert done == [LOST, LOST]


@pytest.mark.parametrize("wrong", [None, 5, "print", object()])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="`listener`"):
        subscribe(wrong, RecordsLost)


def test_an_async_function_is_refused_or_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def listener(_: Event) -> None:
        raise AssertionError("never run")

    with pytest.raises(ConfigurationError, match="not async"):
        subscribe(listener, RecordsLost)
    with subscribe(lambda event: listener(event), RecordsLost):
        emit(LOST)
    assert "async" in caplog.text


@pytest.mark.parametrize("wrong", [None, "HitServed", int, LOST])
def test_what_is_no_kind_of_event_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="`kinds`"):
        subscribe(print, wrong)


@pytest.mark.parametrize("wrong", [None, 5, "an event", object(), Event])
def test_emitting_never_raises(wrong: Any) -> None:
    heard: list[Event] = []
    with subscribe(heard.append):
        emit(wrong)
    assert not heard


def test_emitting_with_a_full_stack_raises_nothing() -> None:
    def deeper(left: int) -> None:
        emit(LOST)
        if left:
            deeper(left - 1)

    with subscribe(lambda _: None, RecordsLost), pytest.raises(RecursionError):
        deeper(sys.getrecursionlimit())
    heard: list[Event] = []
    with subscribe(heard.append, RecordsLost):
        emit(LOST)
    assert heard == [LOST], "and the channel still works"


def test_texts_are_safe_to_show_and_other_values_stay() -> None:
    event = StoreFailed(
        component="tests.events",
        store="Redis\x1b[2J",
        reason="key sk-abcdefghijklmnopqrstuvwx refused",
        message="x" * 100_000,
    )
    assert event.store == "Redis\\x1b[2J"
    assert "sk-abc" not in event.reason
    assert len(event.message) <= 2_000
    assert pickle.loads(pickle.dumps(event)) == event


def test_events_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        LOST.count = 4  # type: ignore[misc]


def test_the_log_shows_each_notice_once_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    emit(notice("50% of %s"))
    emit(notice("50% of %s", repeated=True))
    emit(LOST)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tests.events", logging.WARNING)
    assert record.getMessage() == record.msg == "50% of %s"
    assert record.filename == os.path.basename(__file__)  # noqa: PTH119 - where it was emitted


def test_a_log_handler_that_fails_or_emits_costs_nothing() -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            calls.append(record.getMessage())
            emit(notice("from the handler"))
            raise OSError("disk full")

    calls: list[str] = []
    log, handler = logging.getLogger("tests.events"), Handler()
    log.addHandler(handler)
    try:
        emit(notice("one"))
        emit(notice("two"))
    finally:
        log.removeHandler(handler)
    assert calls == ["one", "two"]


def _in_child(found: Any) -> None:
    emit(LOST)
    found.put(len(_heard))


_heard: list[Event] = []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("holding", [False, True], ids=["idle", "while-a-listener-runs"])
def test_a_forked_child_keeps_the_listeners(holding: bool) -> None:
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    started, gate = threading.Event(), threading.Event()

    def slow(_: Event) -> None:
        started.set()
        assert gate.wait(30)

    _heard.clear()
    thread = threading.Thread(target=emit, args=(RECOVERED,))
    with subscribe(_heard.append, RecordsLost), subscribe(slow, StoreRecovered):
        if holding:
            thread.start()
            assert started.wait(30)
        child = context.Process(target=_in_child, args=(found,))
        child.start()
        assert found.get() == 1
        child.join()
        gate.set()
        if holding:
            thread.join()
    assert not _heard, "the parent hears its own"


def test_nobody_listens_to_hits_by_default() -> None:
    assert not has_listeners(HitServed)
