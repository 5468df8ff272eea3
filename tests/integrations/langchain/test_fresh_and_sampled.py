"""A fresh answer on request, and samples: several calls at once are several answers."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_openai import ChatOpenAI

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
    OptimizedChatModel,
    fresh_answers,
)
from langchain_llm_optimizers.middleware import CacheMiddleware
from support.fakes import StreamingFake
from support.openai_server import FakeOpenAI, waiting_for

pytestmark = pytest.mark.loopback
Maker = Callable[..., ChatOpenAI]
QUESTION = "What is a good name for a cat?"
FRESH: dict[str, Any] = {"metadata": {"llm_optimizers": {"fresh": True}}}


@pytest.fixture
def numbered(server: FakeOpenAI) -> FakeOpenAI:
    """A server whose answers are numbered."""
    number, lock = itertools.count(1), threading.Lock()

    def reply(body: dict[str, Any]) -> str:
        with lock:
            return f"answer {next(number)}"

    server.reply = reply
    return server


async def _gathered(model: Any) -> str:
    return "".join([chunk.content async for chunk in model.astream(QUESTION)])


def in_a_chain(model: Any) -> str:
    return (ChatPromptTemplate.from_template("{q}") | model | StrOutputParser()).invoke(QUESTION)


WAYS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda m: m.invoke(QUESTION).content,
    "ainvoke": lambda m: asyncio.run(m.ainvoke(QUESTION)).content,
    "stream": lambda m: "".join(chunk.content for chunk in m.stream(QUESTION)),
    "astream": lambda m: asyncio.run(_gathered(m)),
    "batch": lambda m: m.batch([QUESTION])[0].content,
    "chain": in_a_chain,
    "agent": lambda m: (
        create_agent(m).invoke({"messages": [("user", QUESTION)]})["messages"][-1].content
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_fresh_answer_replaces_the_stored_one(way: Callable[[Any], Any]) -> None:
    fake = StreamingFake()
    model = CachedChatModel(model=fake)
    way(model)
    way(model)
    assert len(fake.calls) == 1
    with fresh_answers():
        way(model)
        way(model)
    assert len(fake.calls) == 3
    way(model)
    assert len(fake.calls) == 3
    assert len(model.cache) == 1


def test_the_new_answer_is_served_from_then_on(numbered: FakeOpenAI, chat: Maker) -> None:
    for model in (
        CachedChatModel(model=chat()),
        chat(cache=HybridCache()),
    ):
        first = model.invoke(QUESTION).content
        with fresh_answers():
            second = model.invoke(QUESTION).content
            with fresh_answers(False):
                assert model.invoke(QUESTION).content == second
        assert second != first
        assert model.invoke(QUESTION).content == second


@pytest.mark.parametrize("asynchronous", [False, True])
def test_one_call_can_ask_for_it_in_its_config(asynchronous: bool) -> None:
    fake = StreamingFake()

    def ask(model: Any, value: Any, **given: Any) -> None:
        if asynchronous:
            asyncio.run(model.ainvoke(value, **given))
        else:
            model.invoke(value, **given)

    agent_input = {"messages": [("user", "And for a dog?")]}
    agent = create_agent(fake, middleware=[CacheMiddleware()])
    for model, value in (
        (CachedChatModel(model=fake), QUESTION),
        (fake.model_copy(update={"cache": HybridCache()}), QUESTION),
        (CachedChatModel(model=fake) | StrOutputParser(), QUESTION),
        (fake.model_copy(update={"cache": HybridCache()}) | StrOutputParser(), QUESTION),
        (agent, agent_input),
    ):
        fake.calls.clear()
        ask(model, value)
        ask(model, value, config=FRESH)
        assert len(fake.calls) == 2
        ask(model, value)
        assert len(fake.calls) == 2


def test_the_request_for_it_reaches_no_provider(numbered: FakeOpenAI, chat: Maker) -> None:
    model = CachedChatModel(model=chat())
    model.invoke(QUESTION)
    model.invoke(QUESTION, config=FRESH)
    first, second = numbered.requests
    assert first == second


def test_a_stream_is_fresh_if_the_code_that_starts_it_asks(
    numbered: FakeOpenAI, chat: Maker
) -> None:
    model = CachedChatModel(model=chat())
    model.invoke(QUESTION)
    with fresh_answers():
        chunks = model.stream(QUESTION)
    assert "".join(str(chunk.content) for chunk in chunks) == "answer 2"


def test_a_fresh_call_joins_no_call_in_flight(numbered: FakeOpenAI, chat: Maker) -> None:
    numbered.delay = 0.05
    model = CachedChatModel(model=chat())

    def fresh(_: int) -> Any:
        with fresh_answers():
            return model.invoke(QUESTION).content

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(fresh, range(3)))) == 3


WRAPS: dict[str, Callable[[Any], Any]] = {
    "CachedChatModel": lambda m: CachedChatModel(model=m),
    "HybridCache": lambda m: m.model_copy(update={"cache": HybridCache()}),
    "router inside": lambda m: CachedChatModel(model=ChatModelRouter(models={"a": m})),
    "router outside": lambda m: ChatModelRouter(models={"a": CachedChatModel(model=m)}),
    "optimized": lambda m: CachedChatModel(model=OptimizedChatModel(model=m)),
    "batching": lambda m: CachedChatModel(model=BatchingChatModel(model=m)),
    "batched": lambda m: BatchingChatModel(model=m),
}


async def _together(model: Any) -> list[Any]:
    return await asyncio.gather(*(model.ainvoke(QUESTION) for _ in range(5)))


def threads(model: Any) -> list[Any]:
    with ThreadPoolExecutor(5) as pool:
        return list(pool.map(lambda _: model.invoke(QUESTION), range(5)))


def streams(model: Any) -> list[Any]:
    with ThreadPoolExecutor(5) as pool:
        return list(
            pool.map(lambda _: sum(list(model.stream(QUESTION))[1:], start=StrChunk()), range(5))
        )


class StrChunk:
    """Adds up the text of chunks."""

    def __init__(self, content: str = "") -> None:
        self.content = content

    def __add__(self, other: Any) -> StrChunk:
        return StrChunk(self.content + str(other.content))


AT_ONCE: dict[str, Callable[[Any], Any]] = {
    "batch": lambda m: m.batch([QUESTION] * 5),
    "abatch": lambda m: m.abatch([QUESTION] * 5),
    "gather": _together,
    "parallel": lambda m: list(
        RunnableParallel({str(n): m for n in range(5)}).invoke(QUESTION).values()
    ),
    "threads": threads,
    "streams": streams,
}


@pytest.mark.parametrize("together", AT_ONCE.values(), ids=AT_ONCE)
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_samples_are_separate_answers(
    numbered: FakeOpenAI,
    looped: Maker,
    runner: asyncio.Runner,
    wrap: Any,
    together: Callable[[Any], Any],
) -> None:
    waiting_for(numbered, 5)
    answers = together(wrap(looped(temperature=0.8, stream_usage=True)))
    answers = runner.run(answers) if asyncio.iscoroutine(answers) else answers
    assert len({str(answer.content) for answer in answers}) == 5


SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "none": ({}, {}, 1),
    "zero": ({"temperature": 0}, {}, 1),
    "constructor": ({"temperature": 0.1}, {}, 5),
    "call": ({}, {"temperature": 0.5}, 5),
    "call, zero": ({"temperature": 0.9}, {"temperature": 0}, 1),
    "seed": ({"temperature": 0.9, "seed": 4}, {}, 1),
    "top_p": ({"top_p": 0.9}, {}, 5),
    "top_p at zero": ({"temperature": 0, "top_p": 0.9}, {}, 1),
    "model_kwargs": ({"extra_body": {"temperature": 0.6}}, {}, 5),
}


@pytest.mark.parametrize(("made", "called", "calls"), SETTINGS.values(), ids=SETTINGS)
def test_only_explicit_sampling_is_not_merged(
    numbered: FakeOpenAI,
    chat: Maker,
    made: dict[str, Any],
    called: dict[str, Any],
    calls: int,
) -> None:
    numbered.delay = 0.1
    waiting_for(numbered, calls)
    model = CachedChatModel(model=chat(**made)).bind(**called)
    threads(model)
    assert len(numbered.requests) == calls


def test_a_batch_larger_than_the_threads_is_all_samples(numbered: FakeOpenAI, chat: Maker) -> None:
    model = CachedChatModel(model=chat(temperature=1.0))
    prompt = RunnableLambda(lambda _: QUESTION)
    answers = (prompt | model).batch([1] * 9, {"max_concurrency": 2})
    assert len({answer.content for answer in answers}) == 9
    stored = model.invoke(QUESTION).content
    assert {answer.content for answer in model.batch([QUESTION] * 3)} == {stored}
    with fresh_answers():
        assert len({answer.content for answer in model.batch([QUESTION] * 3)}) == 3


def test_samples_of_one_chain_are_separate_however_few_threads_it_has(
    numbered: FakeOpenAI, chat: Maker
) -> None:
    branches = {str(n): CachedChatModel(model=chat(temperature=1.0)) for n in range(9)}
    parallel: Any = RunnableParallel(branches)
    shared = HybridCache()
    for model in branches.values():
        model.cache = shared
    for config in ({}, {"max_concurrency": 1}):
        shared.clear()
        answers = parallel.invoke(QUESTION, config)
        assert len({answer.content for answer in answers.values()}) == 9
    answers = parallel.invoke(QUESTION)
    assert len({answer.content for answer in answers.values()}) == 1, "stored before"


async def _generated(model: Any) -> list[Any]:
    return (await model.agenerate([[HumanMessage(QUESTION)]] * 9)).generations


async def _completed(model: Any) -> list[Any]:
    config = {"max_concurrency": 2}
    return [answer async for _, answer in model.abatch_as_completed([QUESTION] * 9, config)]


IN_TURN: dict[str, Callable[[Any], Any]] = {
    "generate": lambda m: m.generate([[HumanMessage(QUESTION)]] * 9).generations,
    "agenerate": _generated,
    "as completed": lambda m: [
        answer for _, answer in m.batch_as_completed([QUESTION] * 9, {"max_concurrency": 2})
    ],
    "as completed, async": _completed,
}


@pytest.mark.parametrize("together", IN_TURN.values(), ids=IN_TURN)
def test_samples_of_every_kind_of_batch_are_separate(
    numbered: FakeOpenAI, looped: Maker, runner: asyncio.Runner, together: Callable[[Any], Any]
) -> None:
    answers = together(CachedChatModel(model=looped(temperature=1.0)))
    answers = runner.run(answers) if asyncio.iscoroutine(answers) else answers
    assert len(answers) == len(numbered.requests) == 9


def test_no_answers_as_completed(chat: Maker, runner: asyncio.Runner) -> None:
    async def completed() -> list[Any]:
        return [each async for each in CachedChatModel(model=chat()).abatch_as_completed([])]

    assert list(CachedChatModel(model=chat()).batch_as_completed([])) == []
    assert runner.run(completed()) == []


def test_the_reader_of_a_batch_is_no_part_of_it(numbered: FakeOpenAI, chat: Maker) -> None:
    model = CachedChatModel(model=chat(temperature=1.0))
    seen = []
    for _, answer in model.batch_as_completed([QUESTION, "And for a dog?"]):
        model.invoke("And for a fish?")
        seen.append(answer)
    assert len(numbered.requests) == 3


@pytest.mark.parametrize("combine", [False, True])
@pytest.mark.parametrize("own_cache", [False, True])
def test_a_fresh_answer_through_shared_calls(
    numbered: FakeOpenAI, chat: Maker, combine: bool, own_cache: bool
) -> None:
    """A shared call runs in no caller's context."""
    inner = chat(cache=HybridCache()) if own_cache else CachedChatModel(model=chat())
    model = BatchingChatModel(model=inner, combine=combine)
    first = model.invoke(QUESTION).content
    assert model.invoke(QUESTION).content == first
    with fresh_answers():
        second = model.invoke(QUESTION).content
    third = model.invoke(QUESTION, FRESH).content  # type: ignore[arg-type]
    assert len({first, second, third}) == 3
    assert model.invoke(QUESTION).content == third


def test_samples_of_one_chain_are_separate_with_langchains_cache(
    numbered: FakeOpenAI, chat: Maker
) -> None:
    model = chat(cache=HybridCache(), temperature=1.0)
    parallel: Any = RunnableParallel({str(n): model for n in range(9)})
    answers = parallel.invoke(QUESTION, {"max_concurrency": 1})
    assert len({answer.content for answer in answers.values()}) == 9
    answers = parallel.invoke(QUESTION, {"max_concurrency": 1})
    assert len({answer.content for answer in answers.values()}) == 1, "stored before"
    merged: Any = RunnableParallel({str(n): model.bind(temperature=0) for n in range(9)})
    answers = merged.invoke(QUESTION, {"max_concurrency": 1})
    assert len({answer.content for answer in answers.values()}) == 1
