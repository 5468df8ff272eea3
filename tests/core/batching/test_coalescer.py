"""Coalescer: the known ways in which coalescing breaks, each with a test that it does not."""

from __future__ import annotations

import asyncio
import contextvars
import json
import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import httpx
import openai
import pytest

from llm_optimizers.batching.coalescing import Coalescer, GroupLimits, is_item_error
from llm_optimizers.caching import ResponseCache
from llm_optimizers.errors import ConfigurationError, DeadlineError, ItemError, RefusedError
from llm_optimizers.tenancy import enclosing_tenant, tenant
from llm_optimizers.types import ChatRequest

WAIT = 20.0
FORK: Any = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
user = contextvars.ContextVar("user", default="none")


class Upstream:
    """Doubles numbers and records each call; can be blocked, and fails for bad items."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.contexts: list[str] = []
        self.bad: set[int] = set()
        self.error: Exception = ValueError("bad item")
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.calls.append(list(items))
        self.contexts.append(user.get())
        self.entered.release()
        assert self.free.wait(WAIT)
        if self.bad & set(items):
            raise self.error
        return [item * 2 for item in items]


@contextmanager
def coalescing(upstream: Upstream, **limits: float) -> Iterator[Coalescer[int, int]]:
    limits.setdefault("max_delay", WAIT)
    coalescer: Coalescer[int, int] = Coalescer(upstream, limits=GroupLimits(**limits))  # type: ignore[arg-type]
    try:
        yield coalescer
    finally:
        upstream.free.set()
        coalescer.close(WAIT)


def in_threads(work: Sequence[Callable[[], object]]) -> list[object]:
    with ThreadPoolExecutor(len(work)) as pool:
        return [future.result(WAIT) for future in [pool.submit(task) for task in work]]


def test_callers_of_four_event_loops_and_a_thread_share_one_call() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=5) as coalescer:
        loops = [lambda n=n: asyncio.run(coalescer.acall(n)) for n in range(4)]
        assert in_threads([*loops, lambda: coalescer.call(4)]) == [0, 2, 4, 6, 8]
    assert [sorted(call) for call in upstream.calls] == [[0, 1, 2, 3, 4]]


async def test_a_cancelled_caller_is_not_sent_and_the_others_are_answered() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=3) as coalescer:
        first = asyncio.create_task(coalescer.acall(2))
        cancelled = asyncio.create_task(coalescer.acall(1))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        rest = [asyncio.create_task(coalescer.acall(n)) for n in (3, 4)]
        assert await asyncio.gather(first, *rest) == [4, 6, 8]
        assert cancelled.cancelled()
    assert upstream.calls == [[2, 3, 4]]


async def test_cancelling_the_caller_that_filled_the_group_affects_no_other() -> None:
    upstream = Upstream()
    upstream.free.clear()
    with coalescing(upstream, max_size=3) as coalescer:
        others = [asyncio.create_task(coalescer.acall(n)) for n in (1, 2)]
        await asyncio.sleep(0)
        trigger = asyncio.create_task(coalescer.acall(3))
        await asyncio.to_thread(upstream.entered.acquire)
        trigger.cancel()
        await asyncio.wait([trigger])
        upstream.free.set()
        assert await asyncio.gather(*others) == [2, 4]
        assert trigger.cancelled()
    assert upstream.calls == [[1, 2, 3]]


def test_no_callers_context_variables_reach_the_call() -> None:
    upstream = Upstream()

    def ask(name: str, item: int) -> int:
        user.set(name)
        return coalescer.call(item)

    with coalescing(upstream, max_size=2) as coalescer:
        in_threads([lambda: ask("ann", 1), lambda: ask("bob", 2)])
    assert upstream.contexts == ["none"]


def test_callers_of_two_tenants_share_no_call_and_each_call_has_its_tenant() -> None:
    seen: list[tuple[str, list[int]]] = []

    def call(items: Sequence[int]) -> list[int]:
        seen.append((enclosing_tenant(), sorted(items)))
        return list(items)

    def ask(name: str, item: int) -> int:
        with tenant(name) if name else nullcontext():
            return coalescer.call(item, key="one group")

    coalescer = Coalescer(call, limits=GroupLimits(max_size=2, max_delay=WAIT))
    owners = ("a", "b", "", "a", "b", "")
    in_threads([partial(ask, name, number) for number, name in enumerate(owners)])
    coalescer.close(WAIT)
    assert sorted(seen) == [("", [2, 5]), ("a", [0, 3]), ("b", [1, 4])]


def test_a_cache_inside_the_call_serves_each_tenant_its_own_answers() -> None:
    """Also where a namespace function names the tenant, which knows no callers there."""
    request = ChatRequest.from_openai({"messages": [{"role": "user", "content": "My basket?"}]})
    for namespace in (None, lambda: "everyone"):
        cache: ResponseCache[str] = ResponseCache(namespace=namespace)
        for name in ("ann", "bob"):

            def call(
                items: Sequence[int], name: str = name, cache: ResponseCache[str] = cache
            ) -> list[str]:
                return [cache.answer(request, lambda: f"for {name}").value for _ in items]

            coalescer = Coalescer(call, limits=GroupLimits(max_size=1))
            with tenant(name):
                assert coalescer.call(1) == f"for {name}"
            coalescer.close(WAIT)
        with tenant("ann"):
            found = cache.lookup(request)
        assert (None if found is None else found.value) == (None if namespace else "for ann")
        cache.clear("ann")
        assert len(cache) == (0 if namespace else 1)


def test_a_second_event_loop_works_after_the_first_is_closed() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=1) as coalescer:
        assert [asyncio.run(coalescer.acall(n)) for n in (1, 2)] == [2, 4]


def test_an_event_loop_closed_during_the_call_affects_no_other_caller() -> None:
    upstream = Upstream()
    upstream.free.clear()

    async def leave_early() -> None:
        asyncio.create_task(coalescer.acall(1))  # noqa: RUF006 - abandoned on purpose
        await asyncio.sleep(0)

    with coalescing(upstream, max_size=2) as coalescer:
        asyncio.run(leave_early())
        staying = coalescer.submit(2)
        follower = coalescer.submit(3)
        upstream.free.set()
        assert (staying.result(WAIT), follower.result(WAIT)) == (4, 6)


def test_one_bad_item_does_not_fail_the_others() -> None:
    upstream = Upstream()
    upstream.bad = {2}
    with coalescing(upstream, max_size=3) as coalescer:
        futures = [coalescer.submit(n) for n in (1, 2, 3)]
        assert futures[0].result(WAIT) == 2
        assert futures[2].result(WAIT) == 6
        with pytest.raises(ValueError, match="bad item"):
            futures[1].result(WAIT)
    assert sorted(map(len, upstream.calls)) == [1, 1, 1, 3]


def test_an_outage_is_raised_to_all_callers_and_not_retried() -> None:
    upstream = Upstream()
    upstream.bad, upstream.error = {2}, ConnectionError("down")
    with coalescing(upstream, max_size=3) as coalescer:
        futures = [coalescer.submit(n) for n in (1, 2, 3)]
        errors = [future.exception(WAIT) for future in futures]
    assert [str(error) for error in errors] == ["down"] * 3
    assert len({id(error) for error in errors}) == 3, "each caller gets a separate error"
    assert upstream.calls == [[1, 2, 3]]


def test_only_errors_of_an_item_lead_to_separate_calls() -> None:
    def http(status: int) -> Exception:
        error = RuntimeError("http")
        error.status_code = status  # type: ignore[attr-defined]
        return error

    assert is_item_error(http(400))
    assert is_item_error(KeyError("x"))
    assert not is_item_error(http(429))
    assert not is_item_error(http(401))
    assert not is_item_error(TimeoutError())
    assert not is_item_error(httpx.ReadError("m"))
    used_up = http(429)
    used_up.code = "insufficient_quota"  # type: ignore[attr-defined]
    assert not is_item_error(used_up)
    assert is_item_error(json.JSONDecodeError("m", "", 0)), "one item's answer may be no JSON"
    request = httpx.Request("POST", "https://provider.test")
    assert not is_item_error(openai.APIConnectionError(request=request))
    refused = httpx.Response(422, request=request)
    assert is_item_error(httpx.HTTPStatusError("m", request=request, response=refused))


def test_an_exception_instead_of_an_answer_and_a_missing_answer_fail_only_that_item() -> None:
    def answer(items: Sequence[int]) -> list[int | Exception]:
        return [1, KeyError("mine")]

    coalescer: Coalescer[int, int] = Coalescer(
        answer, limits=GroupLimits(max_size=3, max_delay=WAIT)
    )
    with coalescer:
        futures = [coalescer.submit(n) for n in range(3)]
        assert futures[0].result(WAIT) == 1
        with pytest.raises(KeyError, match="mine"):
            futures[1].result(WAIT)
        with pytest.raises(ItemError, match="2 of 3"):
            futures[2].result(WAIT)


def test_a_call_that_raises_system_exit_leaves_no_caller_waiting() -> None:
    def stop(items: Sequence[int]) -> list[int | Exception]:
        raise SystemExit

    coalescer: Coalescer[int, int] = Coalescer(stop, limits=GroupLimits(max_size=1))
    with coalescer, pytest.raises(ItemError, match="SystemExit"):
        coalescer.call(1, timeout=WAIT)


def test_a_group_that_is_not_full_is_sent_after_the_delay() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=99, max_delay=0.01) as coalescer:
        assert coalescer.call(1, timeout=WAIT) == 2
        time.sleep(0.02)
        assert coalescer.call(2, timeout=WAIT) == 4


def test_a_deadline_sends_the_group_before_its_delay() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=99, max_delay=3600) as coalescer:
        first = coalescer.submit(1)
        coalescer.submit(2, timeout=0.05)
        assert first.result(WAIT) == 2
    assert upstream.calls == [[1, 2]]


def test_groups_fill_up_while_all_calls_are_busy() -> None:
    upstream = Upstream()
    upstream.free.clear()
    coalescer: Coalescer[int, int] = Coalescer(
        upstream, limits=GroupLimits(max_size=50, max_delay=0), max_calls=1
    )
    first = coalescer.submit(0)
    upstream.entered.acquire()
    rest = [coalescer.submit(n) for n in range(1, 31)]
    upstream.free.set()
    assert [future.result(WAIT) for future in [first, *rest]] == [n * 2 for n in range(31)]
    coalescer.close(WAIT)
    assert upstream.calls == [[0], list(range(1, 31))]


def test_groups_have_one_key_and_keep_the_token_limit() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=9, max_tokens=10) as coalescer:
        futures = [coalescer.submit(n, key=n % 2, tokens=5) for n in range(4)]
        wait(futures, WAIT)
    assert sorted(upstream.calls) == [[0, 2], [1, 3]]


def test_a_timeout_says_whether_the_item_was_sent_and_billed() -> None:
    upstream = Upstream()
    upstream.free.clear()
    coalescer: Coalescer[int, int] = Coalescer(
        upstream, limits=GroupLimits(max_size=1), max_calls=1
    )
    with pytest.raises(TimeoutError, match="is billed") as billed:
        coalescer.call(1, timeout=0.01)
    assert not isinstance(billed.value, DeadlineError)
    with pytest.raises(DeadlineError, match="nothing was billed"):
        coalescer.call(2, timeout=0.01)
    with pytest.raises(DeadlineError, match="nothing was billed"):
        asyncio.run(coalescer.acall(3, timeout=0.01))
    upstream.free.set()
    coalescer.close(WAIT)
    assert upstream.calls == [[1]]


async def test_a_timeout_error_of_the_call_is_raised_unchanged() -> None:
    def slow(items: Sequence[int]) -> list[int | Exception]:
        raise TimeoutError("from the provider")

    coalescer: Coalescer[int, int] = Coalescer(slow, limits=GroupLimits(max_size=1))
    with pytest.raises(TimeoutError, match="from the provider"):
        await coalescer.acall(1, timeout=WAIT)
    with pytest.raises(TimeoutError, match="from the provider"):
        coalescer.call(1, timeout=WAIT)
    coalescer.close(WAIT)


def test_callers_beyond_the_limit_wait_for_a_slot() -> None:
    upstream = Upstream()
    upstream.free.clear()
    coalescer: Coalescer[int, int] = Coalescer(
        upstream, limits=GroupLimits(max_size=1), max_pending=2
    )
    held = [coalescer.submit(n) for n in (1, 2)]
    with pytest.raises(DeadlineError, match="slot"):
        coalescer.submit(3, timeout=0.01)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(coalescer.call, 4)
        upstream.free.set()
        assert waiting.result(WAIT) == 8
    wait(held, WAIT)
    coalescer.close(WAIT)


async def test_cancelling_a_caller_that_waits_for_a_slot_loses_no_slot() -> None:
    upstream = Upstream()
    upstream.free.clear()
    coalescer: Coalescer[int, int] = Coalescer(
        upstream, limits=GroupLimits(max_size=1), max_pending=1
    )
    held = coalescer.submit(1)
    waiters = [asyncio.create_task(coalescer.acall(n)) for n in range(2, 6)]
    await asyncio.sleep(0)
    for waiter in waiters[:3]:
        waiter.cancel()
    upstream.free.set()
    assert await waiters[3] == 10
    assert held.result(WAIT) == 2
    assert await coalescer.acall(7) == 14
    await asyncio.to_thread(coalescer.close, WAIT)


def test_close_answers_waiting_callers_and_refuses_later_ones() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=99) as coalescer:
        waiting = [coalescer.submit(n) for n in (1, 2)]
        coalescer.close(WAIT)
        assert [future.result(0) for future in waiting] == [2, 4]
        with pytest.raises(RefusedError, match="closed"):
            coalescer.submit(3)
        with pytest.raises(RefusedError, match="closed"):
            asyncio.run(coalescer.acall(3))


def test_a_close_that_times_out_raises_and_leaves_no_caller_waiting() -> None:
    upstream = Upstream()
    upstream.free.clear()
    coalescer: Coalescer[int, int] = Coalescer(
        upstream, limits=GroupLimits(max_size=1), max_calls=1, max_pending=2
    )
    running, queued = coalescer.submit(1), coalescer.submit(2)
    upstream.entered.acquire()
    with ThreadPoolExecutor(1) as pool:
        outside = pool.submit(coalescer.call, 3)
        with pytest.raises(TimeoutError, match="still running"):
            coalescer.close(0.05)
        assert isinstance(outside.exception(WAIT), RefusedError)
    assert isinstance(queued.exception(WAIT), RefusedError)
    upstream.free.set()
    assert running.result(WAIT) == 2


def test_flush_sends_waiting_groups() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=99) as coalescer:
        future: Future[int] = coalescer.submit(1)
        coalescer.flush()
        assert future.result(WAIT) == 2


@pytest.mark.parametrize("bad", [{"max_calls": 0}, {"max_pending": 0}])
def test_invalid_settings_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        Coalescer(lambda items: list(items), **bad)


async def test_an_outcome_is_reported_after_its_caller_was_cancelled() -> None:
    upstream = Upstream()
    outcomes: list[object] = []
    came = threading.Event()
    upstream.free.clear()
    with coalescing(upstream, max_size=2) as coalescer:
        shared = coalescer.shared(1)
        cancelled = asyncio.create_task(shared.aresult())
        other = asyncio.create_task(coalescer.acall(2))
        await asyncio.to_thread(upstream.entered.acquire)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        shared.when_done(lambda outcome: (outcomes.append(outcome), came.set()))
        assert not outcomes
        upstream.free.set()
        assert await other == 4
        assert await asyncio.to_thread(came.wait, WAIT)
        shared.when_done(outcomes.append)
    assert cancelled.cancelled()
    assert outcomes == [2, 2]


async def test_no_outcome_is_reported_for_a_call_that_was_not_made() -> None:
    upstream = Upstream()
    outcomes: list[object] = []
    with coalescing(upstream) as coalescer:
        coalescer.shared(0).when_done(outcomes.append)
        shared = coalescer.shared(1)
        cancelled = asyncio.create_task(shared.aresult())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        shared.when_done(outcomes.append)
    assert (upstream.calls, outcomes) == ([], [])


def test_a_call_joins_a_group_only_when_awaited_or_submitted() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=2) as coalescer:
        idle, first, second = (coalescer.shared(n) for n in range(3))
        idle.cancel()
        assert first.submit() is first.submit()
        assert (second.result(), first.result()) == (4, 2)
    assert upstream.calls == [[1, 2]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_makes_its_own_calls() -> None:
    upstream = Upstream()
    with coalescing(upstream, max_size=1) as coalescer:
        assert coalescer.call(1) == 2  # its idle thread exists only in the parent
        answers: multiprocessing.SimpleQueue[int] = FORK.SimpleQueue()

        def ask() -> None:
            answers.put(coalescer.call(21, timeout=WAIT))

        child = FORK.Process(target=ask, daemon=True)
        with warnings.catch_warnings():  # Python 3.12 warns about forks of processes with threads
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        child.join(WAIT)
        assert child.exitcode == 0
        assert answers.get() == 42
        assert coalescer.call(3) == 6
    assert upstream.calls == [[1], [3]]


@pytest.mark.parametrize("kind", [StopIteration, CancelledError])
@pytest.mark.parametrize("whole", [True, False], ids=["the call", "an item"])
async def test_an_error_that_no_future_holds_reaches_its_caller(
    kind: type[Exception], whole: bool
) -> None:
    def call(items: Sequence[int]) -> Sequence[int | Exception]:
        if whole:
            raise kind("of the call")
        return [kind("of the item") for _ in items]

    coalescer: Coalescer[int, int] = Coalescer(call, limits=GroupLimits(max_delay=0.0))
    async with asyncio.timeout(WAIT):
        with pytest.raises(ItemError, match=kind.__name__):
            await coalescer.acall(1)
    with pytest.raises(ItemError, match=kind.__name__):
        coalescer.call(1)
    coalescer.close()
