"""Calls of LlamaIndex without reported usage: query engines, agents, programs and embeddings."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, Field

from llama_index_llm_optimizers import (
    CachedLLM,
    CostEventHandler,
    HybridCache,
    with_embeddings_cache,
)
from llama_index_llm_optimizers.counting import count_usage
from llama_index_llm_optimizers.hits import LLMCacheHitEvent
from llm_optimizers.costs import Ledger
from llm_optimizers.prompts import TokenCounter
from support.llama_fakes import FakeLLM, HashEmbedding

QUESTION = "How long may boots be returned?"
MODEL = "gpt-4o"


@pytest.fixture
def costs() -> Generator[CostEventHandler, None, None]:
    with CostEventHandler(Ledger()) as handler:
        yield handler


def silent(**behaviour: Any) -> FakeLLM:
    return FakeLLM(model=MODEL, usage=False, **behaviour)


async def test_an_agents_second_run_is_a_saving(costs: CostEventHandler) -> None:
    def weather(days: int) -> str:
        """Return the weather of the next days."""
        return f"Sun for {days} days."

    llm = CachedLLM(silent(), HybridCache())
    for _ in range(2):
        await FunctionAgent(tools=[weather], llm=llm).run("The weather of 3 days?")
    calls = [record for record in costs.ledger.records() if not record.hit]
    hits = [record for record in costs.ledger.records() if record.hit]
    assert len(hits) == len(calls) == 2
    assert [hit.saved for hit in hits] == [call.cost for call in calls]
    assert all(hit.saved for hit in hits)


def test_an_answer_that_its_class_refuses_is_billed(costs: CostEventHandler) -> None:
    class Answer(BaseModel):
        days: int

    llm = silent(tools=False, reply=lambda _: "no JSON at all").as_structured_llm(Answer)
    with pytest.raises(ValueError, match=r".+"):
        llm.chat([ChatMessage(QUESTION)])
    (record,) = costs.ledger.records()
    assert (record.status, record.estimated) == ("ok", True)
    assert record.cost


def test_embeddings_are_told_apart(costs: CostEventHandler) -> None:
    embedding = with_embeddings_cache(HashEmbedding())
    for _ in range(2):
        embedding.get_text_embedding("a text of several words")
    silent().chat([ChatMessage(QUESTION)])
    kinds = [record.kind for record in costs.ledger.records()]
    assert sorted(kinds) == ["answer", "embedding", "embedding"]
    summary = costs.summary()
    assert (summary.requests, summary.hits, summary.embeddings.requests) == (1, 0, 2)


def test_a_hits_event_keeps_no_text_after_it_was_handled(costs: CostEventHandler) -> None:
    class Keeping(BaseEventHandler):
        seen: list[Any] = Field(default_factory=list)

        def handle(self, event: Any, **kwargs: Any) -> None:
            if isinstance(event, LLMCacheHitEvent):
                self.seen.append(event)

    keeping, root = Keeping(), get_dispatcher()
    root.add_event_handler(keeping)
    try:
        llm = CachedLLM(silent(), HybridCache())
        for _ in range(2):
            llm.chat([ChatMessage(QUESTION)])
    finally:
        root.event_handlers = [each for each in root.event_handlers if each is not keeping]
    (event,) = keeping.seen
    assert event.counting(TokenCounter()) is None
    assert QUESTION not in repr(event)
    assert costs.summary().saved > 0


def counted(answer: ChatResponse | CompletionResponse, said: str = "") -> int:
    used = count_usage(TokenCounter(), MODEL, [ChatMessage(QUESTION)], {}, answer, said=said)
    assert used is not None
    return used.output_tokens


def test_all_that_an_llm_wrote_is_counted() -> None:
    arguments = '{"city":"Hamburg","days":3}'
    call = {"id": "c1", "function": {"name": "weather", "arguments": arguments}}
    blocks: list[Any] = [
        ToolCallBlock(tool_call_id="c1", tool_name="weather", tool_kwargs=arguments),
        ToolCallBlock(
            tool_call_id="c1", tool_name="weather", tool_kwargs={"city": "Hamburg", "days": 3}
        ),
    ]
    forms = [ChatMessage(role="assistant", blocks=[block]) for block in blocks]
    forms.append(ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]}))
    counts = {counted(ChatResponse(message=form)) for form in forms}
    assert len(counts) == 1
    assert counts.pop() > 8
    thought = ThinkingBlock(content="The boots are new, so that thirty days are left.")
    said = ChatMessage(role="assistant", blocks=[thought, TextBlock(text="30 days.")])
    assert counted(ChatResponse(message=said)) > 12


def test_deltas_count_where_chunks_do_not_contain_what_came_before() -> None:
    last = ChatResponse(message=ChatMessage(role="assistant", content=" days."), delta=" days.")
    assert counted(last, "Boots can be returned within 30 days.") > counted(last) + 5
    text = CompletionResponse(text=" days.", delta=" days.")
    assert counted(text, "Boots can be returned within 30 days.") > counted(text) + 5


def test_sound_in_a_prompt_is_counted(costs: CostEventHandler) -> None:
    sound = AudioBlock(audio=b"\xff\xfb" * 8_000 * 9, format="mp3")
    silent().chat([ChatMessage(role="user", blocks=[TextBlock(text="Who speaks?"), sound])])
    (record,) = costs.ledger.records()
    assert record.usage.input_audio_tokens == 90
    assert record.usage.input_tokens < record.usage.input_audio_tokens + 20
