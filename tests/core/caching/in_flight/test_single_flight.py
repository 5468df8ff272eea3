"""Single flight: identical concurrent calls are made once."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_optimizers.caching import ResponseCache
from llm_optimizers.caching.in_flight.single_flight import InFlightCall, SingleFlight
from llm_optimizers.types import ChatRequest
from support.waiting import aeventually, collecting_nothing, eventually

REQUEST = ChatRequest.from_openai({"messages": [{"role": "user", "content": "What is a cache?"}]})


class Gate:
    """A slow call: counts its callers, and returns once `open` is set."""

    def __init__(self) -> None:
        self.calls = 0
        self.open = threading.Event()
        self.entered = threading.Event()
        self._lock = threading.Lock()

    def _enter(self) -> int:
        with self._lock:
            self.calls += 1
            self.entered.set()
            return self.calls

    def call(self) -> str:
        number = self._enter()
        assert self.open.wait(10)
        return f"answer {number}"

    async def acall(self) -> str:
        number = self._enter()
        await aeventually(self.open.is_set)
        return f"answer {number}"


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[InFlightCall[str]]:
    """Every call in flight that callers have joined, in any cache."""
    calls: list[InFlightCall[str]] = []
    join = SingleFlight.join

    def joining(single_flight: SingleFlight[str], key: str) -> InFlightCall[str]:
        calls.append(join(single_flight, key))
        return calls[-1]

    monkeypatch.setattr(SingleFlight, "join", joining)
    return calls


async def run_ready_tasks() -> None:
    """Let every ready task run: with a store in memory, the waiters then wait for the leader."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_five_threads_make_one_call(joined: list[InFlightCall[str]]) -> None:
    cache, gate = ResponseCache[str](), Gate()
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(cache.answer, REQUEST, gate.call) for _ in range(5)]
        eventually(lambda: len(joined) == 5)
        gate.open.set()
        values = [answer.result(10) for answer in answers]
    assert gate.calls == 1
    assert {answer.value for answer in values} == {"answer 1"}
    assert sum(answer.hit is None for answer in values) == 1
    assert cache.stats.misses == 1
    assert sum(cache.stats.hits.values()) == 4


async def test_five_tasks_make_one_call() -> None:
    cache, gate = ResponseCache[str](), Gate()
    tasks = [asyncio.create_task(cache.aanswer(REQUEST, gate.acall)) for _ in range(5)]
    await run_ready_tasks()
    gate.open.set()
    answers = await asyncio.gather(*tasks)
    assert gate.calls == 1
    tiers = sorted("" if a.hit is None else a.hit.tier for a in answers)
    assert tiers == ["", "shared", "shared", "shared", "shared"]
    assert cache.stats.hit_rate == 0.8


def test_threads_and_event_loops_make_one_call(joined: list[InFlightCall[str]]) -> None:
    cache, gate = ResponseCache[str](), Gate()

    async def four() -> list[str]:
        answers = await asyncio.gather(*(cache.aanswer(REQUEST, gate.acall) for _ in range(4)))
        return [answer.value for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        loops = [pool.submit(asyncio.run, four()) for _ in range(4)]
        threads = [pool.submit(cache.answer, REQUEST, gate.call) for _ in range(4)]
        eventually(lambda: len(joined) == 20)
        gate.open.set()
        values = [v for loop in loops for v in loop.result(10)]
        values += [thread.result(10).value for thread in threads]
    assert values == ["answer 1"] * 20
    assert gate.calls == 1


def test_an_error_reaches_the_leader_only(joined: list[InFlightCall[str]]) -> None:
    cache: ResponseCache[str] = ResponseCache()
    started, release = threading.Event(), threading.Event()
    calls = []

    def fail() -> str:
        calls.append("leader")
        started.set()
        release.wait(10)
        raise RuntimeError("the leader's")

    def succeed() -> str:
        calls.append("waiter")
        return "mine"

    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(cache.answer, REQUEST, fail)
        started.wait(10)
        waiters = [pool.submit(cache.answer, REQUEST, succeed) for _ in range(3)]
        eventually(lambda: len(joined) == 4)
        release.set()
        with pytest.raises(RuntimeError, match="the leader's"):
            leader.result(10)
        assert [waiter.result(10).value for waiter in waiters] == ["mine"] * 3
    assert calls.count("waiter") == 3


async def test_a_waiter_makes_its_own_call_after_the_leader_was_cancelled() -> None:
    cache, gate = ResponseCache[str](), Gate()
    leader = asyncio.create_task(cache.aanswer(REQUEST, gate.acall))
    await aeventually(gate.entered.is_set)
    waiter = asyncio.create_task(cache.aanswer(REQUEST, gate.acall))
    await run_ready_tasks()
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    gate.open.set()
    assert (await waiter).value == "answer 2"


async def test_a_cancelled_leader_and_its_locals_are_freed() -> None:
    """Also without the garbage collector: a leader may hold prompts and run trees."""

    class Held:
        pass

    alive: list[weakref.ref[Held]] = []

    async def call() -> str:
        held = Held()
        alive.append(weakref.ref(held))
        await asyncio.sleep(60)
        return str(held)

    cache = ResponseCache[str]()
    with collecting_nothing():
        leader = asyncio.create_task(cache.aanswer(REQUEST, call))
        await aeventually(lambda: bool(alive))
        leader.cancel()
        await asyncio.wait([leader])
        del leader
        await asyncio.sleep(0)
        assert alive[0]() is None


async def test_a_cancelled_waiter_does_not_affect_others() -> None:
    cache, gate = ResponseCache[str](), Gate()
    tasks = [asyncio.create_task(cache.aanswer(REQUEST, gate.acall)) for _ in range(3)]
    await run_ready_tasks()
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    gate.open.set()
    assert (await tasks[0]).value == (await tasks[2]).value == "answer 1"
    assert gate.calls == 1


async def test_only_a_wait_that_took_too_long_counts_as_timed_out() -> None:
    single_flight: SingleFlight[str] = SingleFlight()
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(single_flight.join, "k").result(10)
        slow, slow_task, other = (single_flight.join("k") for _ in range(3))
        assert slow.result(0) is None
        assert await slow_task.aresult(0) is None
        single_flight.complete("k", leader, None)
        assert other.result(1) is None
    assert [call.timed_out for call in (slow, slow_task, other)] == [True, True, False]


def test_the_calls_that_ended_are_counted_with_or_without_an_answer() -> None:
    single_flight: SingleFlight[str] = SingleFlight()
    assert single_flight.completed == 0
    for key, answer in (("a", "answer"), ("b", None)):
        single_flight.complete(key, single_flight.join(key), answer)
    assert single_flight.completed == 2


def test_a_waiter_that_times_out_makes_its_own_call_and_the_next_caller_does_not_wait() -> None:
    cache: ResponseCache[str] = ResponseCache(wait_timeout=0.05)
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(cache.answer, REQUEST, gate.call)
        gate.entered.wait(10)
        assert cache.answer(REQUEST, lambda: "mine").value == "mine"
        gate.open.set()
        assert stuck.result(10).value == "answer 1"
    single_flight: SingleFlight[str] = SingleFlight()
    single_flight.join("k")
    waiter = single_flight.join("k")
    assert waiter.result(0) is None
    single_flight.forget("k", waiter)
    assert single_flight.join("k").leading


async def test_a_task_that_times_out_makes_its_own_call() -> None:
    cache: ResponseCache[str] = ResponseCache(wait_timeout=0.05)
    gate = Gate()
    stuck = asyncio.create_task(cache.aanswer(REQUEST, gate.acall))
    await aeventually(gate.entered.is_set)

    async def mine() -> str:
        return "mine"

    assert (await cache.aanswer(REQUEST, mine)).value == "mine"
    gate.open.set()
    await stuck


def test_waiting_without_a_timeout_is_allowed(joined: list[InFlightCall[str]]) -> None:
    cache: ResponseCache[str] = ResponseCache(wait_timeout=float("inf"))
    gate = Gate()
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(cache.answer, REQUEST, gate.call) for _ in range(2)]
        eventually(lambda: len(joined) == 2)
        gate.open.set()
        assert [answer.result(10).value for answer in answers] == ["answer 1"] * 2


def test_a_call_that_makes_the_same_request_does_not_wait_for_itself() -> None:
    cache: ResponseCache[str] = ResponseCache()
    inner = cache.answer(REQUEST, lambda: cache.answer(REQUEST, lambda: "inner").value + " outer")
    assert inner.value == "inner outer"


async def test_a_task_that_makes_the_same_request_does_not_wait_for_itself() -> None:
    cache: ResponseCache[str] = ResponseCache()

    async def inner() -> str:
        return "inner"

    async def outer() -> str:
        return (await cache.aanswer(REQUEST, inner)).value + " outer"

    answer = await asyncio.wait_for(cache.aanswer(REQUEST, outer), 5)
    assert answer.value == "inner outer"


def test_a_half_read_stream_does_not_block_its_reader() -> None:
    cache: ResponseCache[list[str]] = ResponseCache()

    def stream() -> list[str]:
        return list(
            cache.stream(REQUEST, lambda: iter(["a", "b"]), list, lambda hit: iter(hit.value))
        )

    chunks = cache.stream(REQUEST, lambda: iter(["a", "b"]), list, lambda hit: iter(hit.value))
    assert next(iter(chunks)) == "a"
    assert stream() == ["a", "b"]


def test_a_waiters_closed_loop_does_not_fail_the_leader() -> None:
    single_flight: SingleFlight[str] = SingleFlight()
    leader, waiter = single_flight.join("k"), single_flight.join("k")
    loop = asyncio.new_event_loop()
    task = loop.create_task(waiter.aresult(60))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    single_flight.complete("k", leader, "answer")
    assert single_flight.join("k").leading


def test_an_uncacheable_answer_is_not_shared(joined: list[InFlightCall[str]]) -> None:
    cache: ResponseCache[str] = ResponseCache()
    gate = Gate()

    def empty() -> str:
        gate.call()
        return ""

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.answer, REQUEST, empty)
        gate.entered.wait(10)
        second = pool.submit(cache.answer, REQUEST, lambda: "full")
        eventually(lambda: len(joined) == 2)
        gate.open.set()
        assert first.result(10).value == ""
        assert second.result(10).value == "full"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_calls() -> None:
    single_flight: SingleFlight[str] = SingleFlight()
    single_flight.join("k")
    children: list[int] = []

    class Forking(str):
        """A key that forks during its lookup, while the lock is held."""

        def __hash__(self) -> int:
            if not children:
                children.append(os.fork())
                if children == [0]:
                    os._exit(0 if single_flight.join("k").leading else 1)
            return super().__hash__()

    single_flight.join(Forking("other"))
    _, status = os.waitpid(children[0], 0)
    assert status == 0
