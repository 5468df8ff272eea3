"""`CachedQueryEngine`: questions about the same documents, in any wording."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core import Document, PromptTemplate, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.tools import QueryEngineTool
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel

from llama_index_llm_optimizers import CachedLLM, CachedQueryEngine, CostEventHandler, HybridCache
from llm_optimizers.errors import ConfigurationError
from support.llama_fakes import FakeLLM, HashEmbedding

QUESTION = "How do I reset my password?"
PARAPHRASE = "How can I reset my password?"
TEXTS = ["Passwords are reset on the login page.", "Cats sleep a lot.", "Paris is in France."]


@pytest.fixture
def index() -> VectorStoreIndex:
    documents = [Document(text=text) for text in TEXTS]
    return VectorStoreIndex.from_documents(documents, embed_model=HashEmbedding())


@pytest.fixture
def costs() -> Iterator[CostEventHandler]:
    with CostEventHandler() as handler:
        yield handler


def engine_of(index: VectorStoreIndex, llm: Any, **settings: Any) -> Any:
    return index.as_query_engine(llm=llm, similarity_top_k=1, **settings)


def test_a_paraphrase_over_the_same_documents_is_served(
    index: VectorStoreIndex, costs: CostEventHandler
) -> None:
    llm = FakeLLM(reply=lambda _: "On the login page.")
    engine = CachedQueryEngine(engine_of(index, llm))
    first = engine.query(QUESTION)
    second = engine.query(PARAPHRASE)
    assert str(first) == str(second) == "On the login page."
    assert len(llm.calls) == 1
    assert [n.node.node_id for n in second.source_nodes] == [
        n.node.node_id for n in first.source_nodes
    ]
    assert second.metadata["cache_hit"]["tier"] == "semantic"
    call, hit = [record for record in costs.ledger.records() if record.model == "gpt-4o-mini"]
    assert hit.hit_strategy == "cache.semantic"
    assert hit.saved == call.cost


@pytest.mark.parametrize("streaming", [True, False])
def test_a_hit_saves_about_what_its_call_was_estimated_to_cost(
    index: VectorStoreIndex, costs: CostEventHandler, *, streaming: bool
) -> None:
    llm = FakeLLM(usage=False, reply=lambda _: "On the login page. " * 9)
    engine = CachedQueryEngine(engine_of(index, llm, streaming=streaming))
    for _ in range(2):
        str(engine.query(QUESTION))
    call, hit = [record for record in costs.ledger.records() if record.model == "gpt-4o-mini"]
    assert (hit.hit, hit.estimated) == (True, True)
    assert hit.saved
    assert call.cost
    assert abs(hit.saved / call.cost - 1) < Decimal("0.1")


def test_other_documents_mean_another_answer(index: VectorStoreIndex) -> None:
    llm, cache = FakeLLM(), HybridCache()
    CachedQueryEngine(engine_of(index, llm), cache).query(QUESTION)
    index.insert(Document(text="How do I reset my password? Passwords are no longer reset."))
    CachedQueryEngine(engine_of(index, llm), cache).query(QUESTION)
    assert len(llm.calls) == 2


def test_prompts_and_llms_are_part_of_the_key(index: VectorStoreIndex) -> None:
    llm, cache = FakeLLM(), HybridCache()
    inner = engine_of(index, llm)
    engine = CachedQueryEngine(inner, cache)
    engine.query(QUESTION)
    key = next(name for name in engine.get_prompts() if name.endswith("text_qa_template"))
    engine.update_prompts({key: PromptTemplate("In French: {context_str} {query_str}")})
    engine.query(QUESTION)
    assert len(llm.calls) == 2
    CachedQueryEngine(engine_of(index, FakeLLM(temperature=1.0)), cache).query(QUESTION)
    assert len(cache) == 3


def test_async_shares_with_sync(index: VectorStoreIndex) -> None:
    llm = FakeLLM()
    engine = CachedQueryEngine(engine_of(index, llm))
    first = asyncio.run(engine.aquery(QUESTION))
    assert str(engine.query(QUESTION)) == str(first)
    assert str(asyncio.run(engine.aquery(PARAPHRASE))) == str(first)
    assert len(llm.calls) == 1


def test_streams_are_served_and_an_abandoned_one_is_not_stored(
    index: VectorStoreIndex, costs: CostEventHandler
) -> None:
    llm = CachedLLM(llm=FakeLLM(reply=lambda _: "On the login page, of course."))
    engine = CachedQueryEngine(engine_of(index, llm, streaming=True))
    left = engine.query(QUESTION).response_gen
    next(left)
    left.close()
    assert len(engine.cache) == 0
    with instrument_tags({"user": "u1"}):
        first = engine.query(QUESTION)
    texts = list(first.response_gen)
    again = engine.query(PARAPHRASE)
    served = list(again.response_gen)
    assert "".join(served) == "".join(texts) == "On the login page, of course."
    assert len(served) > 1
    assert again.metadata["cache_hit"]["tier"] == "semantic"
    assert again.source_nodes
    *_, call, hit = [r for r in costs.ledger.records() if r.model == "gpt-4o-mini"]
    assert call.tags["user"] == "u1"
    assert hit.saved == call.cost

    async def others() -> str:
        response = await engine.aquery(QUESTION)
        return "".join([text async for text in response.response_gen])

    assert asyncio.run(others()) == "".join(texts)


def test_async_streams_are_stored(index: VectorStoreIndex) -> None:
    llm = FakeLLM()
    engine = CachedQueryEngine(engine_of(index, llm, streaming=True))

    async def ask() -> str:
        response = await engine.aquery(QUESTION)
        return "".join([text async for text in response.response_gen])

    assert asyncio.run(ask()) == asyncio.run(ask())
    assert len(llm.calls) == 1


def test_pydantic_answers_are_not_cached(index: VectorStoreIndex) -> None:
    class Place(BaseModel):
        name: str

    llm = FakeLLM(pydantic_program_mode="llm", reply=lambda _: '{"name": "login"}')
    engine = CachedQueryEngine(engine_of(index, llm, output_cls=Place))
    assert engine.query(QUESTION).response == Place(name="login")
    assert len(engine.cache) == 0


def test_an_empty_response_is_not_stored() -> None:
    empty = VectorStoreIndex([], embed_model=HashEmbedding())
    engine = CachedQueryEngine(empty.as_query_engine(llm=FakeLLM()))
    assert str(engine.query(QUESTION)) == "Empty Response"
    assert len(engine.cache) == 0


def test_an_engine_that_does_not_retrieve_is_refused(index: VectorStoreIndex) -> None:
    tool = QueryEngineTool.from_defaults(engine_of(index, FakeLLM()), name="x", description="y")
    router = RouterQueryEngine.from_defaults([tool], llm=FakeLLM())
    with pytest.raises(ConfigurationError, match="CachedLLM"):
        CachedQueryEngine(router)  # type: ignore[arg-type]


def test_errors_reach_the_caller_and_nothing_is_stored(index: VectorStoreIndex) -> None:
    engine = CachedQueryEngine(engine_of(index, FakeLLM(fail=lambda _: TimeoutError())))
    with pytest.raises(TimeoutError):
        engine.query(QUESTION)
    assert len(engine.cache) == 0
    assert isinstance(HashEmbedding(), BaseEmbedding)
