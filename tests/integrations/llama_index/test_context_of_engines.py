"""The context in the prompts of LlamaIndex's own engines is cut, and nothing around it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.llms import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import chat_prompts, default_prompts
from llama_index.core.query_engine import CitationQueryEngine

from llama_index_llm_optimizers import PromptOptimizingLLM
from llm_optimizers.prompts import ContextBudget, RequestOptimizer
from support.llama_fakes import FakeLLM, HashEmbedding

TOWNS = {
    "Aldmere": "Jane Hollow", "Brackford": "Otto Lind", "Carrow": "Mina Vale",
    "Dunmouth": "Ada Stone", "Elmstead": "Ida Quill", "Farleigh": "Rolf Gray",
}  # fmt: skip
TEXTS = [
    f"{town} lies on a river that freezes over in winter, and its market sells cheese and wool.\n\n"
    f"The mayor of {town} is {mayor}, who lives in the old mill near the bridge with two dogs."
    for town, mayor in TOWNS.items()
]
QUESTION = "Who is the mayor of Carrow?"


def index() -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        [Document(text=text) for text in TEXTS], embed_model=HashEmbedding()
    )


def queried(mode: str) -> Callable[[LLM], object]:
    engine: Any = {"response_mode": mode, "similarity_top_k": len(TEXTS)}
    return lambda llm: index().as_query_engine(llm=llm, **engine).query(QUESTION)


def cited(llm: LLM) -> object:
    engine = CitationQueryEngine.from_args(index(), llm=llm, similarity_top_k=len(TEXTS))
    return engine.query(QUESTION)


def chatted(kind: Any) -> Callable[[LLM], object]:
    def ask(llm: LLM) -> object:
        engine = kind.from_defaults(
            retriever=index().as_retriever(similarity_top_k=len(TEXTS)),
            llm=llm,
            memory=ChatMemoryBuffer.from_defaults(token_limit=10_000),
        )
        return engine.chat(QUESTION)

    return ask


ENGINES = {
    "compact": queried("compact"),
    "tree summarize": queried("tree_summarize"),
    "simple summarize": queried("simple_summarize"),
    "citation": cited,
    "context chat": chatted(ContextChatEngine),
    "condense plus context": chatted(CondensePlusContextChatEngine),
}
TEMPLATES = {
    "question": default_prompts.DEFAULT_TEXT_QA_PROMPT,
    "refine": default_prompts.DEFAULT_REFINE_PROMPT,
    "tree summarize": default_prompts.DEFAULT_TREE_SUMMARIZE_PROMPT,
    "chat question": chat_prompts.CHAT_TEXT_QA_PROMPT,
    "chat refine": chat_prompts.CHAT_REFINE_PROMPT,
    "chat tree summarize": chat_prompts.CHAT_TREE_SUMMARIZE_PROMPT,
}


def asked(ask: Callable[[LLM], object], budget: int | None) -> list[list[ChatMessage]]:
    """Return the messages that the model gets, with a budget or without the optimiser."""
    inner = FakeLLM()
    context = ContextBudget(max_tokens=budget, min_probability=None) if budget else None
    optimizer = RequestOptimizer(context=context, provider_cache=False)
    ask(PromptOptimizingLLM(llm=inner, optimizer=optimizer) if budget else inner)
    return [list(messages) for messages in inner.asked]


def assert_only_documents_are_cut(whole: str, cut: str) -> None:
    """Check that the first document's name to the last one's end is all that changed."""
    first, last = whole.index(" lies on a river"), whole.rindex("with two dogs.")
    opening = whole[:first].rsplit("\n", 1)[0].removesuffix("Source 1:").rstrip()
    assert cut.startswith(opening)
    closing = whole[last + len("with two dogs.") :]
    assert cut.endswith(closing)
    assert "Mina Vale" in cut
    assert len(cut) < len(whole) - sum(map(len, TEXTS)) / 2
    assert cut.count("['") == cut.count("']")


@pytest.mark.parametrize("ask", ENGINES.values(), ids=ENGINES)
def test_the_context_of_an_engine_is_cut(ask: Callable[[LLM], object]) -> None:
    whole, cut = asked(ask, None), asked(ask, 100)
    assert len(whole) == len(cut) > 0
    changed = 0
    for before, after in zip(whole, cut, strict=True):
        for one, other in zip(before, after, strict=True):
            if one.content != other.content:
                changed += 1
                assert_only_documents_are_cut(one.content or "", other.content or "")
    assert changed


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_the_context_of_a_template_is_cut(template: Any) -> None:
    names = {"query_str": QUESTION, "existing_answer": "Jane is."}
    given = {name: names.get(name, "\n\n".join(TEXTS)) for name in template.template_vars}
    whole = template.format_messages(**given)
    ((*_, cut),) = asked(lambda llm: llm.chat(whole), 100)
    assert_only_documents_are_cut(whole[-1].content, cut.content or "")
