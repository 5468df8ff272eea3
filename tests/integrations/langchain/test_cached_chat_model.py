"""`CachedChatModel`: every method that calls a chat model uses the same cache."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_llm_optimizers import CachedChatModel, HybridCache
from llm_optimizers.caching import tenant
from llm_optimizers.costs import Ledger
from support.fakes import StreamingFake
from support.openai_server import FakeOpenAI, tool_call

QUESTION = "How do I activate my new card?"
ANSWER = f"gpt-4o-mini says: {QUESTION}"


class RecordingCallback(BaseCallbackHandler):
    """Records what callbacks get."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.ends: list[Any] = []
        self.errors: list[BaseException] = []
        self.tokens: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.starts.append({**kwargs, "serialized": serialized})

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ends.append(response)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)


@pytest.fixture
def fake() -> StreamingFake:
    return StreamingFake()


@pytest.fixture
def model(fake: StreamingFake) -> CachedChatModel:
    return CachedChatModel(model=fake)


def whole(chunks: list[Any]) -> Any:
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


async def call_by(model: Any, method: str) -> Any:
    match method:
        case "invoke":
            return model.invoke(QUESTION)
        case "ainvoke":
            return await model.ainvoke(QUESTION)
        case "stream":
            return whole(list(model.stream(QUESTION)))
        case "astream":
            return whole([chunk async for chunk in model.astream(QUESTION)])
        case "batch":
            return model.batch([QUESTION])[0]
        case "abatch":
            return (await model.abatch([QUESTION]))[0]
        case "generate":
            return model.generate([[HumanMessage(QUESTION)]]).generations[0][0].message
        case "agenerate":
            result = await model.agenerate([[HumanMessage(QUESTION)]])
            return result.generations[0][0].message
        case "v2":
            events = [e async for e in model.astream_events(QUESTION, version="v2")]
            chunks = [e["data"]["chunk"] for e in events if e["event"] == "on_chat_model_stream"]
            return whole(chunks)
    raise AssertionError(method)


METHODS = [
    "invoke",
    "ainvoke",
    "stream",
    "astream",
    "batch",
    "abatch",
    "generate",
    "agenerate",
    "v2",
]


@pytest.mark.parametrize("first", METHODS)
async def test_every_method_serves_what_any_other_stored(
    first: str, model: CachedChatModel, fake: StreamingFake
) -> None:
    made = await call_by(model, first)
    assert made.content == ANSWER
    assert "cache_hit" not in made.response_metadata
    ids = {made.id}
    for again in METHODS:
        served = await call_by(model, again)
        assert served.content == ANSWER
        assert served.response_metadata["cache_hit"]["tier"] == "exact"
        assert served.usage_metadata == {**made.usage_metadata, "total_cost": 0}
        ids.add(served.id)
    assert fake.calls == [QUESTION]
    assert len(ids) == 1 + len(METHODS)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_typed_event_streams_work(model: CachedChatModel, fake: StreamingFake) -> None:
    for _ in range(2):
        stream = model.stream_events(QUESTION, version="v3")
        assert "".join(stream.text) == ANSWER
    stream = await model.astream_events(QUESTION, version="v3")
    assert await stream.text == ANSWER
    assert fake.calls == [QUESTION]


async def test_hits_are_streamed_in_chunks(model: CachedChatModel) -> None:
    model.invoke(QUESTION)
    chunks = list(model.stream(QUESTION))
    assert len(chunks) > 2
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert len([c async for c in model.astream(QUESTION)]) == len(chunks)
    pieces = (ChatPromptTemplate.from_template("{q}") | model | StrOutputParser()).stream(
        {"q": QUESTION}
    )
    assert "".join(pieces) == ANSWER


@pytest.mark.parametrize("text", ["", " ", "\n", " a  b\n\n c ", "a", "ä\u00a0b\u200b", "x" * 500])
def test_the_chunks_of_a_hit_add_up_to_it(text: str) -> None:
    from langchain_llm_optimizers.hits import chunks_of

    message = AIMessage(
        text,
        id="m",
        tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model_name": "m"},
    )
    total = whole(list(chunks_of(message)))
    assert total.content == text
    assert [(c["name"], c["args"], c["id"]) for c in total.tool_calls] == [("f", {"a": 1}, "c")]
    assert total.usage_metadata == message.usage_metadata
    assert total.response_metadata == message.response_metadata


async def test_abandoned_streams_store_nothing(model: CachedChatModel, fake: StreamingFake) -> None:
    left = model.stream(QUESTION)
    next(iter(left))
    left.close()  # type: ignore[attr-defined]  # a generator, as of every chat model
    async for _ in model.astream(QUESTION):
        break
    waiting = asyncio.create_task(anext(aiter(model.astream(QUESTION))))
    await waiting
    assert len(model.cache) == 0
    assert model.invoke(QUESTION).content == ANSWER
    assert len(fake.calls) == 4


async def test_a_cancelled_stream_stores_nothing_and_blocks_no_caller() -> None:
    asked = asyncio.Event()
    fake = StreamingFake(delay=60.0, fail=lambda _: asked.set())
    model = CachedChatModel(model=fake)

    async def read() -> None:
        async for _ in model.astream(QUESTION):
            pass

    task = asyncio.create_task(read())
    await asyncio.wait_for(asked.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(model.cache) == 0
    fake.delay = 0.0
    answer = await asyncio.wait_for(model.ainvoke(QUESTION), 10)
    assert answer.content == ANSWER


@pytest.mark.parametrize("method", ["invoke", "stream"])
async def test_cut_off_answers_are_not_stored(method: str) -> None:
    fake = StreamingFake(finish_reason="length")
    model = CachedChatModel(model=fake)
    for _ in range(2):
        assert (await call_by(model, method)).content == ANSWER
    assert len(fake.calls) == 2
    assert len(model.cache) == 0


def test_five_identical_calls_from_threads_are_one() -> None:
    fake = StreamingFake(delay=0.1)
    model = CachedChatModel(model=fake)
    barrier = threading.Barrier(5)

    def call(_: int) -> Any:
        barrier.wait(10)
        return model.invoke(QUESTION)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(call, range(5)))
    assert fake.calls == [QUESTION]
    assert [answer.content for answer in answers] == [ANSWER] * 5
    assert len({answer.id for answer in answers}) == 5


async def test_five_identical_calls_from_tasks_streams_and_batches_are_one() -> None:
    fake = StreamingFake(delay=0.02)
    model = CachedChatModel(model=fake)
    calls = [
        call_by(model, method) for method in ("ainvoke", "astream", "abatch", "agenerate", "v2")
    ]
    answers = await asyncio.gather(*calls)
    assert fake.calls == [QUESTION]
    assert [answer.content for answer in answers] == [ANSWER] * 5
    assert await model.abatch([QUESTION] * 5)
    assert fake.calls == [QUESTION]


async def test_a_batch_of_one_question_is_one_call() -> None:
    fake = StreamingFake(delay=0.02)
    model = CachedChatModel(model=fake)
    await model.abatch(["A question?"] * 5)
    model.batch(["Another one?"] * 5)
    assert sorted(fake.calls) == ["A question?", "Another one?"]


def test_the_models_error_reaches_the_caller_unchanged() -> None:
    error = ValueError("the provider's own")
    model = CachedChatModel(model=StreamingFake(fail=lambda text: error))
    for call in (model.invoke, lambda q: list(model.stream(q))):
        with pytest.raises(ValueError) as caught:
            call(QUESTION)
        assert caught.value is error
    assert len(model.cache) == 0


async def test_callbacks_get_each_call_once(model: CachedChatModel) -> None:
    for method in METHODS:
        recorded = RecordingCallback()
        run_id = uuid4()
        config: Any = {
            "callbacks": [recorded],
            "tags": ["mine"],
            "metadata": {"user": "u1"},
            "run_name": "the_run",
            "run_id": run_id,
        }
        bound: Any = model.with_config(config)
        if method in ("generate", "agenerate"):
            kwargs = {**config, "callbacks": [recorded]}
            turn = [[HumanMessage(QUESTION)]]
            if method == "generate":
                model.generate(turn, **kwargs)
            else:
                await model.agenerate(turn, **kwargs)
        else:
            await call_by(bound, method)
        assert len(recorded.starts) == len(recorded.ends) == 1, method
        start = recorded.starts[0]
        assert start["run_id"] == run_id, method
        assert start["name"] == "the_run", method
        assert "mine" in start["tags"], method
        assert start["metadata"]["user"] == "u1", method
        assert start["metadata"]["ls_model_name"] == "gpt-4o-mini", method


def test_errors_reach_callbacks_once() -> None:
    recorded = RecordingCallback()
    model = CachedChatModel(model=StreamingFake(fail=lambda text: ValueError("no")))
    with pytest.raises(ValueError):
        model.invoke(QUESTION, {"callbacks": [recorded]})
    assert (len(recorded.starts), len(recorded.errors), len(recorded.ends)) == (1, 1, 0)


def test_tokens_of_hits_reach_callbacks(model: CachedChatModel) -> None:
    model.invoke(QUESTION)
    recorded = RecordingCallback()
    list(model.stream(QUESTION, {"callbacks": [recorded]}))
    assert "".join(recorded.tokens) == ANSWER


def test_callbacks_attached_to_the_models_themselves_work() -> None:
    inner, outer = RecordingCallback(), RecordingCallback()
    model = CachedChatModel(
        model=StreamingFake(callbacks=[inner]), callbacks=[outer], tags=["outer"]
    )
    model.invoke(QUESTION)
    model.invoke(QUESTION)
    assert len(outer.starts) == len(inner.starts) == 2
    assert all("outer" in start["tags"] for start in [*outer.starts, *inner.starts])


def test_the_serialised_model_of_a_hit_holds_no_answer() -> None:
    recorded = RecordingCallback()
    model = CachedChatModel(model=StreamingFake())
    for _ in range(2):
        answer = model.invoke(QUESTION, {"callbacks": [recorded]})
    assert answer.response_metadata["cache_hit"]
    assert ANSWER not in str(recorded.starts[1]["serialized"])


async def test_a_hit_runs_under_the_name_tags_and_metadata_of_the_model_behind_it() -> None:
    model = CachedChatModel(model=StreamingFake(tags=["nostream"], metadata={"team": "x"}))

    async def runs() -> list[tuple[Any, ...]]:
        return [
            (event["name"], event["tags"], event["metadata"].get("team"))
            async for event in model.astream_events(QUESTION, version="v2")
            if event["event"] == "on_chat_model_start"
        ]

    assert await runs() == await runs() == [("StreamingFake", ["nostream"], "x")]


def test_it_composes_like_any_model(model: CachedChatModel, fake: StreamingFake) -> None:
    assert model.with_retry().invoke(QUESTION).content == ANSWER
    assert model.with_config(tags=["x"]).invoke(QUESTION).response_metadata["cache_hit"]
    broken = CachedChatModel(model=StreamingFake(fail=lambda text: ValueError("down")))
    assert broken.with_fallbacks([model]).invoke(QUESTION).content == ANSWER
    assert model.bind(stop=["x"]).invoke(QUESTION).content == ANSWER
    assert model.bind(stop=["x"]).invoke(QUESTION).response_metadata["cache_hit"]
    assert model.invoke(QUESTION, stop=["x"]).response_metadata["cache_hit"]
    assert model.bind(stop=["y"]).invoke(QUESTION).content == ANSWER
    assert len(fake.calls) == 3


def test_retries_call_again_what_failed() -> None:
    failures = [ValueError("once")]
    fake = StreamingFake(fail=lambda text: failures.pop() if failures else None)
    model = CachedChatModel(model=fake).with_retry(
        wait_exponential_jitter=False, stop_after_attempt=2
    )
    assert model.invoke(QUESTION).content == ANSWER
    assert len(fake.calls) == 2


def test_a_child_with_its_own_cache_works() -> None:
    inner = HybridCache()
    fake = StreamingFake(cache=inner)
    fake.invoke(QUESTION)
    model = CachedChatModel(model=fake)
    assert model.invoke(QUESTION).content == ANSWER
    assert model.invoke(QUESTION).response_metadata["cache_hit"]["tier"] == "exact"
    assert len(fake.calls) == 1
    assert inner.stats.hits == {"exact": 1}


def test_two_models_share_a_cache_without_sharing_answers() -> None:
    cache = HybridCache()
    models = [CachedChatModel(model=StreamingFake(model=m), cache=cache) for m in ("a", "b")]
    for _ in range(2):
        assert [m.invoke(QUESTION).content for m in models] == [
            f"{name} says: {QUESTION}" for name in ("a", "b")
        ]
    assert len(cache) == 2


def test_a_model_that_does_not_stream_gives_one_chunk() -> None:
    fake = StreamingFake(disable_streaming=True)
    model = CachedChatModel(model=fake)
    assert whole(list(model.stream(QUESTION))).content == ANSWER
    assert whole(list(model.stream(QUESTION))).content == ANSWER
    assert fake.calls == [QUESTION]


def test_a_stream_belongs_to_the_tenant_that_asked(
    model: CachedChatModel, fake: StreamingFake
) -> None:
    with tenant("ann"):
        chunks = model.stream(QUESTION)
    list(chunks)
    list(model.stream(QUESTION))
    assert len(fake.calls) == 2


class Place(BaseModel):
    """A place."""

    city: str


def _local(field: str) -> type[BaseModel]:
    class Local(BaseModel):
        __annotations__ = {field: str}

    return Local


def test_schemas_are_compared_by_content(fake: StreamingFake) -> None:
    model = CachedChatModel(model=fake)
    one, same, other = _local("city"), _local("city"), _local("country")
    for schema in (one, same, other):
        model.invoke(QUESTION, response_format=schema)
    assert len(fake.calls) == 2


def test_a_setting_that_cannot_be_read_bypasses_the_cache(fake: StreamingFake) -> None:
    model = CachedChatModel(model=fake)
    for _ in range(2):
        model.invoke(QUESTION, hook=object())
    assert len(fake.calls) == 2
    assert model.cache.stats.troubles == {"bypassed": 2}


@pytest.mark.loopback
class TestOverHTTP:
    """With a real `ChatOpenAI`."""

    @pytest.fixture
    def model(self, chat: Callable[..., ChatOpenAI]) -> CachedChatModel:
        return CachedChatModel(model=chat(stream_usage=True))

    def test_streams_and_calls_share_answers(
        self, model: CachedChatModel, server: FakeOpenAI
    ) -> None:
        streamed = whole(list(model.stream(QUESTION)))
        served = model.invoke(QUESTION)
        assert served.content == streamed.content == f"answer to {QUESTION}"
        assert served.usage_metadata["input_tokens"] == 10
        assert len(server.requests) == 1

    def test_a_stream_with_a_broken_connection_is_not_stored(
        self, model: CachedChatModel, server: FakeOpenAI
    ) -> None:
        server.cut = True
        list(model.stream(QUESTION))
        assert len(model.cache) == 0

    @pytest.mark.parametrize("wrapped", [False, True])
    def test_an_invoke_that_streams_over_a_broken_connection_is_not_stored(
        self, chat: Callable[..., ChatOpenAI], server: FakeOpenAI, wrapped: bool
    ) -> None:
        cache = HybridCache()
        inner = chat(streaming=True, cache=None if wrapped else cache)
        model = CachedChatModel(model=inner, cache=cache) if wrapped else inner
        server.cut = True
        model.invoke(QUESTION)
        assert len(cache) == 0
        server.cut = False
        model.invoke(QUESTION)
        assert len(cache) == 1

    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_structured_output_is_cached(
        self, model: CachedChatModel, server: FakeOpenAI, method: str
    ) -> None:
        server.reply = lambda body: (
            {"tool_calls": [tool_call("Place", {"city": "Rome"}, "call_1")]}
            if body.get("tools")
            else '{"city": "Rome"}'
        )
        structured = model.with_structured_output(Place, method=method)
        raw = model.with_structured_output(Place, method=method, include_raw=True)
        for _ in range(2):
            assert structured.invoke("The capital?") == Place(city="Rome")
            assert raw.invoke("The capital?")["parsed"] == Place(city="Rome")
            assert list(structured.stream("The capital?"))[-1] == Place(city="Rome")
        assert len(server.requests) == 1

    def test_hits_are_recorded_without_a_callback(self, chat: Callable[..., ChatOpenAI]) -> None:
        ledger = Ledger()
        model = CachedChatModel(model=chat(), cache=HybridCache(ledger=ledger))
        for _ in range(3):
            model.invoke(QUESTION, {"metadata": {"user": "u1"}})
        summary = ledger.summary()
        assert (summary.requests, summary.hits) == (2, 2)
        assert summary.saved > 0
