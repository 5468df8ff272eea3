"""`CostCallbackHandler`: each model run of an app is recorded once, with its cost or saving."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import BaseLLM
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers.base import BaseTracer
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers import (
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
)
from llm_optimizers.costs import CallRecord, Ledger, Usage
from llm_optimizers.routing import Always
from support.fakes import StreamingFake
from support.openai_server import FakeOpenAI
from support.waiting import aeventually, collecting_nothing

Chat = Callable[..., ChatOpenAI]
# 10 and 5 tokens of gpt-4o-mini at $0.15 and $0.60 a million
COST = Decimal("0.0000045")
QUESTION = "How do I activate my new card?"


@pytest.fixture
def costs() -> CostCallbackHandler:
    return CostCallbackHandler()


def without_run(record: CallRecord) -> dict[str, str]:
    return {name: value for name, value in record.tags.items() if name != "run"}


def records(costs: CostCallbackHandler) -> list[CallRecord]:
    return list(costs.ledger.records())


def using(costs: CostCallbackHandler, **config: Any) -> Any:
    return {"callbacks": [costs], **config}


@pytest.mark.loopback
class TestOverHTTP:
    """With a real `ChatOpenAI`."""

    def test_a_call_costs_what_the_provider_counted(
        self, chat: Chat, costs: CostCallbackHandler
    ) -> None:
        chat().invoke(QUESTION, using(costs))
        (record,) = records(costs)
        assert record.cost == record.baseline_cost == COST
        assert (record.model, record.provider, record.status) == ("gpt-4o-mini", "openai", "ok")
        assert record.latency_s is not None
        assert not record.estimated

    @pytest.mark.parametrize("kind", ["cache=", "wrapper", "stream", "langchain"])
    def test_a_hit_is_a_saving_and_not_spend(
        self, kind: str, chat: Chat, costs: CostCallbackHandler
    ) -> None:
        cache: Any = InMemoryCache() if kind == "langchain" else HybridCache()
        model: Any = (
            CachedChatModel(model=chat(stream_usage=True), cache=cache)
            if kind in ("wrapper", "stream")
            else chat(cache=cache)
        )
        for _ in range(3):
            if kind == "stream":
                list(model.stream(QUESTION, using(costs)))
            else:
                model.invoke(QUESTION, using(costs))
        first, *hits = records(costs)
        assert first.cost == COST
        assert len(hits) == 2
        for hit in hits:
            assert (hit.cost, hit.baseline_cost, hit.hit) == (0, COST, True)
            assert hit.usage.total_tokens == 0
        summary = costs.summary()
        assert (summary.requests, summary.hits) == (3, 2)
        assert (summary.cost, summary.saved) == (COST, 2 * COST)

    def test_a_ledger_in_the_cache_and_a_callback_count_a_hit_once(self, chat: Chat) -> None:
        ledger = Ledger()
        costs = CostCallbackHandler(ledger)
        model = chat(cache=HybridCache(ledger=ledger))
        for _ in range(2):
            model.invoke(QUESTION, using(costs))
        assert [record.hit for record in ledger.records()] == [False, True]

    def test_a_stream_with_usage_is_measured_and_one_without_estimated(
        self, server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
    ) -> None:
        list(chat(stream_usage=True).stream(QUESTION, using(costs)))
        list(chat(stream_usage=False).stream(QUESTION, using(costs)))
        measured, counted = records(costs)
        assert (measured.cost, measured.estimated) == (COST, False)
        assert counted.estimated
        assert counted.cost is not None
        assert counted.usage.input_tokens > 5
        assert counted.usage.output_tokens > 5

    def test_flex_and_cached_tokens_are_priced_as_such(
        self, server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
    ) -> None:
        usage = {
            "prompt_tokens": 2_000,
            "completion_tokens": 100,
            "total_tokens": 2_100,
            "prompt_tokens_details": {"cached_tokens": 1_000},
        }
        server.usage = usage
        model = chat(model="o4-mini")
        model.invoke(QUESTION, using(costs))
        server.service_tier = "flex"
        model.invoke(QUESTION, using(costs))
        standard, flex = records(costs)
        # A thousand tokens in full at $1.10 a million, a thousand cached at a quarter of that, and
        # a hundred written at $4.40.
        assert standard.cost == Decimal("0.001815")
        assert flex.tier == "flex"
        assert flex.usage == standard.usage
        assert flex.cost == Decimal("0.000908")  # the cached ones at $0.138

    def test_an_error_is_recorded_by_its_class_alone(
        self, server: FakeOpenAI, chat: Chat, costs: CostCallbackHandler
    ) -> None:
        import openai

        server.failures.append(429)
        with pytest.raises(openai.RateLimitError) as caught:
            chat().invoke(QUESTION, using(costs))
        (record,) = records(costs)
        assert (record.status, record.error) == ("error", type(caught.value).__name__)

    async def test_batches_and_asynchronous_calls_are_counted(
        self, chat: Chat, costs: CostCallbackHandler
    ) -> None:
        model = chat(http_client=None)
        await model.abatch(["a", "b", "c"], using(costs))
        assert len([c async for c in model.astream("d", using(costs))]) > 1
        model.batch(["e", "f"], using(costs))
        assert len(records(costs)) == 6

    def test_the_ledger_holds_no_text(self, server: FakeOpenAI, chat: Chat, tmp_path: Path) -> None:
        server.reply = lambda body: "Quokkas are marsupials"
        with Ledger(tmp_path / "costs.sqlite") as ledger:
            costs = CostCallbackHandler(ledger)
            cached = CachedChatModel(model=chat())
            chain = ChatPromptTemplate.from_template("Tell me about {animal}") | cached
            for _ in range(2):
                chain.invoke({"animal": "zebras"}, using(costs, metadata={"user": "u17"}))
            server.failures.append(500)
            with pytest.raises(Exception, match="failure requested by the test"):
                chain.invoke({"animal": "giraffes"}, using(costs))
        raw = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"u17" in raw
        for text in (
            b"zebras",
            b"giraffes",
            b"Tell me",
            b"Quokkas",
            b"failure requested by the test",
            b"sk-",
        ):
            assert text not in raw


class Wrapper(StreamingFake):
    """A model that calls another one inside its own run."""

    inner: Any = None

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any) -> Any:
        callbacks = CallbackManager(
            run_manager.inheritable_handlers, parent_run_id=run_manager.run_id
        )
        config: Any = {"callbacks": callbacks} if self.n == 1 else None
        answer = self.inner.invoke(messages, config)
        return ChatResult(generations=[ChatGeneration(message=answer)])


@pytest.mark.parametrize("n", [1, 2])
def test_a_run_inside_a_run_is_counted_once(costs: CostCallbackHandler, n: int) -> None:
    """Whether the inner run names its parent (n=1) or only inherits the chain's callbacks."""
    cached = CachedChatModel(model=StreamingFake())
    chain = ChatPromptTemplate.from_template("{q}") | Wrapper(inner=cached, n=n)
    for _ in range(2):
        chain.invoke({"q": QUESTION}, using(costs))
    assert [record.hit for record in records(costs)] == [False, True]


def test_the_users_metadata_and_tags_are_recorded_without_the_frameworks(
    costs: CostCallbackHandler,
) -> None:
    chain = ChatPromptTemplate.from_template("{q}") | StreamingFake()
    chain.invoke(
        {"q": QUESTION},
        using(costs, metadata={"user": "u1", "plan": 2}, tags=["beta", "langsmith:hidden"]),
    )
    (record,) = records(costs)
    assert without_run(record) == {"user": "u1", "plan": "2", "tags": "beta"}


async def test_abandoned_streams_are_recorded_as_abandoned(
    costs: CostCallbackHandler,
) -> None:
    model, question = CachedChatModel(model=StreamingFake()), HumanMessage(QUESTION)
    left = model.stream([question], using(costs))
    next(iter(left))
    left.close()  # type: ignore[attr-defined]  # a generator, as of every chat model
    stream = model.astream([question], using(costs))
    await anext(aiter(stream))
    await stream.aclose()  # type: ignore[attr-defined]  # likewise
    assert [record.status for record in records(costs)] == ["abandoned", "abandoned"]
    alive = weakref.ref(question)
    del question, left, stream
    gc.collect()
    assert alive() is None  # the handler keeps no run


WRAPPED: dict[str, Callable[[StreamingFake], Any]] = {
    "plain": lambda fake: fake,
    "cached": lambda fake: CachedChatModel(model=fake, cache=HybridCache()),
    "optimized": lambda fake: OptimizedChatModel(model=fake),
    "routed": lambda fake: ChatModelRouter({"gpt-4o-mini": fake}),
}


@pytest.mark.parametrize("kind", WRAPPED)
@pytest.mark.parametrize("ending", ["cancel", "wait"])
async def test_a_cancelled_call_is_abandoned(
    kind: str, ending: str, costs: CostCallbackHandler
) -> None:
    """LangChain does not report the end; it is recorded without a garbage collection."""
    fake = StreamingFake(delay=60)
    model, config = WRAPPED[kind](fake), using(costs, metadata={"user": "u1"})

    async def in_a_task_that_goes_on() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                asyncio.get_running_loop().create_task(expire(limit))
                await model.ainvoke(QUESTION, config)

    async def expire(limit: asyncio.Timeout) -> None:
        await aeventually(lambda: fake.calls)
        limit.reschedule(0)

    with collecting_nothing():
        if ending == "wait":
            await in_a_task_that_goes_on()
        else:
            task = asyncio.create_task(model.ainvoke(QUESTION, config))
            await aeventually(lambda: fake.calls)
            assert not records(costs)  # it may still answer
            task.cancel()
            await asyncio.wait([task])
            del task
        await asyncio.sleep(0)
        (record,) = records(costs)
    assert (record.status, record.error, record.latency_s) == ("abandoned", "CancelledError", None)
    assert record.estimated
    assert record.usage.input_tokens > 5
    assert (record.usage.output_tokens, without_run(record)) == (0, {"user": "u1"})


async def test_a_cancelled_call_is_recorded_when_another_begins() -> None:
    ledger = Ledger()
    costs = CostCallbackHandler(ledger)
    fake = StreamingFake(delay=60)
    slow = asyncio.create_task(fake.ainvoke(QUESTION, using(costs)))
    await aeventually(lambda: fake.calls)
    slow.cancel()
    await asyncio.wait([slow])
    del slow
    gc.collect()
    await StreamingFake().ainvoke(QUESTION, using(costs))
    assert [record.status for record in ledger.records()] == ["abandoned", "ok"]


async def test_a_trace_that_keeps_the_run_hides_no_cancelled_call() -> None:
    ledgers = [Ledger(), Ledger()]
    trace = _Trace()
    fake = StreamingFake(delay=60, callbacks=[CostCallbackHandler(ledgers[0])])
    config: Any = {"callbacks": [CostCallbackHandler(ledgers[1]), trace]}
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:
            loop = asyncio.get_running_loop()
            loop.call_soon(_expire_once, fake, limit)
            await fake.ainvoke(QUESTION, config)
    assert trace.run_map
    for ledger in ledgers:
        assert [(r.status, r.estimated) for r in ledger.records()] == [("abandoned", True)]


class _Trace(BaseTracer):
    """Keeps every run that does not end."""

    def _persist_run(self, run: Any) -> None:
        pass


def _expire_once(fake: StreamingFake, limit: asyncio.Timeout) -> None:
    loop = asyncio.get_running_loop()
    if fake.calls:
        limit.reschedule(0)
    else:
        loop.call_later(0.005, _expire_once, fake, limit)


async def test_a_call_cancelled_before_it_was_sent_costs_nothing(
    costs: CostCallbackHandler,
) -> None:
    fake = StreamingFake(delay=60)
    task = asyncio.create_task(fake.ainvoke(QUESTION, using(costs)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    del task
    await asyncio.sleep(0.01)
    assert not fake.calls
    (record,) = records(costs)
    assert (record.status, record.cost, record.estimated) == ("abandoned", 0, False)


def test_beyond_a_limit_the_oldest_run_is_recorded_as_abandoned(costs: CostCallbackHandler) -> None:
    """As if tracing kept every run for ever; runs that end do not count."""
    ids = [uuid4() for _ in range(20_002)]
    for run_id in ids:
        costs.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=run_id)
        if run_id is ids[1]:
            costs.on_llm_end(LLMResult(generations=[]), run_id=run_id)
    found = {record.id: record.status for record in records(costs)}
    assert found == {str(ids[1]): "ok", str(ids[0]): "abandoned"}


@pytest.mark.parametrize("kind", ["cache=", "wrapper", "stream"])
def test_a_hit_is_recorded_with_all_its_fields(kind: str) -> None:
    """Recorded by the cache, the handler or both, it has the same baseline and tags."""
    found = []
    for by_cache, by_handler in ((True, True), (False, True), (True, False)):
        ledger = Ledger()
        cache = HybridCache(ledger=ledger if by_cache else None)
        fake = StreamingFake(cache=cache if kind == "cache=" else None)
        cheap = fake if kind == "cache=" else CachedChatModel(model=fake, cache=cache)
        models = {"gpt-4o-mini": cheap, "gpt-4o": StreamingFake(model="gpt-4o")}
        routed = ChatModelRouter(models, policy=Always("gpt-4o-mini"))
        config: Any = {"metadata": {"user": "u1"}}
        if by_handler:
            config["callbacks"] = [CostCallbackHandler(ledger)]
        for _ in range(2):
            if kind == "stream":
                list(routed.stream(QUESTION, config))
            else:
                routed.invoke(QUESTION, config)
        (hit,) = (record for record in ledger.records() if record.hit)
        found.append((hit.baseline_model, hit.baseline_cost, hit.provider, without_run(hit)))
    full = found[1]
    assert full[0] == "gpt-4o"
    assert full[2:] == ("openai", {"user": "u1"})
    assert found[0] == full
    # LangChain gives a cache set with `cache=` only the prompt.
    assert found[2] == (full if kind != "cache=" else (*full[:2], None, {}))


def test_a_failed_calls_messages_are_freed(costs: CostCallbackHandler) -> None:
    model, question = StreamingFake(fail=lambda text: ValueError("no")), HumanMessage(QUESTION)
    with pytest.raises(ValueError):
        model.invoke([question], using(costs))
    alive = weakref.ref(question)
    del question
    gc.collect()
    assert alive() is None


def test_32_threads_share_a_handler(costs: CostCallbackHandler) -> None:
    model = CachedChatModel(model=StreamingFake())
    asked = [f"What is {number % 8}?" for number in range(320)]
    alive: list[weakref.ref[HumanMessage]] = []

    def ask(text: str) -> AIMessage:
        question = HumanMessage(text)
        alive.append(weakref.ref(question))
        return model.invoke([question], using(costs, metadata={"q": text}))

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, asked))
    assert all(a.text.endswith(q) for a, q in zip(answers, asked, strict=True))
    assert len(records(costs)) == 320
    assert sum(not record.hit for record in records(costs)) == 8
    gc.collect()
    assert not any(ref() for ref in alive)


class Completions(BaseLLM):
    """A completion model that reports the tokens of all its prompts together, or none."""

    counts: dict[str, int] = {}  # noqa: RUF012 - a pydantic field

    @property
    def _llm_type(self) -> str:
        return "completions"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "gpt-3.5-turbo-instruct"}

    def _generate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        return LLMResult(
            generations=[[Generation(text=f"{prompt} two three")] for prompt in prompts],
            llm_output={"token_usage": self.counts},
        )


async def test_prompts_that_are_sent_together_have_one_usage(costs: CostCallbackHandler) -> None:
    model = Completions(counts={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
    model.generate(["one", "four", "five"], callbacks=[costs])
    await model.agenerate(["six", "seven"], callbacks=[costs])
    found = [(record.usage.total_tokens, record.estimated) for record in records(costs)]
    assert found == [(15, False), (0, False), (0, False), (15, False), (0, False)]


async def test_prompts_that_are_sent_together_without_usage_are_all_counted(
    costs: CostCallbackHandler,
) -> None:
    Completions().generate(["one", "four"], callbacks=[costs])
    await Completions().agenerate(["six", "seven"], callbacks=[costs])
    for record in records(costs):
        assert (record.usage, record.estimated) == (Usage(input_tokens=1, output_tokens=3), True)


def test_a_completion_model_without_usage_is_estimated(costs: CostCallbackHandler) -> None:
    FakeListLLM(responses=["one two three"]).invoke("Say it", using(costs))
    (record,) = records(costs)
    assert record.estimated
    assert record.cost is None


def test_an_unknown_model_is_unpriced_not_free(costs: CostCallbackHandler) -> None:
    StreamingFake(model="no-such-model-7").invoke(QUESTION, using(costs))
    (record,) = records(costs)
    assert record.cost is None
    assert costs.summary().unpriced == 1


def test_several_generations_count_one_usage(costs: CostCallbackHandler) -> None:
    StreamingFake(n=3).invoke(QUESTION, using(costs))
    (record,) = records(costs)
    assert record.usage.output_tokens < 20


def test_an_end_without_a_start_records_nothing(costs: CostCallbackHandler) -> None:
    result = LLMResult(generations=[[ChatGeneration(message=AIMessage("x"))]])
    costs.on_llm_end(result, run_id=uuid4())
    costs.on_llm_error(ValueError(), run_id=uuid4())
    assert records(costs) == []
