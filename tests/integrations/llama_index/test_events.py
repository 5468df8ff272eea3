"""However LlamaIndex calls a model, a hit is one event; a store of vectors says when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex
from llama_index.core.storage.kvstore import SimpleKVStore

from llama_index_llm_optimizers import CachedLLM, CachedQueryEngine, EmbeddingsStore
from llm_optimizers.events import Event, HitServed, StoreFailed, StoreRecovered, subscribe
from support.llama_fakes import FakeLLM

QUESTION = "How do I return boots?"
WAYS: dict[str, Callable[[Any], object]] = {
    "complete": lambda llm: llm.complete(QUESTION),
    "acomplete": lambda llm: asyncio.run(llm.acomplete(QUESTION)),
    "stream_complete": lambda llm: list(llm.stream_complete(QUESTION)),
}


def heard(call: Callable[[], object], *kinds: type[Event]) -> list[Event]:
    found: list[Event] = []
    with subscribe(found.append, *(kinds or (HitServed,))):
        call()
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_hit_of_the_wrapper(way: str) -> None:
    llm = CachedLLM(FakeLLM())
    assert not heard(lambda: WAYS[way](llm))
    assert len(heard(lambda: WAYS[way](llm))) == 1


def test_a_hit_of_the_query_engine() -> None:
    index = SummaryIndex.from_documents([Document(text="Within 30 days.")])
    engine = CachedQueryEngine(index.as_query_engine(llm=FakeLLM()))
    assert not heard(lambda: engine.query(QUESTION))
    assert len(heard(lambda: engine.query(QUESTION))) == 1
    assert len(heard(lambda: asyncio.run(engine.aquery(QUESTION)))) == 1


def test_a_store_of_vectors_that_fails_and_works_again(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(SimpleKVStore):
        def get(self, key: str, collection: str = "data") -> dict[str, Any] | None:
            if key == "down":
                raise ConnectionError("the words of a prompt")
            return super().get(key, collection)

    store = EmbeddingsStore("model", Failing())

    def use() -> None:
        for key in ("a", "down", "down", "a", "a"):
            assert store.get(key) is None

    found = heard(use, StoreFailed, StoreRecovered)
    assert [type(each) for each in found] == [StoreFailed, StoreRecovered]
    assert [each.component for each in found] == ["llm_optimizers.caching"] * 2
    assert "prompt" not in caplog.text
