"""A cut of context is reported through every entrance, and declined where nothing can answer."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage

from langchain_llm_optimizers import OptimizedChatModel, PassageCompressor, PromptOptimizer
from langchain_llm_optimizers.middleware import PromptMiddleware
from llm_optimizers.prompts import ContextBudget, ContextCut, Optimized, RequestOptimizer
from support.declined_contexts import ANSWERED, BUDGET, DECLINED, prompt
from support.fakes import StreamingFake
from support.prompt_texts import FACTS


def reporting(got: list[Optimized]) -> RequestOptimizer:
    budget = ContextBudget(max_tokens=BUDGET)
    return RequestOptimizer(passes=frozenset(), context=budget, report=got.append)


async def sent_by(entrance: str, optimizer: RequestOptimizer, text: str) -> list[str]:
    """Return the prompt as the model gets it, from a sync call and from an async one."""
    fake = StreamingFake()
    if entrance == "model":
        model = OptimizedChatModel(model=fake, optimizer=optimizer)
        model.invoke(text)
        await model.ainvoke(text)
    elif entrance == "stream":
        model = OptimizedChatModel(model=fake, optimizer=optimizer)
        list(model.stream(text))
        _ = [chunk async for chunk in model.astream(text)]
    elif entrance == "chain":
        chain = PromptOptimizer("gpt-4o", optimizer=optimizer) | fake
        chain.invoke(text)
        await chain.ainvoke(text)
    else:
        agent: Any = create_agent(fake, middleware=[PromptMiddleware(optimizer=optimizer)])
        agent.invoke({"messages": [HumanMessage(text)]})
        await agent.ainvoke({"messages": [HumanMessage(text)]})
    return fake.calls


@pytest.mark.parametrize("entrance", ["model", "stream", "chain", "agent"])
async def test_the_report_names_the_documents_of_a_cut(entrance: str) -> None:
    got: list[Optimized] = []
    optimizer = reporting(got)
    sent = await sent_by(entrance, optimizer, prompt(ANSWERED))
    assert len(sent) == 2
    assert all("Mina Vale" in text and "Ida Quill" not in text for text in sent)
    assert len(got) == 2
    for found in got:
        (cut,) = found.context
        assert [d.title for d in cut.whole] == ["Carrow"]
        assert len(cut.dropped) == len(FACTS) - 1


@pytest.mark.parametrize("kind", DECLINED)
@pytest.mark.parametrize("entrance", ["model", "chain", "agent"])
async def test_a_context_that_cannot_be_cut_is_sent_whole_and_reported(
    entrance: str, kind: str
) -> None:
    got: list[Optimized] = []
    optimizer = reporting(got)
    text = prompt(DECLINED[kind])
    assert await sent_by(entrance, optimizer, text) == [text, text]
    for found in got:
        (cut,) = found.context
        assert cut.reason
        assert found.left_alone == (str(cut),)


DOCUMENTS = [Document(page_content=f.text, metadata={"title": f.title}) for f in FACTS]


async def test_retrieved_documents_are_reported() -> None:
    got: list[ContextCut] = []
    compressor = PassageCompressor(max_tokens=BUDGET, report=got.append)
    kept = compressor.compress_documents(DOCUMENTS, ANSWERED)
    assert await compressor.acompress_documents(DOCUMENTS, ANSWERED) == kept
    assert [d.metadata["title"] for d in kept] == ["Carrow"]
    assert [[d.title for d in cut.whole] for cut in got] == [["Carrow"]] * 2


@pytest.mark.parametrize("kind", DECLINED)
async def test_retrieved_documents_are_kept_where_none_can_answer(kind: str) -> None:
    got: list[ContextCut] = []
    compressor = PassageCompressor(max_tokens=BUDGET, report=got.append)
    assert compressor.compress_documents(DOCUMENTS, DECLINED[kind]) is DOCUMENTS
    assert await compressor.acompress_documents(DOCUMENTS, DECLINED[kind]) is DOCUMENTS
    assert [bool(cut.reason) for cut in got] == [True, True]
    always = PassageCompressor(max_tokens=BUDGET, min_probability=None)
    assert len(always.compress_documents(DOCUMENTS, DECLINED[kind])) <= len(DOCUMENTS)
