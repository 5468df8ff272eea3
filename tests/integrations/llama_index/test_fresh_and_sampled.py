"""A fresh answer on request, and samples: several calls at once are several answers."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage

from llama_index_llm_optimizers import (
    BatchedLLM,
    CachedLLM,
    CachedQueryEngine,
    PromptOptimizingLLM,
    RoutedLLM,
    abatch_chat,
    fresh_answers,
)
from support.llama_fakes import FakeLLM, HashEmbedding
from support.llama_openai import OpenAIRunner
from support.openai_server import FakeOpenAI, waiting_for

QUESTION = [ChatMessage("What is a good name for a cat?")]


@pytest.fixture
def numbered(server: FakeOpenAI) -> FakeOpenAI:
    """A server whose answers are numbered."""
    number, lock = itertools.count(1), threading.Lock()

    def reply(body: dict[str, Any]) -> str:
        with lock:
            return f"answer {next(number)}"

    server.reply, server.delay = reply, 0.05
    return server


def engine(llm: Any) -> Any:
    index = VectorStoreIndex.from_documents(
        [Document(text="Cats like names that end in a vowel.")], embed_model=HashEmbedding()
    )
    return index.as_query_engine(llm=llm)


async def _joined(chunks: Any) -> str:
    return "".join([chunk.delta or "" async for chunk in await chunks])


async def _agent(llm: Any) -> str:
    return str(await FunctionAgent(llm=llm, tools=[]).run("What is a good name for a cat?"))


WAYS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda llm: llm.chat(QUESTION),
    "achat": lambda llm: asyncio.run(llm.achat(QUESTION)),
    "stream_chat": lambda llm: list(llm.stream_chat(QUESTION)),
    "astream_chat": lambda llm: asyncio.run(_joined(llm.astream_chat(QUESTION))),
    "complete": lambda llm: llm.complete("What?"),
    "agent": lambda llm: asyncio.run(_agent(llm)),
    "query engine": lambda llm: engine(llm).query("What is a good name?"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_fresh_answer_replaces_the_stored_one(way: Callable[[Any], Any]) -> None:
    fake = FakeLLM()
    llm = CachedLLM(fake)
    way(llm)
    way(llm)
    once = len(fake.calls)
    with fresh_answers():
        way(llm)
        way(llm)
    assert len(fake.calls) == 3 * once
    way(llm)
    assert len(fake.calls) == 3 * once
    assert len(llm.cache) == once


@pytest.mark.parametrize("streaming", [False, True])
def test_a_query_engine_asks_again(streaming: bool) -> None:
    fake = FakeLLM()
    index = VectorStoreIndex.from_documents(
        [Document(text="Cats like names that end in a vowel.")], embed_model=HashEmbedding()
    )
    cached = CachedQueryEngine(index.as_query_engine(llm=fake, streaming=streaming))

    def ask() -> str:
        response = cached.query("What is a good name?")
        return "".join(response.response_gen) if streaming else str(response)

    ask()
    ask()
    assert len(fake.calls) == 1
    with fresh_answers():
        ask()
    assert len(fake.calls) == 2
    with fresh_answers():
        asyncio.run(_queried(cached, streaming))
    assert len(fake.calls) == 3
    ask()
    assert len(fake.calls) == 3


async def _queried(cached: Any, streaming: bool) -> None:
    response = await cached.aquery("What is a good name?")
    if streaming:
        async for _ in response.response_gen:
            pass


def test_a_stream_is_fresh_if_the_code_that_starts_it_asks() -> None:
    fake = FakeLLM()
    llm = CachedLLM(fake)
    llm.chat(QUESTION)
    with fresh_answers():
        chunks = llm.stream_chat(QUESTION)
    list(chunks)
    assert len(fake.calls) == 2


WRAPS: dict[str, Callable[[Any], Any]] = {
    "CachedLLM": CachedLLM,
    "router inside": lambda llm: CachedLLM(RoutedLLM(models={"a": llm})),
    "router outside": lambda llm: RoutedLLM(models={"a": CachedLLM(llm)}),
    "optimized": lambda llm: CachedLLM(PromptOptimizingLLM(llm)),
    "batching": lambda llm: CachedLLM(BatchedLLM(llm)),
    "batched": BatchedLLM,
}


def threads(llm: Any, **settings: Any) -> list[str]:
    with ThreadPoolExecutor(5) as pool:
        answers = pool.map(lambda _: llm.chat(QUESTION, **settings), range(5))
        return [str(answer.message.content) for answer in answers]


def streams(llm: Any) -> list[str]:
    with ThreadPoolExecutor(5) as pool:
        answers = pool.map(lambda _: list(llm.stream_chat(QUESTION))[-1], range(5))
        return [str(answer.message.content) for answer in answers]


async def _gathered(llm: Any) -> list[str]:
    answers = await asyncio.gather(*(llm.achat(QUESTION) for _ in range(5)))
    return [str(answer.message.content) for answer in answers]


AT_ONCE: dict[str, Callable[[Any], Any]] = {
    "threads": threads,
    "streams": streams,
    "gather": _gathered,
}


@pytest.mark.loopback
@pytest.mark.parametrize("together", AT_ONCE.values(), ids=AT_ONCE)
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_samples_are_separate_answers(
    numbered: FakeOpenAI, runner: OpenAIRunner, wrap: Any, together: Callable[[Any], Any]
) -> None:
    waiting_for(numbered, 5)
    answers = together(wrap(runner.llm(temperature=0.8)))
    answers = runner.run(answers) if asyncio.iscoroutine(answers) else answers
    assert len(set(answers)) == 5


@pytest.mark.loopback
def test_samples_of_a_query_engine_are_separate_answers(
    numbered: FakeOpenAI, runner: OpenAIRunner
) -> None:
    waiting_for(numbered, 5)
    cached = CachedQueryEngine(engine(runner.llm(temperature=0.8)))
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: str(cached.query("A good name?")), range(5)))
    assert len(set(answers)) == 5


SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "the class's default": ({}, {}, 1),
    "zero": ({"temperature": 0}, {}, 1),
    "constructor": ({"temperature": 0.7}, {}, 5),
    "call": ({}, {"temperature": 0.5}, 5),
    "call, zero": ({"temperature": 0.9}, {"temperature": 0}, 1),
    "additional": ({"additional_kwargs": {"top_p": 0.9}}, {}, 5),
    "seed": ({"temperature": 0.9, "additional_kwargs": {"seed": 4}}, {}, 1),
}


@pytest.mark.loopback
@pytest.mark.parametrize(("made", "called", "calls"), SETTINGS.values(), ids=SETTINGS)
def test_only_explicit_sampling_is_not_merged(
    numbered: FakeOpenAI,
    runner: OpenAIRunner,
    made: dict[str, Any],
    called: dict[str, Any],
    calls: int,
) -> None:
    numbered.delay = 0.1
    waiting_for(numbered, calls)
    threads(CachedLLM(runner.llm(**made)), **called)
    assert len(numbered.requests) == calls


@pytest.mark.loopback
def test_samples_of_one_batch_are_separate_however_few_calls_run_at_once(
    numbered: FakeOpenAI, runner: OpenAIRunner
) -> None:
    llm = CachedLLM(runner.llm(temperature=0.8))
    answers = runner.run(abatch_chat(llm, [QUESTION] * 6, max_concurrency=1))
    assert len({str(answer) for answer in answers}) == 6


@pytest.mark.loopback
@pytest.mark.parametrize("combine", [False, True])
def test_a_fresh_answer_through_shared_calls(
    numbered: FakeOpenAI, runner: OpenAIRunner, combine: bool
) -> None:
    """A shared call runs in no caller's context."""
    llm = BatchedLLM(CachedLLM(runner.llm()), combine=combine)
    first = str(llm.chat(QUESTION))
    assert str(llm.chat(QUESTION)) == first
    with fresh_answers():
        second = str(llm.chat(QUESTION))
    assert second != first
    assert str(llm.chat(QUESTION)) == second
