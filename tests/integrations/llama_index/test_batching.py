"""`BatchedLLM`: many questions in one prompt, with each its own answer, error and cost."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import MockLLM
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation.dispatcher import instrument_tags

from llama_index_llm_optimizers import BatchedLLM, CachedLLM, CostEventHandler, abatch_chat
from llm_optimizers.batching import GroupLimits
from llm_optimizers.costs import PriceBook, Usage
from llm_optimizers.errors import ConfigurationError, RefusedError
from support.llama_fakes import FakeLLM

TEXTS = [f"What is {n} plus {n}?" for n in range(12)]
FULL_GROUPS = GroupLimits(max_size=6, max_delay=2.0)
"""Limits that send a group only when it is full, however slow the machine is."""
SYSTEM = ChatMessage(role="system", content="You add numbers. " * 30)


def add_up(text: str) -> str:
    """Answer one question, or every question of a combined prompt."""
    start = text.find("\n\n[{")
    if start < 0:
        return _sum(text)
    questions = json.loads(text[start:])
    answers = [{"id": q["id"], "answer": _sum(q["request"])} for q in questions]
    return json.dumps({"answers": answers})


def _sum(text: str) -> str:
    return f"It is {sum(map(int, re.findall(r'[0-9]+', text)))}."


@pytest.fixture
def inner() -> FakeLLM:
    return FakeLLM(reply=add_up)


@pytest.fixture
def batched(inner: FakeLLM) -> Iterator[BatchedLLM]:
    llm = BatchedLLM(inner, combine=True, limits=FULL_GROUPS)
    yield llm
    llm.close()


async def test_concurrent_callers_share_calls_and_get_their_own_answers(
    inner: FakeLLM, batched: BatchedLLM
) -> None:
    answers = await abatch_chat(batched, [[SYSTEM, ChatMessage(text)] for text in TEXTS])
    assert [answer.message.content for answer in answers] == [add_up(text) for text in TEXTS]
    assert len(inner.calls) == 2


def test_threads_share_calls(inner: FakeLLM, batched: BatchedLLM) -> None:
    answers: dict[str, str] = {}

    def ask(text: str) -> None:
        answers[text] = batched.complete(text).text

    threads = [threading.Thread(target=ask, args=(text,)) for text in TEXTS[:6]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {text: add_up(text) for text in TEXTS[:6]}
    assert len(inner.calls) < 6


async def test_shares_add_up_to_the_cost_and_savings_are_recorded_by_caller(
    inner: FakeLLM, batched: BatchedLLM
) -> None:
    billed: list[Usage] = []

    class RecordingLLM(FakeLLM):
        def _respond(self, messages: Any, kwargs: Any) -> Any:
            response = super()._respond(messages, kwargs)
            billed.append(Usage.from_openai(response.raw["usage"]))
            return response

    llm = BatchedLLM(RecordingLLM(reply=add_up), combine=True, limits=FULL_GROUPS)

    async def ask(user: str, text: str) -> None:
        with instrument_tags({"user": user}):
            await llm.achat([SYSTEM, ChatMessage(text)])

    with CostEventHandler() as costs:
        await asyncio.gather(*(ask(f"u{n}", text) for n, text in enumerate(TEXTS[:6])))
    records = list(costs.ledger.records())
    assert len(records) == 6
    assert len(billed) == 1
    assert sum((record.usage for record in records), Usage()) == billed[0]
    assert {record.tags["user"] for record in records} == {f"u{n}" for n in range(6)}
    assert all(record.savings[0].strategy == "batching" for record in records)
    assert all(record.savings[0].amount > 0 for record in records)
    spent = sum(record.cost for record in records if record.cost is not None)
    assert spent == PriceBook().cost(billed[0], "gpt-4o-mini", provider="openai")
    llm.close()


async def test_a_call_that_cannot_be_combined_goes_alone_and_unchanged(
    inner: FakeLLM, batched: BatchedLLM
) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    turns = [ChatMessage("One"), ChatMessage(role="assistant", content="Two"), ChatMessage("3?")]
    answer = await batched.achat(turns)
    assert answer.raw["choices"]
    call = batched.chat_with_tools([FunctionTool.from_defaults(add)], "Do magic with 3 and 4")
    assert batched.get_tool_calls_from_response(call)[0].tool_name == "add"
    chunks = [chunk async for chunk in await batched.astream_chat([ChatMessage(TEXTS[1])])]
    assert len(chunks) > 1
    assert len(list(batched.stream_chat([ChatMessage(TEXTS[1])]))) > 1
    assert inner.calls == ["3?", "Do magic with 3 and 4", TEXTS[1], TEXTS[1]]


async def test_a_missing_answer_is_requested_alone(inner: FakeLLM) -> None:
    def without_one(text: str) -> str:
        whole = add_up(text)
        if "[{" not in text:
            return whole
        answers = json.loads(whole)["answers"]
        return json.dumps({"answers": answers[:-1]})

    llm = BatchedLLM(
        FakeLLM(reply=without_one), combine=True, limits=GroupLimits(max_size=3, max_delay=2.0)
    )
    answers = await abatch_chat(llm, [[ChatMessage(text)] for text in TEXTS[:3]])
    assert [answer.message.content for answer in answers] == [add_up(text) for text in TEXTS[:3]]
    llm.close()


async def test_each_caller_gets_its_own_error() -> None:
    def fail(text: str) -> Exception | None:
        return ValueError("bad item") if "13" in text else None

    llm = BatchedLLM(FakeLLM(reply=add_up, fail=fail), combine=True)
    with CostEventHandler() as costs:
        texts = ["What is 13 plus 1?", *TEXTS[:3]]
        found = await abatch_chat(llm, [[ChatMessage(t)] for t in texts], return_exceptions=True)
    assert isinstance(found[0], ValueError)
    assert [a.message.content for a in found[1:]] == [add_up(text) for text in TEXTS[:3]]
    statuses = sorted(record.status for record in costs.ledger.records())
    assert statuses == ["error", "ok", "ok", "ok"]
    with pytest.raises(ValueError, match="bad item"):
        await abatch_chat(llm, [[ChatMessage(text)] for text in texts])
    llm.close()
    with pytest.raises(RefusedError):
        llm.chat([ChatMessage(TEXTS[0])])


def test_questions_are_combined_only_after_a_sample_agrees(inner: FakeLLM) -> None:
    def wrong_answers(text: str) -> str:
        return add_up(text).replace("It", "That") if "[{" in text else add_up(text)

    conversations = [[ChatMessage(text)] for text in TEXTS]
    wrong = BatchedLLM(FakeLLM(reply=wrong_answers), combine=True)
    assert not wrong.check_combining(TEXTS, tolerance=0.2).passed
    asyncio.run(abatch_chat(wrong, conversations))
    assert wrong.llm.calls[-12:] == TEXTS  # type: ignore[attr-defined]
    good = BatchedLLM(inner, limits=FULL_GROUPS)
    asyncio.run(abatch_chat(good, conversations))
    assert inner.calls == TEXTS
    assert good.check_combining(conversations, tolerance=0.2).passed
    before = len(inner.calls)
    asyncio.run(good.abatch_chat(conversations))
    assert len(inner.calls) - before == 2
    with pytest.raises(ConfigurationError, match="never combined"):
        good.check_combining([[ChatMessage("a"), ChatMessage(role="assistant", content="b")]])
    good.close()
    wrong.close()


async def test_a_cache_in_front_stores_each_answer_for_its_own_question(inner: FakeLLM) -> None:
    batched = BatchedLLM(inner, combine=True, limits=FULL_GROUPS)
    llm = CachedLLM(llm=batched)
    conversations = [[ChatMessage(text)] for text in TEXTS[:6]]
    first = await abatch_chat(llm, conversations)
    again = await abatch_chat(llm, conversations, max_concurrency=2)
    assert [a.message for a in again] == [a.message for a in first]
    assert len(inner.calls) == 1
    mark = again[0].additional_kwargs["cache_hit"]
    assert mark["model"] == "gpt-4o-mini"
    assert mark["usage"]["input_tokens"] > 0
    batched.close()


def test_a_deep_or_pickled_copy_still_combines() -> None:
    llm = BatchedLLM(MockLLM(), combine=True, limits=GroupLimits(max_size=1))
    llm.chat([ChatMessage("a")])
    for again in (copy.deepcopy(llm), pickle.loads(pickle.dumps(llm))):
        assert again.chat([ChatMessage("b")]).message.content
        again.close()
        with pytest.raises(RefusedError):
            again.chat([ChatMessage("c")])
    assert llm.chat([ChatMessage("d")]).message.content
    llm.close()


def test_impossible_limits_are_rejected_at_once(inner: FakeLLM) -> None:
    with pytest.raises(ConfigurationError, match="`max_pending` is 0"):
        BatchedLLM(inner, max_pending=0)
    with pytest.raises(ConfigurationError, match="`max_calls` is 0"):
        BatchedLLM(inner, max_calls=0)


async def test_limits_without_a_size_combine_six_questions(inner: FakeLLM) -> None:
    llm = BatchedLLM(inner, combine=True, limits=GroupLimits(max_delay=2.0))
    await abatch_chat(llm, [[SYSTEM, ChatMessage(text)] for text in TEXTS])
    assert len(inner.calls) == 2
    llm.close()


@pytest.mark.parametrize("failing", [False, True])
async def test_questions_of_two_namespaces_are_never_combined(
    inner: FakeLLM, *, failing: bool
) -> None:
    names = iter("abab")

    def namespace() -> str:
        return "" if failing else next(names)

    llm = BatchedLLM(
        inner,
        combine=True,
        limits=GroupLimits(max_size=2, max_delay=20.0),
        namespace=namespace,
    )
    await asyncio.gather(*(llm.achat([ChatMessage(f"{n} + 1")]) for n in range(4)))
    llm.close()
    assert len(inner.calls) == (4 if failing else 2)
