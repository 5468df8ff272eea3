"""Four event loops and sixteen threads at once, with cancellations, failures and a close."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_optimizers.batching.coalescing import Coalescer, GroupLimits
from llm_optimizers.batching.combining.ask import (
    BilledAnswer,
    CombinedAsk,
    Question,
    QuestionOutcome,
    SharedAnswer,
)
from llm_optimizers.costs import Usage
from llm_optimizers.errors import RefusedError
from llm_optimizers.types import ChatRequest, Message

DEADLINE = 120.0
POISON = 97


class ClosingModel:
    """Squares numbers; a group with a multiple of 97 fails; every call fails once closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.sent: Counter[int] = Counter()
        self.calls = 0
        self._lock = threading.Lock()

    def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        with self._lock:
            self.calls += 1
            self.sent.update(items)
        if self.closed.is_set():
            raise ConnectionError("the model is closed")
        if any(item % POISON == 0 for item in items):
            raise ValueError("poisoned group")
        return [item * item for item in items]


def outcome_of(item: int, answer: int | BaseException) -> str:
    """Name what a caller got; fails the test for another caller's answer."""
    if isinstance(answer, asyncio.CancelledError):
        return "cancelled"
    if isinstance(answer, ConnectionError):
        return "closed"
    if isinstance(answer, ValueError) and item % POISON == 0:
        return "poisoned"
    if isinstance(answer, RefusedError):
        return "refused"
    if answer == item * item:
        return "answered"
    pytest.fail(f"caller {item} got {answer!r}")


async def ask_all(
    coalescer: Coalescer[int, int], items: Sequence[int], rng: random.Random
) -> list[str]:
    tasks = [asyncio.create_task(coalescer.acall(n, timeout=DEADLINE)) for n in items]
    for task in tasks:
        if rng.random() < 0.1:
            await asyncio.sleep(rng.random() / 500)
            task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    return [outcome_of(item, answer) for item, answer in zip(items, answers, strict=True)]


def ask_in_turn(coalescer: Coalescer[int, int], items: Sequence[int]) -> list[str]:
    outcomes = []
    for item in items:
        try:
            answer: int | BaseException = coalescer.call(item, timeout=DEADLINE)
        except Exception as error:
            answer = error
        outcomes.append(outcome_of(item, answer))
    return outcomes


@pytest.mark.parametrize("closing", ["nothing closes", "the model closes", "the coalescer closes"])
def test_every_caller_gets_its_own_answer_or_error(closing: str) -> None:
    model = ClosingModel()
    coalescer: Coalescer[int, int] = Coalescer(
        model,
        limits=GroupLimits(max_size=6, max_delay=0.005),
        max_pending=300,
        isolate=lambda error: isinstance(error, ValueError),
    )
    with ThreadPoolExecutor(20) as pool:
        jobs = [
            pool.submit(
                asyncio.run,
                ask_all(coalescer, range(n * 500 + 1, n * 500 + 501), random.Random(n)),
            )
            for n in range(4)
        ]
        jobs += [
            pool.submit(ask_in_turn, coalescer, range(5_000 + n * 60, 5_060 + n * 60))
            for n in range(16)
        ]
        if closing == "the model closes":
            jobs[-1].result(DEADLINE)
            model.closed.set()
        elif closing == "the coalescer closes":
            coalescer.close(DEADLINE)
        outcomes = Counter(outcome for job in jobs for outcome in job.result(DEADLINE))
    coalescer.close(DEADLINE)
    assert sum(outcomes.values()) == 4 * 500 + 16 * 60
    sent_too_often = [n for n, times in model.sent.items() if times > 2]
    assert not sent_too_often, "an item is sent at most once in a group and once separately"
    if closing == "nothing closes":
        assert set(outcomes) <= {"answered", "poisoned", "cancelled"}
        assert outcomes["poisoned"] >= 10
    if closing != "the coalescer closes":
        assert outcomes["refused"] == 0


def test_a_thousand_callers_make_one_call_per_group() -> None:
    model = ClosingModel()
    coalescer: Coalescer[int, int] = Coalescer(
        model, limits=GroupLimits(max_size=6, max_delay=DEADLINE)
    )

    async def ask(items: Sequence[int]) -> list[int]:
        return await asyncio.gather(*(coalescer.acall(n * POISON + 1) for n in items))

    with ThreadPoolExecutor(4) as pool:
        quarters = [range(n * 252, n * 252 + 252) for n in range(4)]
        jobs = [pool.submit(asyncio.run, ask(quarter)) for quarter in quarters]
        for job, quarter in zip(jobs, quarters, strict=True):
            assert job.result(DEADLINE) == [(n * POISON + 1) ** 2 for n in quarter]
    coalescer.close(DEADLINE)
    assert model.calls == 1_008 / 6


class UnreliableModel:
    """Answers combined prompts; omits and refuses some, sometimes returns broken JSON; bills."""

    def __init__(self) -> None:
        self.billed: list[Usage] = []
        self._lock = threading.Lock()
        self._rng = random.Random(3)

    def __call__(self, request: ChatRequest) -> BilledAnswer:
        text = request.messages[-1].text
        with self._lock:
            broken = self._rng.random() < 0.05
        if "response_format" in request.params:
            answers = [
                {"id": q["id"], "answer": f"echo {q['request']}"}
                for q in json.loads(text.split("\n\n")[1])
                if int(q["request"]) % 41
            ]
            answer = json.dumps({"answers": answers})[: 20 if broken else None]
        elif int(text) % POISON == 0:
            raise ValueError(f"no answer to {text}")
        else:
            answer = f"echo {text}"
        usage = Usage(input_tokens=len(text), output_tokens=len(answer))
        with self._lock:
            self.billed.append(usage)
        return BilledAnswer(text=answer, usage=usage)


def test_shares_of_combined_prompts_add_up_to_the_bill_despite_cancellations() -> None:
    model = UnreliableModel()
    outcomes: list[QuestionOutcome] = []
    coalescer: Coalescer[Question, SharedAnswer] = Coalescer(
        CombinedAsk(model, observe=outcomes.append), limits=GroupLimits(max_size=6, max_delay=0.005)
    )

    async def ask_all_of(numbers: Sequence[int], rng: random.Random) -> None:
        questions = [
            Question(request=ChatRequest(messages=(Message(role="user", content=str(n)),)))
            for n in numbers
        ]
        tasks = [asyncio.create_task(coalescer.acall(q, timeout=DEADLINE)) for q in questions]
        for task in tasks:
            if rng.random() < 0.1:
                await asyncio.sleep(rng.random() / 500)
                task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for number, answer in zip(numbers, answers, strict=True):
            if isinstance(answer, SharedAnswer):
                assert answer.text == f"echo {number}"
            elif isinstance(answer, ValueError):
                assert str(answer) == f"no answer to {number}"
            else:
                assert isinstance(answer, asyncio.CancelledError)

    def ask_threaded(numbers: Sequence[int]) -> None:
        for number in numbers:
            question = ChatRequest(messages=(Message(role="user", content=str(number)),))
            try:
                answer = coalescer.call(Question(request=question), timeout=DEADLINE).text
            except ValueError as error:
                answer = str(error)
            assert answer in (f"echo {number}", f"no answer to {number}")

    with ThreadPoolExecutor(20) as pool:
        jobs = [
            pool.submit(asyncio.run, ask_all_of(range(n, 1_000, 4), random.Random(n)))
            for n in range(4)
        ]
        jobs += [pool.submit(ask_threaded, range(1_000 + n, 1_320, 16)) for n in range(16)]
        for job in jobs:
            job.result(DEADLINE)
    coalescer.close(DEADLINE)
    assert sum(one.usage for one in outcomes) == sum(model.billed)
