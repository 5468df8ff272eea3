"""`CostEventHandler`: each call is recorded once, however LLMs wrap one another."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Generator
from contextlib import suppress
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel

from llama_index_llm_optimizers import (
    CachedLLM,
    CostEventHandler,
    LLMCacheHitEvent,
    with_embeddings_cache,
)
from llama_index_llm_optimizers.metering import UsageMeter
from llm_optimizers.costs import CallRecord, Ledger, PriceBook, Usage
from llm_optimizers.prompts import TokenCounter
from support.llama_fakes import FakeLLM, PlainLLM

QUESTION = [ChatMessage("How do I reset my password?")]
USAGE = Usage(input_tokens=10, output_tokens=9)


@pytest.fixture
def costs() -> Generator[CostEventHandler, None, None]:
    with CostEventHandler() as handler:
        yield handler


def records(costs: CostEventHandler) -> list[CallRecord]:
    return list(costs.ledger.records())


def test_a_call_is_recorded_once_by_every_method(costs: CostEventHandler) -> None:
    llm = FakeLLM()
    llm.chat(QUESTION)
    list(llm.stream_chat(QUESTION))
    llm.complete(QUESTION[0].content or "")
    list(llm.stream_complete(QUESTION[0].content or ""))

    async def others() -> None:
        await llm.achat(QUESTION)
        [chunk async for chunk in await llm.astream_chat(QUESTION)]
        await llm.acomplete(QUESTION[0].content or "")
        [chunk async for chunk in await llm.astream_complete(QUESTION[0].content or "")]

    asyncio.run(others())
    found = records(costs)
    assert [record.usage for record in found] == [USAGE] * 8
    price = PriceBook().cost(USAGE, "gpt-4o-mini", provider="openai")
    assert {record.cost for record in found} == {price}
    assert {(r.status, r.estimated, r.provider) for r in found} == {("ok", False, "openai")}


def test_hits_are_savings_and_not_spend(costs: CostEventHandler) -> None:
    counting = TokenCountingHandler(tokenizer=str.split)
    llm = CachedLLM(llm=FakeLLM(), callback_manager=CallbackManager([counting]))
    llm.callback_manager = CallbackManager([counting])
    with instrument_tags({"user": "u1"}):
        llm.chat(QUESTION)
        billed = counting.total_llm_token_count
        list(llm.stream_chat(QUESTION))
        asyncio.run(llm.achat(QUESTION))
    first, *hits = records(costs)
    assert first.usage == USAGE
    assert [hit.hit_strategy for hit in hits] == ["cache.exact", "cache.exact"]
    assert [hit.saved for hit in hits] == [first.cost, first.cost]
    assert {hit.tags["user"] for hit in hits} == {"u1"}
    assert costs.summary().cost == first.cost
    assert counting.total_llm_token_count == billed


def test_wrappers_are_counted_once_decorated_or_not(costs: CostEventHandler) -> None:
    class Decorated(CachedLLM):
        @llm_chat_callback()
        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            return super().chat(messages, **kwargs)

        @llm_chat_callback()
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            return super().stream_chat(messages, **kwargs)

    llm = CachedLLM(llm=Decorated(llm=CachedLLM(llm=FakeLLM())))
    llm.chat(QUESTION)
    other = Decorated(llm=FakeLLM())
    list(other.stream_chat(QUESTION))
    list(other.stream_chat(QUESTION))
    other.chat(QUESTION)
    assert [r.hit_strategy for r in records(costs)] == [None, None, "cache.exact", "cache.exact"]


def test_a_structured_llms_inner_call_is_counted(costs: CostEventHandler) -> None:
    class Answer(BaseModel):
        text: str

    llm = FakeLLM(pydantic_program_mode="llm", reply=lambda _: '{"text": "x"}')
    llm.as_structured_llm(Answer).chat(QUESTION)
    assert len(records(costs)) == 1


def test_errors_are_recorded_by_their_class(costs: CostEventHandler) -> None:
    llm = FakeLLM(fail=lambda _: TimeoutError("secret detail"))
    with pytest.raises(TimeoutError):
        llm.chat(QUESTION)
    with pytest.raises(TimeoutError):
        asyncio.run(llm.achat(QUESTION))
    with pytest.raises(TimeoutError):
        list(llm.stream_chat(QUESTION))
    assert [(r.status, r.error) for r in records(costs)] == [("error", "TimeoutError")] * 3


def test_abandoned_streams_are_estimated(costs: CostEventHandler) -> None:
    llm = CachedLLM(llm=FakeLLM())
    stream = llm.stream_chat(QUESTION)
    next(stream)
    next(stream)
    stream.close()
    (record,) = records(costs)
    assert (record.status, record.estimated) == ("abandoned", True)
    read = TokenCounter().count("gpt-4o-mini says:", "gpt-4o-mini").tokens
    assert record.usage == Usage(input_tokens=14, output_tokens=read)


def test_a_stream_that_is_not_closed_is_recorded_on_detach() -> None:
    costs = CostEventHandler().attach()
    stream = FakeLLM().stream_chat(QUESTION)
    next(stream)
    costs.detach()
    assert [record.status for record in records(costs)] == ["abandoned"]
    stream.close()


def test_a_cancelled_call_is_abandoned(costs: CostEventHandler) -> None:
    async def cancelled() -> None:
        asked = asyncio.Event()
        llm = FakeLLM(delay=60, fail=lambda _: asked.set())
        task = asyncio.create_task(llm.achat(QUESTION))
        await asyncio.wait_for(asked.wait(), 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    assert [record.status for record in records(costs)] == ["abandoned"]


def test_streams_without_usage_are_counted_and_marked_as_estimated(costs: CostEventHandler) -> None:
    list(FakeLLM(usage=False).stream_chat(QUESTION))
    (record,) = records(costs)
    assert record.estimated
    assert record.usage.input_tokens == 14
    assert record.usage.output_tokens > 0


ANTHROPIC = {
    "input_tokens": 3,
    "cache_read_input_tokens": 21_000,
    "cache_creation_input_tokens": 500,
    "output_tokens": 7,
}
GOOGLE = {
    "prompt_token_count": 100,
    "candidates_token_count": 10,
    "cached_content_token_count": 40,
    "thoughts_token_count": 5,
}
BEDROCK = {"inputTokens": 3, "outputTokens": 7, "cacheReadInputTokens": 20}
OPENAI = {
    "prompt_tokens": 100,
    "completion_tokens": 10,
    "total_tokens": 110,
    "prompt_tokens_details": {"cached_tokens": 64},
}


class Details(BaseModel):
    cached_tokens: int = 64


class ReportedUsage(BaseModel):
    prompt_tokens: int = 100
    completion_tokens: int = 10
    prompt_tokens_details: Details = Details()


class Completion(BaseModel):
    model: str = "gpt-4o-2024-08-06"
    usage: ReportedUsage = ReportedUsage()


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {"usage": ANTHROPIC},
            Usage(
                input_tokens=21_503,
                output_tokens=7,
                cache_read_tokens=21_000,
                cache_write_tokens=500,
            ),
        ),
        (
            {"usage_metadata": GOOGLE},
            Usage(input_tokens=100, output_tokens=15, cache_read_tokens=40, reasoning_tokens=5),
        ),
        ({"usage": BEDROCK}, Usage(input_tokens=23, output_tokens=7, cache_read_tokens=20)),
        ({"usage": OPENAI}, Usage(input_tokens=100, output_tokens=10, cache_read_tokens=64)),
        (Completion(), Usage(input_tokens=100, output_tokens=10, cache_read_tokens=64)),
    ],
)
def test_every_providers_counts_are_read_in_full(
    costs: CostEventHandler, raw: Any, usage: Usage
) -> None:
    FakeLLM(raw_of=lambda _: raw).chat(QUESTION)
    list(FakeLLM(raw_of=lambda _: dict(raw)).stream_chat(QUESTION))
    assert [record.usage for record in records(costs)] == [usage, usage]


def test_the_providers_own_model_name_counts(costs: CostEventHandler) -> None:
    FakeLLM(raw_of=lambda _: Completion()).chat(QUESTION)
    assert records(costs)[0].model == "gpt-4o-2024-08-06"


def test_an_unknown_model_is_unpriced_not_free(costs: CostEventHandler) -> None:
    FakeLLM(model="house-blend-7").chat(QUESTION)
    assert records(costs)[0].cost is None
    assert costs.summary().unpriced == 1


def test_a_stream_read_elsewhere_has_its_callers_tags(costs: CostEventHandler) -> None:
    llm = CachedLLM(llm=FakeLLM())
    for _ in range(2):
        with instrument_tags({"user": "u1", "secret": object()}):
            stream = llm.stream_chat(QUESTION)
        list(stream)
    found = [dict(record.tags) for record in records(costs)]
    assert len({tags.pop("run") for tags in found}) == 2
    assert found == [{"user": "u1"}] * 2


def test_embeddings_are_priced_by_tokens_and_stored_ones_are_savings(
    costs: CostEventHandler,
) -> None:
    store = SimpleKVStore()
    model = MockEmbedding(embed_dim=2, model_name="text-embedding-3-small")
    cached = with_embeddings_cache(model, store)
    cached.get_text_embedding_batch(["one two three", "four"])
    cached.get_text_embedding_batch(["one two three", "five"])
    asyncio.run(cached.aget_query_embedding("four"))
    spent, again, spared, query = records(costs)
    assert [r.usage.input_tokens for r in (spent, again, spared, query)] == [4, 1, 0, 0]
    assert [r.hit for r in (spent, again, spared, query)] == [False, False, True, True]
    assert spared.saved == Decimal("0.00000002") * 3
    assert spared.hit_strategy == "cache.embeddings"


TEXTS = [f"text number {number}" for number in range(7)]


class SlowEmbedding(MockEmbedding):
    """Embeds nothing: it waits, or fails at a text."""

    async def _aget_text_embedding(self, text: str) -> list[float]:
        if text == TEXTS[-1]:
            raise LookupError
        await asyncio.sleep(60)
        return [0.0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self._aget_text_embedding(query)


@pytest.mark.parametrize("workers", [None, 2])
def test_all_batches_of_texts_are_counted(costs: CostEventHandler, workers: int | None) -> None:
    model = MockEmbedding(
        embed_dim=2, model_name="text-embedding-3-small", embed_batch_size=3, num_workers=workers
    )
    asyncio.run(model.aget_text_embedding_batch(TEXTS))
    model.get_text_embedding_batch(TEXTS)
    found = [record.usage.input_tokens for record in records(costs)]
    assert found[:3] == found[3:]
    assert sum(found[:3]) == 4 * len(TEXTS)


def test_a_text_of_a_later_batch_is_served_after_it_was_embedded(costs: CostEventHandler) -> None:
    model = MockEmbedding(embed_dim=2, model_name="text-embedding-3-small", embed_batch_size=1)
    cached = with_embeddings_cache(model, SimpleKVStore())
    cached.get_text_embedding_batch(["one two", "one two"])
    assert [record.hit for record in records(costs)] == [False, True]


def test_embeddings_that_are_given_up_have_a_cost(costs: CostEventHandler) -> None:
    model = SlowEmbedding(embed_dim=2, model_name="text-embedding-3-small", embed_batch_size=3)

    async def ask() -> None:
        for call in (model.aget_text_embedding_batch(TEXTS[:5]), model.aget_query_embedding("Hi")):
            with suppress(TimeoutError):
                await asyncio.wait_for(call, 0.01)
        with suppress(LookupError):
            await model.aget_text_embedding_batch(TEXTS)

    asyncio.run(ask())
    found = records(costs)
    (failed,) = (record for record in found if record.status == "error")
    assert (failed.error, failed.cost) == ("LookupError", 0)
    others = [record for record in found if record is not failed]
    assert sorted(record.usage.input_tokens for record in others) == [1, 8, 12, 12, 12]
    assert {(record.status, record.estimated) for record in others} == {("abandoned", True)}


def test_a_meter_keeps_no_call_that_failed() -> None:
    meter = UsageMeter()
    meter.attach()
    with meter.measure() as total, suppress(ValueError):
        FakeLLM(fail=lambda _: ValueError("no")).chat(QUESTION)
    meter.detach()
    alive = weakref.ref(total)
    del total
    gc.collect()
    assert alive() is None


def test_a_stream_that_nobody_begins_to_read_is_let_go(costs: CostEventHandler) -> None:
    question = ChatMessage("Is anybody there?")
    stream = FakeLLM().stream_chat([question])
    del stream
    gc.collect()
    (record,) = records(costs)
    assert (record.status, record.estimated) == ("abandoned", True)


def test_two_models_never_share_vectors() -> None:
    store = SimpleKVStore()
    small = with_embeddings_cache(MockEmbedding(embed_dim=2), store)
    large = with_embeddings_cache(MockEmbedding(embed_dim=3), store)
    assert len(small.get_text_embedding("x")) == 2
    assert len(large.get_text_embedding("x")) == 3
    assert len(small.get_text_embedding("x")) == 2
    place = small.embeddings_cache
    assert place is not None
    assert list(place.get_all("embeddings")) == ["x"]
    assert place.delete("x", "embeddings")
    assert place.get("x", "embeddings") is None
    assert large.embeddings_cache.get("x", "embeddings") is not None


def test_a_broken_embeddings_store_loses_no_vector(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SimpleKVStore):
        def get(self, *args: Any, **kwargs: Any) -> Any:
            raise OSError("disk")

        put = get

    model = with_embeddings_cache(MockEmbedding(embed_dim=2), Broken())
    assert model.get_text_embedding("x") == model.get_text_embedding("x") == [0.5, 0.5]
    assert asyncio.run(model.aget_query_embedding("x")) == [0.5, 0.5]
    assert len(caplog.records) == 1


def test_attaching_twice_counts_once_and_detaching_is_complete() -> None:
    costs, other = CostEventHandler(), CostEventHandler()
    costs.attach().attach()
    other.attach()
    FakeLLM().chat(QUESTION)
    costs.detach()
    FakeLLM().chat(QUESTION)
    other.detach()
    assert (len(records(costs)), len(records(other))) == (1, 2)
    root = get_dispatcher()
    assert not {id(costs), id(other)} & {id(handler) for handler in root.event_handlers}


def test_a_failing_ledger_is_logged_once(
    costs: CostEventHandler, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Ledger, record: CallRecord) -> None:
        raise OSError("disk")

    monkeypatch.setattr(Ledger, "record", broken)
    for _ in range(2):
        assert FakeLLM().chat(QUESTION).message.content
    assert len(caplog.records) == 1


def test_an_llm_without_tools_or_async_methods_counts_once(costs: CostEventHandler) -> None:
    llm = CachedLLM(llm=PlainLLM())
    asyncio.run(llm.achat(QUESTION))
    asyncio.run(llm.achat(QUESTION))
    assert [record.hit for record in records(costs)] == [False, True]


def test_hit_events_hold_no_text() -> None:
    events: list[Any] = []
    root = get_dispatcher()
    root.event_handlers = [SimpleNamespace(handle=lambda event, **_: events.append(event))]
    llm = CachedLLM(llm=FakeLLM())
    llm.chat(QUESTION)
    llm.chat(QUESTION)
    (hit,) = [event for event in events if isinstance(event, LLMCacheHitEvent)]
    assert hit.tier == "exact"
    assert hit.usage == USAGE
    assert "password" not in hit.model_dump_json()


class LocalLLM(CustomLLM):
    """An LLM of an app's own, as the documentation shows: replies without a provider's object."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="gpt-4o-mini")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="all of it")

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        yield CompletionResponse(text="all", delta="all")
        yield CompletionResponse(text="all of it", delta=" of it")


@pytest.mark.parametrize("at_once", [1, 3])
async def test_a_stream_inside_a_stream_counts_once(costs: CostEventHandler, at_once: int) -> None:
    """The asynchronous streams of LlamaIndex's `CustomLLM` read its synchronous ones."""
    llm = LocalLLM()

    async def read() -> None:
        async for _ in await llm.astream_chat(QUESTION):
            await asyncio.sleep(0)
        async for _ in await llm.astream_complete("How?"):
            await asyncio.sleep(0)

    await asyncio.gather(*(read() for _ in range(at_once)))
    found = await asyncio.to_thread(records, costs)
    assert len(found) == 2 * at_once
    assert all(record.usage.output_tokens == 3 for record in found)


class BreaksOff(LocalLLM):
    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        yield CompletionResponse(text="all", delta="all")
        yield CompletionResponse(text="all of", delta=" of")
        raise ConnectionError


@pytest.mark.parametrize("method", ["astream_chat", "astream_complete"])
async def test_a_stream_inside_a_stream_that_breaks_off_counts_once(
    costs: CostEventHandler, method: str
) -> None:
    with pytest.raises(ConnectionError):
        async for _ in await getattr(BreaksOff(), method)(
            QUESTION if method == "astream_chat" else "How?"
        ):
            pass
    (record,) = await asyncio.to_thread(records, costs)
    assert record.status == "error"
    assert record.usage.output_tokens == 2


@pytest.mark.parametrize("method", ["astream_chat", "astream_complete"])
async def test_a_stream_inside_a_stream_that_is_left_counts_once(
    costs: CostEventHandler, method: str
) -> None:
    stream = await getattr(LocalLLM(), method)(QUESTION if method == "astream_chat" else "How?")
    await anext(stream)
    await stream.aclose()
    del stream
    gc.collect()
    await asyncio.sleep(0)
    (record,) = await asyncio.to_thread(records, costs)
    assert record.status == "abandoned"
    assert record.usage.output_tokens == 1


@pytest.mark.parametrize("deltas", [["one"], ["word "] * 20])
def test_deltas_of_a_broken_stream_count_without_a_text(
    costs: CostEventHandler, deltas: list[str]
) -> None:
    """LlamaIndex's Anthropic has the text of its message only when a part of it is complete."""

    class Deltas(LocalLLM):
        @llm_completion_callback()
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            for delta in deltas:
                yield CompletionResponse(text="", delta=delta)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        list(Deltas().stream_complete("How?"))
    (record,) = records(costs)
    assert record.usage.output_tokens >= len(deltas)


def test_one_reply_for_several_calls_counts_for_each(costs: CostEventHandler) -> None:
    class Constant(LocalLLM):
        _reply = CompletionResponse(text="all of it")

        @llm_completion_callback()
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            return self._reply

    for _ in range(3):
        Constant().complete("How?")
    assert len(records(costs)) == 3
