"""A cut of context is reported by the LLM and by the postprocessor, and declined alike."""

from __future__ import annotations

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_llm_optimizers import PromptCompressor, PromptOptimizingLLM
from llm_optimizers.prompts import ContextBudget, ContextCut, Optimized, RequestOptimizer
from support.declined_contexts import ANSWERED, BUDGET, DECLINED, prompt
from support.llama_fakes import FakeLLM, HashEmbedding
from support.prompt_texts import FACTS


def reporting(got: list[Optimized]) -> RequestOptimizer:
    budget = ContextBudget(max_tokens=BUDGET)
    return RequestOptimizer(passes=frozenset(), context=budget, report=got.append)


async def sent_by(optimizer: RequestOptimizer, text: str) -> list[str]:
    """Return the prompt as the LLM gets it, from every kind of call."""
    inner = FakeLLM()
    llm = PromptOptimizingLLM(llm=inner, optimizer=optimizer)
    message = ChatMessage(text)
    llm.chat([message])
    await llm.achat([message])
    list(llm.stream_chat([message]))
    _ = [chunk async for chunk in await llm.astream_chat([message])]
    llm.complete(text)
    await llm.acomplete(text)
    return [messages[0].content or "" for messages in inner.asked]


async def test_the_report_names_the_documents_of_a_cut() -> None:
    got: list[Optimized] = []
    optimizer = reporting(got)
    sent = await sent_by(optimizer, prompt(ANSWERED))
    assert sent
    assert all("Mina Vale" in text and "Ida Quill" not in text for text in sent)
    assert len(got) == 6
    assert all([d.title for d in cut.whole] == ["Carrow"] for found in got for cut in found.context)


@pytest.mark.parametrize("kind", DECLINED)
async def test_a_context_that_cannot_be_cut_is_sent_whole_and_reported(kind: str) -> None:
    got: list[Optimized] = []
    optimizer = reporting(got)
    text = prompt(DECLINED[kind])
    assert set(await sent_by(optimizer, text)) == {text}
    assert len(got) == 6
    for found in got:
        (cut,) = found.context
        assert cut.reason
        assert found.left_alone == (str(cut),)


def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=f.text), score=0.5) for f in FACTS]


async def test_retrieved_nodes_are_reported() -> None:
    got: list[ContextCut] = []
    compressor = PromptCompressor(max_tokens=BUDGET, report=got.append)
    found = compressor.postprocess_nodes(nodes(), query_str=ANSWERED)
    again = await compressor.apostprocess_nodes(nodes(), query_str=ANSWERED)
    assert found[0].text == again[0].text == FACTS[2].text
    assert len(found) == len(again) < len(FACTS)
    assert [[d.number for d in cut.whole] for cut in got] == [[3], [3]]


@pytest.mark.parametrize("kind", DECLINED)
async def test_retrieved_nodes_are_kept_where_none_can_answer(kind: str) -> None:
    got: list[ContextCut] = []
    compressor = PromptCompressor(max_tokens=BUDGET, report=got.append)
    given = nodes()
    for found in (
        compressor.postprocess_nodes(given, query_str=DECLINED[kind]),
        await compressor.apostprocess_nodes(given, query_str=DECLINED[kind]),
    ):
        assert all(a is b for a, b in zip(found, given, strict=True))
    assert [bool(cut.reason) for cut in got] == [True, True]


def test_a_query_engine_reports_what_it_kept() -> None:
    got: list[ContextCut] = []
    index = VectorStoreIndex([n.node for n in nodes()], embed_model=HashEmbedding())
    engine = index.as_query_engine(
        llm=FakeLLM(),
        similarity_top_k=len(FACTS),
        node_postprocessors=[PromptCompressor(max_tokens=BUDGET, report=got.append)],
    )
    assert len(engine.query(ANSWERED).source_nodes) < len(FACTS)
    assert len(engine.query(DECLINED["summary"]).source_nodes) == len(FACTS)
    assert [cut.changed for cut in got] == [True, False]


def test_the_report_is_no_part_of_a_stored_compressor() -> None:
    stored = PromptCompressor(max_tokens=BUDGET, report=print).to_dict()
    assert "report" not in stored
    assert PromptCompressor.from_dict(stored).max_tokens == BUDGET
