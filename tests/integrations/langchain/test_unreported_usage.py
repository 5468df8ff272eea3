"""What LangChain reports of a call without usage, and what it does not report of a broken one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler, HybridCache
from langchain_llm_optimizers.counting import said_in
from langchain_llm_optimizers.received import Received
from llm_optimizers.costs import CallRecord, Ledger
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.types import ChatRequest, Message
from support.fakes import StreamingFake

QUESTION = "How do I reset my password?"
MODEL = "gpt-4o"


@tool
def weather(days: int) -> str:
    """Return the weather of the next days."""
    return f"Sun for {days} days."


def broken(after: int = 4) -> StreamingFake:
    return StreamingFake(model=MODEL, breaks_after=after, usage=False)


def only(costs: CostCallbackHandler) -> CallRecord:
    (record,) = costs.ledger.records()
    return record


async def by_events(version: Any, config: Any) -> None:
    async for _ in broken().astream_events(QUESTION, config, version=version):
        pass


async def in_a_chain(config: Any) -> None:
    chain = RunnableLambda(lambda text: broken().invoke(text))
    async for _ in chain.astream_events(QUESTION, config, version="v2"):
        pass


async def in_a_graph(config: Any) -> None:
    agent: Any = create_agent(broken(), [])
    async for _ in agent.astream(
        {"messages": [("user", QUESTION)]}, config, stream_mode="messages"
    ):
        pass


async def typed(config: Any) -> None:
    for _ in broken().stream_events(QUESTION, config, version="v3"):
        pass


BREAKING: dict[str, Callable[[Any], Any]] = {
    "events": lambda config: by_events("v2", config),
    "chain": in_a_chain,
    "graph": in_a_graph,
    "typed": typed,
}


@pytest.mark.parametrize("way", BREAKING)
async def test_an_answer_that_breaks_costs_what_came_in_every_way(way: str) -> None:
    costs = CostCallbackHandler()
    with suppress(ConnectionError):
        await BREAKING[way]({"callbacks": [costs]})
    record = only(costs)
    assert (record.status, record.estimated) == ("error", True)
    assert record.cost
    counter = TokenCounter()
    asked = ChatRequest(messages=(Message(role="user", content=QUESTION),), model=MODEL)
    assert record.usage == counter.count_call(asked, f"{MODEL} says: How do")


@pytest.mark.parametrize("kind", ["chat", "completion"])
async def test_a_cache_with_a_ledger_of_its_own_counts_its_hits(kind: str) -> None:
    ledger = Ledger()
    cache, costs = HybridCache(ledger=ledger), CostCallbackHandler()
    model: Any = StreamingFake(model=MODEL, usage=False, cache=cache)
    if kind == "completion":
        model = FakeListLLM(responses=["Use the link."], cache=cache)
    else:
        model = model.bind_tools([weather])
    for _ in range(2):
        await model.ainvoke(QUESTION, {"callbacks": [costs]})
    model.invoke(QUESTION)
    called = next(record for record in costs.ledger.records() if not record.hit)
    hits = list(ledger.records())
    assert [(hit.hit, hit.estimated) for hit in hits] == [(True, True)] * 2
    assert {hit.baseline_usage for hit in hits} == {called.usage}
    assert kind == "completion" or {hit.saved for hit in hits} == {called.cost}


def test_a_cached_models_own_ledger_counts_its_hits() -> None:
    ledger, costs = Ledger(), CostCallbackHandler()
    model = CachedChatModel(StreamingFake(model=MODEL, usage=False), HybridCache(ledger=ledger))
    bound = model.bind_tools([weather])
    for _ in range(2):
        list(bound.stream(QUESTION, {"callbacks": [costs]}))
    call, hit = costs.ledger.records()
    (own,) = ledger.records()
    assert own.saved == hit.saved == call.cost
    assert own.saved


async def test_an_agents_second_run_is_a_saving() -> None:
    costs = CostCallbackHandler()
    agent: Any = create_agent(
        CachedChatModel(StreamingFake(model=MODEL, usage=False), HybridCache()), [weather]
    )
    asked = {"messages": [("user", "The weather of 3 days?")]}
    for mode in ("messages", "updates"):
        async for _ in agent.astream(asked, {"callbacks": [costs]}, stream_mode=mode):
            pass
    calls = [record for record in costs.ledger.records() if not record.hit]
    hits = [record for record in costs.ledger.records() if record.hit]
    assert [hit.saved for hit in hits] == [call.cost for call in calls]
    assert len(hits) == 2
    assert all(hit.saved for hit in hits)


def test_every_generation_is_counted() -> None:
    costs = CostCallbackHandler()
    config: Any = {"callbacks": [costs]}
    for n in (1, 3):
        StreamingFake(model=MODEL, usage=False, n=n).invoke(QUESTION, config)
    one, three = costs.ledger.records()
    assert three.usage.output_tokens == 3 * one.usage.output_tokens > 0
    assert three.usage.input_tokens == one.usage.input_tokens


def output(message: AIMessage) -> int:
    counted = TokenCounter().count_answer(said_in(ChatGeneration(message=message)), MODEL)
    return counted.tokens


def test_calls_have_one_count_in_every_form_of_a_message() -> None:
    args = {"city": "Hamburg", "days": 3}
    text = '{"city":"Hamburg","days":3}'
    call = {"name": "weather", "args": args, "id": "c1", "type": "tool_call"}
    raw = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": text}}
    block = {"type": "tool_use", "id": "c1", "name": "weather", "input": args}
    forms = [
        AIMessage("", tool_calls=[call]),
        AIMessage("", tool_calls=[call], additional_kwargs={"tool_calls": [raw]}),
        AIMessage([block], tool_calls=[call]),
        AIMessage("", additional_kwargs={"function_call": raw["function"]}),
        AIMessageChunk("", tool_call_chunks=[tool_call_chunk(name="weather", args=text, index=0)]),
    ]
    counts = {output(form) for form in forms}
    assert len(counts) == 1
    assert counts.pop() > 8


def test_arguments_that_came_in_pieces_and_broke_off_are_counted() -> None:
    received = Received()
    for number, piece in enumerate(['{"city": "Ham', "burg, in the north", " of the count"]):
        chunk = tool_call_chunk(name=None if number else "weather", args=piece, index=0)
        message = AIMessageChunk("", tool_call_chunks=[chunk])
        received.add_token("", ChatGenerationChunk(message=message))
    (answer,) = received.answer()
    found = TokenCounter().count_answer(said_in(answer), MODEL).tokens
    assert found == output(
        AIMessage(
            "",
            additional_kwargs={
                "tool_calls": [
                    {
                        "function": {
                            "name": "weather",
                            "arguments": '{"city": "Hamburg, in the north of the count',
                        }
                    }
                ]
            },
        )
    )


def test_tokens_beside_typed_events_are_counted_once() -> None:
    received = Received()
    received.add_token("Use ", None)
    received.add_event({"event": "message-start", "usage": {"input_tokens": 90}})
    for piece in ("Use ", "the link."):
        received.add_token(piece, None)
        received.add_event({"event": "content-block-delta", "delta": {"text": piece}})
    received.add_event({"event": "content-block-finish", "content": {"text": "Use the link."}})
    (answer,) = received.answer()
    assert isinstance(answer, ChatGeneration)
    assert answer.text == "Use the link."
    assert isinstance(answer.message, AIMessage)
    assert answer.message.usage_metadata is not None
    assert answer.message.usage_metadata["input_tokens"] == 90


def test_pictures_and_earlier_calls_are_counted() -> None:
    costs = CostCallbackHandler()
    picture = {"type": "image_url", "image_url": {"url": "https://localhost/a.png"}}
    said = {"type": "text", "text": "What is it?"}
    list(broken(99).stream([HumanMessage([said, picture])], {"callbacks": [costs]}))
    assert only(costs).usage.input_tokens > 765
