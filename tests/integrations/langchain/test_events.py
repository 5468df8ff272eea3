"""However LangChain calls a model, a hit is one event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from langchain_llm_optimizers import CachedChatModel, HybridCache, fresh_answers
from langchain_llm_optimizers.middleware import CacheMiddleware
from llm_optimizers.events import HitServed, subscribe
from support.fakes import StreamingFake

QUESTION = "How do I return boots?"


async def _events(model: Any) -> None:
    async for _ in model.astream_events(QUESTION, version="v2"):
        pass


def _left(model: Any) -> None:
    stream = model.stream(QUESTION)
    next(stream)
    stream.close()


WAYS: dict[str, tuple[int, Callable[[Any], object]]] = {
    "batch": (5, lambda model: model.batch([QUESTION] * 5)),
    "abatch": (5, lambda model: asyncio.run(model.abatch([QUESTION] * 5))),
    "as completed": (3, lambda model: list(model.batch_as_completed([QUESTION] * 3))),
    "generate": (2, lambda model: model.generate([[HumanMessage(QUESTION)]] * 2)),
    "events": (1, lambda model: asyncio.run(_events(model))),
    "left stream": (1, _left),
    "unread stream": (0, lambda model: model.stream(QUESTION)),
}


def heard(call: Callable[[], object]) -> list[HitServed]:
    hits: list[HitServed] = []
    with subscribe(hits.append, HitServed):
        call()
    return hits


@pytest.mark.parametrize("way", WAYS)
def test_a_hit_of_the_wrapper(way: str) -> None:
    count, call = WAYS[way]
    model = CachedChatModel(StreamingFake(), HybridCache(semantic=False))
    model.invoke(QUESTION)
    assert len(heard(lambda: call(model))) == count


def test_a_hit_of_langchains_own_cache_setting() -> None:
    model = StreamingFake(cache=HybridCache(semantic=False))
    assert not heard(lambda: model.invoke(QUESTION))
    assert len(heard(lambda: model.invoke(QUESTION))) == 1
    assert len(heard(lambda: asyncio.run(model.ainvoke(QUESTION)))) == 1


def test_a_hit_of_the_middleware() -> None:
    agent: Any = create_agent(StreamingFake(), middleware=[CacheMiddleware()])
    question = {"messages": [("user", QUESTION)]}
    assert not heard(lambda: agent.invoke(question))
    assert len(heard(lambda: agent.invoke(question))) == 1
    assert len(heard(lambda: asyncio.run(agent.ainvoke(question)))) == 1


def test_of_two_caches_the_one_that_served_is_heard() -> None:
    inner = CachedChatModel(StreamingFake(), HybridCache(semantic=False))
    outer = CachedChatModel(inner, HybridCache(semantic=False))
    outer.invoke(QUESTION)
    assert len(heard(lambda: outer.invoke(QUESTION))) == 1


def test_a_fresh_answer_is_no_hit() -> None:
    model = CachedChatModel(StreamingFake(), HybridCache(semantic=False))
    model.invoke(QUESTION)
    with fresh_answers():
        assert not heard(lambda: model.invoke(QUESTION))
