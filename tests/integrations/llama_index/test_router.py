"""`RoutedLLM`: routing decisions on LlamaIndex's LLMs, and their records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel

from llama_index_llm_optimizers import CachedLLM, CostEventHandler, RoutedLLM
from llama_index_llm_optimizers.attempts import REPLY_READER
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import (
    ConfigurationError,
    InterruptedStreamError,
    NoModelFitsError,
)
from llm_optimizers.routing import Always, ByTask, KeywordPolicy, Router
from llm_optimizers.routing.policies.cascade import CascadePolicy
from llm_optimizers.routing.router import DECISION_NOTE
from support.llama_fakes import FakeLLM, PlainLLM

QUESTION = [ChatMessage("How are you?")]
CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"


class RateLimitedError(Exception):
    status_code = 429


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def costs() -> Iterator[CostEventHandler]:
    with CostEventHandler() as handler:
        yield handler


def two_llms(**cheap: Any) -> tuple[FakeLLM, FakeLLM]:
    return FakeLLM(model=CHEAP, **cheap), FakeLLM(model=STRONG)


def by(reply: Any) -> str:
    return str(reply.additional_kwargs["routing"]["model"])


def test_every_method_calls_the_llm_that_the_policy_chooses(costs: CostEventHandler) -> None:
    cheap, strong = two_llms()
    llm = RoutedLLM([cheap, strong], policy=Always(CHEAP))
    assert by(llm.chat(QUESTION)) == CHEAP
    assert by(llm.complete("How are you?")) == CHEAP
    chunks = list(llm.stream_chat(QUESTION))
    assert len(chunks) > 1
    assert by(chunks[0]) == CHEAP
    list(llm.stream_complete("How are you?"))

    async def others() -> None:
        assert by(await llm.achat(QUESTION)) == CHEAP
        assert by(await llm.acomplete("How are you?")) == CHEAP
        assert len([c async for c in await llm.astream_chat(QUESTION)]) > 1
        assert [c async for c in await llm.astream_complete("How are you?")]

    asyncio.run(others())
    assert (len(cheap.calls), len(strong.calls)) == (8, 0)
    for record in costs.ledger.records():
        (saving,) = record.savings
        assert record.baseline_model == STRONG
        assert (saving.strategy, saving.amount > 0) == ("routing", True)


def test_without_a_policy_the_safe_llm_answers_and_no_saving_is_recorded(
    costs: CostEventHandler,
) -> None:
    cheap, strong = two_llms()
    RoutedLLM([cheap, strong]).chat(QUESTION)
    assert (len(cheap.calls), len(strong.calls)) == (0, 1)
    assert costs.summary().by_strategy == {}
    with pytest.raises(ConfigurationError, match="the same model name"):
        RoutedLLM([cheap, cheap])
    with pytest.raises(ConfigurationError, match="not among the LLMs"):
        RoutedLLM([cheap], router=Router([CHEAP, STRONG]))


def test_a_failing_llm_falls_back_and_both_calls_are_recorded(costs: CostEventHandler) -> None:
    ledger = Ledger()
    cheap, strong = two_llms(fail=lambda _: RateLimitedError())
    llm = RoutedLLM([cheap, strong], policy=Always(CHEAP), ledger=ledger)
    assert by(llm.chat(QUESTION)) == STRONG
    (note,) = ledger.notes(DECISION_NOTE)
    attempts = note.payload["attempts"]
    assert isinstance(attempts, list)
    assert [a["outcome"] for a in attempts] == ["failed", "served"]  # type: ignore[index, call-overload]
    statuses = {record.id: record.status for record in costs.ledger.records()}
    assert [statuses[a["call_id"]] for a in attempts] == ["error", "ok"]  # type: ignore[index, call-overload]
    assert list(llm.stream_chat(QUESTION))[-1].message.content


def test_a_stream_falls_back_before_its_first_chunk_only() -> None:
    cheap, strong = two_llms(fail=lambda _: RateLimitedError())
    llm = RoutedLLM([cheap, strong], policy=Always(CHEAP))
    assert by(list(llm.stream_chat(QUESTION))[-1]) == STRONG

    class Breaking(FakeLLM):
        def _chunks(self, messages: Any, kwargs: Any) -> Any:
            chunks = super()._chunks(messages, kwargs)
            yield next(chunks)
            raise RateLimitedError

    broken = RoutedLLM([Breaking(model=CHEAP), strong], policy=Always(CHEAP))
    with pytest.raises(InterruptedStreamError) as broke:
        list(broken.stream_chat(QUESTION))
    assert broke.value.partial == "gpt-4o-mini"
    assert isinstance(broke.value.__cause__, RateLimitedError)

    async def others() -> None:
        fresh = RoutedLLM([cheap, strong], policy=Always(CHEAP))
        assert by([c async for c in await fresh.astream_chat(QUESTION)][-1]) == STRONG
        again = RoutedLLM([Breaking(model=CHEAP), strong], policy=Always(CHEAP))
        with pytest.raises(InterruptedStreamError):
            [c async for c in await again.astream_chat(QUESTION)]

    asyncio.run(others())


def test_a_bad_request_is_raised_at_once_and_a_deadline_holds() -> None:
    class BadRequestError(Exception):
        status_code = 400

    cheap, strong = two_llms(fail=lambda _: BadRequestError())
    with pytest.raises(BadRequestError):
        RoutedLLM([cheap, strong], policy=Always(CHEAP)).chat(QUESTION)
    assert strong.calls == []
    slow = FakeLLM(model=CHEAP, delay=0.5)
    with pytest.raises(TimeoutError):
        RoutedLLM([slow], deadline_s=0.05).chat(QUESTION)


def test_a_cascade_keeps_accepted_answers_and_records_rejected_ones(
    costs: CostEventHandler,
) -> None:
    cheap, strong = two_llms(reply=lambda text: "" if "hard" in text else "fine")
    policy = CascadePolicy(cheap=CHEAP, strong=STRONG)
    llm = RoutedLLM([cheap, strong], policy=policy)
    assert by(llm.chat([ChatMessage("easy")])) == CHEAP
    assert by(asyncio.run(llm.achat([ChatMessage("hard one")]))) == STRONG
    easy, draft, escalation = sorted(costs.ledger.records(), key=lambda r: r.time)
    assert (easy.savings[0].strategy, easy.savings[0].amount > 0) == ("routing", True)
    assert draft.baseline_cost == Decimal(0)
    assert draft.savings[0].amount == -(draft.cost or 0)
    assert escalation.savings == ()
    assert escalation.baseline_cost == escalation.cost


def test_a_cascade_streams_an_accepted_answer() -> None:
    cheap, strong = two_llms(reply=lambda _: "an answer of several words, all of them fine")
    waiting = CascadePolicy(cheap=CHEAP, strong=STRONG, buffer_streams=True)
    chunks = list(RoutedLLM([cheap, strong], policy=waiting).stream_chat(QUESTION))
    assert by(chunks[-1]) == CHEAP
    assert "".join(c.delta or "" for c in chunks) == cheap.chat(QUESTION).message.content
    assert len(chunks) > 1
    hasty = CascadePolicy(cheap=CHEAP, strong=STRONG)
    list(RoutedLLM([cheap, strong], policy=hasty).stream_chat(QUESTION))
    assert len(strong.calls) == 1


def test_metadata_holds_for_every_llm() -> None:
    cheap = FakeLLM(model=CHEAP, window=8_000, tools=False)
    llm = RoutedLLM([cheap, FakeLLM(model=STRONG)])
    assert llm.metadata.context_window == 8_000
    assert not llm.metadata.is_function_calling_model
    assert llm.metadata.model_name == STRONG


def test_a_call_an_llm_cannot_take_goes_to_another_or_raises_the_reason() -> None:
    cheap = FakeLLM(model=CHEAP, window=200)
    strong = FakeLLM(model=STRONG)
    llm = RoutedLLM([cheap, strong], policy=Always(CHEAP))
    long = [ChatMessage("word " * 400)]
    assert by(llm.chat(long)) == STRONG
    with pytest.raises(NoModelFitsError, match=CHEAP):
        RoutedLLM([cheap]).chat(long)


class OtherLLM(FakeLLM):
    """Another provider's LLM, with its own format for tools."""

    @classmethod
    def class_name(cls) -> str:
        return "Anthropic_LLM"

    def _prepare_chat_with_tools(self, tools: Any, **kwargs: Any) -> dict[str, Any]:
        prepared = super()._prepare_chat_with_tools(tools, **kwargs)
        specs = [{"other": spec["function"]} for spec in prepared["tools"]]
        return {**prepared, "tools": specs}

    def _respond(self, messages: Any, kwargs: Any) -> ChatResponse:
        tools = [{"function": spec["other"]} for spec in kwargs.get("tools") or []]
        return super()._respond(messages, {**kwargs, "tools": tools})


@pytest.mark.parametrize("chosen", [CHEAP, STRONG])
def test_tools_are_written_in_the_format_of_the_chosen_llm(chosen: str) -> None:
    cheap, strong = OtherLLM(model=CHEAP), FakeLLM(model=STRONG)
    llm = RoutedLLM([cheap, strong], policy=Always(chosen))
    assert llm.metadata.is_function_calling_model
    response = llm.chat_with_tools([FunctionTool.from_defaults(add)], "Do magic with 3 and 4")
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 3, "b": 4})
    assert by(response) == chosen
    cached = CachedLLM(llm=llm)
    for _ in range(2):
        cached.chat_with_tools([FunctionTool.from_defaults(add)], "Do magic with 3 and 4")
    assert len(cheap.calls) + len(strong.calls) == 2
    assert cached.cache.stats.hits == {"exact": 1}


def test_a_tool_result_goes_to_the_llm_that_called_the_tool() -> None:
    cheap, strong = two_llms()
    llm = RoutedLLM(
        [cheap, strong], policy=ByTask({"tools": Always(CHEAP), "other": Always(STRONG)})
    )
    tool = FunctionTool.from_defaults(add)
    asked = ChatMessage("Do magic with 3 and 4")
    with instrument_tags({"task": "tools"}):
        response = llm.chat_with_tools([tool], asked)
    (call,) = llm.get_tool_calls_from_response(response)
    result = ChatMessage(role="tool", content="7", additional_kwargs={"tool_call_id": call.tool_id})
    history = [asked, response.message, result]
    with instrument_tags({"task": "other"}):
        assert by(llm.chat_with_tools([tool], chat_history=history)) == CHEAP
        assert by(llm.chat(QUESTION)) == STRONG


class Place(BaseModel):
    name: str


@pytest.mark.parametrize("cheap", [FakeLLM(model=CHEAP), OtherLLM(model=CHEAP)])
def test_structured_output_is_routed(cheap: FakeLLM) -> None:
    llm = RoutedLLM([cheap, FakeLLM(model=STRONG)], policy=Always(CHEAP))
    found = llm.structured_predict(Place, PromptTemplate("The magic town of {x}"), x="Lyon")
    assert found == Place(name="The magic town of Lyon")
    again = asyncio.run(llm.astructured_predict(Place, PromptTemplate("magic {x}"), x="town"))
    assert again == Place(name="magic town")


def test_an_llm_without_tools_is_skipped_for_calls_with_tools() -> None:
    llm = RoutedLLM({"plain": PlainLLM(), STRONG: FakeLLM(model=STRONG)}, policy=Always("plain"))
    assert not llm.metadata.is_function_calling_model
    assert by(llm.complete("Hi there")) == "plain"
    response = llm.chat_with_tools([FunctionTool.from_defaults(add)], "Do magic with 3 and 4")
    assert by(response) == STRONG


def test_a_cache_in_front_serves_the_answer_of_any_llm(costs: CostEventHandler) -> None:
    cheap, strong = two_llms()
    llm = CachedLLM(llm=RoutedLLM([cheap, strong], policy=KeywordPolicy(weak=CHEAP, strong=STRONG)))
    first = llm.chat(QUESTION)
    again = llm.chat(QUESTION)
    assert again.message == first.message
    assert by(again) == by(first)
    assert [record.hit for record in costs.ledger.records()] == [False, True]


@pytest.mark.parametrize(
    ("blocks", "kwargs", "empty"),
    [
        ([], {}, True),
        ([TextBlock(text="")], {"prompt_tokens": 5}, True),
        ([ThinkingBlock(), TextBlock(text="")], {}, True),
        ([TextBlock(text="It")], {}, False),
        ([ThinkingBlock(content="Hm")], {}, False),
        ([ThinkingBlock(additional_information={"signature": "s"})], {}, False),
        ([ToolCallBlock(tool_name="find", tool_kwargs={})], {}, False),
        ([], {"tool_calls": ["a call"]}, False),
    ],
    ids=str,
)
def test_what_of_a_stream_is_no_answer_yet(
    blocks: list[Any], kwargs: dict[str, Any], empty: bool
) -> None:
    said = ChatMessage(role="assistant", blocks=blocks, additional_kwargs=kwargs)
    assert REPLY_READER.is_empty(ChatResponse(message=said, delta="")) == empty
