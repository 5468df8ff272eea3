"""The context in LangChain's prompts is cut, and nothing around it changes.

The templates are those of the stuff chain, the hub's RAG prompts and the documentation.
"""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate, format_document

from langchain_llm_optimizers import PromptOptimizer
from llm_optimizers.prompts import ContextBudget, RequestOptimizer

TOWNS = {
    "Aldmere": "Jane Hollow", "Brackford": "Otto Lind", "Carrow": "Mina Vale",
    "Dunmouth": "Ada Stone", "Elmstead": "Ida Quill", "Farleigh": "Rolf Gray",
}  # fmt: skip
DOCUMENTS = [
    Document(
        page_content=f"{town} lies on a river that freezes over in winter, and it has a market.\n\n"
        f"The mayor of {town} is {mayor}, who lives in the old mill near the bridge.",
        metadata={"source": f"{town}.md"},
    )
    for town, mayor in TOWNS.items()
]
QUESTION = "Who is the mayor of Carrow?"
STUFF = (
    "Use the following pieces of context to answer the question at the end. If you don't know the "
    "answer, just say that you don't know, don't try to make up an answer.\n\n{context}\n\n"
    "Question: {question}\nHelpful Answer:"
)
HUB = (
    "You are an assistant for question-answering tasks. Use the following pieces of retrieved "
    "context to answer the question. If you don't know the answer, just say that you don't know. "
    "Use three sentences maximum and keep the answer concise.\nQuestion: {question} \n"
    "Context: {context} \nAnswer:"
)
TEMPLATES = {
    "stuff": [("human", STUFF)],
    "hub": [("human", HUB)],
    "chat stuff": [
        (
            "system",
            "Use the following pieces of context to answer the user's question. \nIf you don't "
            "know the answer, just say that you don't know.\n----------------\n{context}",
        ),
        ("human", "{question}"),
    ],
    "retrieval chain": [
        ("system", "Use the given context to answer the question. Be concise. Context: {context}"),
        ("human", "{question}"),
    ],
    "expression language": [
        (
            "human",
            "Answer the question based only on the following context:\n{context}\n\n"
            "Question: {question}\n",
        )
    ],
    "tags": [
        (
            "human",
            "Answer the following question based only on the provided context:\n\n<context>\n"
            "{context}\n</context>\n\nQuestion: {question}",
        )
    ],
}
FORMATS = {
    "text": ("{page_content}", "\n\n"),
    "content and source": ("Content: {page_content}\nSource: {source}", "\n\n"),
    "tags": ("<document source='{source}'>\n{page_content}\n</document>", "\n"),
}


@pytest.mark.parametrize("shape", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_the_context_of_a_template_is_cut(
    template: list[tuple[str, str]], shape: tuple[str, str]
) -> None:
    form, separator = shape
    one = PromptTemplate.from_template(form)
    body = separator.join(format_document(each, one) for each in DOCUMENTS)
    prompt = ChatPromptTemplate.from_messages(template).invoke(
        {"context": body, "question": QUESTION}
    )
    optimizer = RequestOptimizer(
        context=ContextBudget(max_tokens=100, min_probability=None), provider_cache=False
    )
    sent = PromptOptimizer("gpt-4o", optimizer=optimizer).invoke(prompt).to_messages()
    for before, after in zip(prompt.to_messages(), sent, strict=True):
        whole, cut = str(before.content), str(after.content)
        if body not in whole:
            assert cut == whole
            continue
        opening, closing = whole.split(body)
        assert cut.startswith(opening)
        assert cut.endswith(closing)
        left = cut[len(opening) : len(cut) - len(closing)]
        assert "Mina Vale" in left
        assert len(left) < len(body) * 0.7
        assert left.count("<document ") == left.count("</document>")
