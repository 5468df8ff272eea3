"""Apps that answer from retrieved documents, over HTTP: what is sent, reported and saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from llama_index.core import SummaryIndex
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI

from langchain_llm_optimizers import CostCallbackHandler, PromptOptimizer
from llama_index_llm_optimizers import CostEventHandler, PromptOptimizingLLM
from llm_optimizers.costs import Ledger, Summary
from llm_optimizers.prompts import ContextBudget, Optimized, RequestOptimizer, TokenCounter
from support.openai_server import FakeOpenAI, openai_server
from support.prompt_texts import FACTS

pytestmark = pytest.mark.loopback

BUDGET = 120
TEMPLATE = "<documents>\n{context}\n</documents>\n\nQuestion: {question}"
COUNTER = TokenCounter()

App = Callable[[FakeOpenAI, RequestOptimizer, Ledger, str], object]


def langchain_app(
    server: FakeOpenAI, optimizer: RequestOptimizer, ledger: Ledger, question: str
) -> object:
    found = [Document(page_content=f.text, metadata={"title": f.title}) for f in FACTS]
    context = "\n".join(
        f"<document>\n<source>{each.metadata['title']}</source>\n{each.page_content}\n</document>"
        for each in found
    )
    model = ChatOpenAI(
        model="gpt-4o",
        base_url=server.url,
        api_key="x",  # type: ignore[arg-type]
        max_retries=0,
        callbacks=[CostCallbackHandler(ledger)],
    )
    prompt = ChatPromptTemplate.from_template(TEMPLATE)
    chain = prompt | PromptOptimizer("gpt-4o", optimizer=optimizer) | model | StrOutputParser()
    return chain.invoke({"context": context, "question": question})


def llama_index_app(
    server: FakeOpenAI, optimizer: RequestOptimizer, ledger: Ledger, question: str
) -> object:
    llm = OpenAI(model="gpt-4o", api_base=server.url, api_key="x", max_retries=0)
    nodes = [TextNode(text=f.text, metadata={"title": f.title}) for f in FACTS]
    engine = SummaryIndex(nodes).as_query_engine(
        llm=PromptOptimizingLLM(llm=llm, optimizer=optimizer)
    )
    with CostEventHandler(ledger):
        return engine.query(question)


def asked(app: App, question: str) -> tuple[str, Optimized, Summary]:
    """Return the prompt as the server got it, the report of it, and the bill."""
    reported: list[Optimized] = []
    budget = ContextBudget(max_tokens=BUDGET)
    optimizer = RequestOptimizer(context=budget, report=reported.append)
    ledger = Ledger()
    with openai_server(count=_counted) as server:
        app(server, optimizer, ledger, question)
        (sent,) = server.calls
    (optimized,) = reported
    return sent, optimized, ledger.summary()


def _counted(body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    tokens = sum(COUNTER.count(m["content"] or "", "gpt-4o").tokens for m in body["messages"])
    return {"prompt_tokens": tokens, "completion_tokens": 5, "total_tokens": tokens + 5}


@pytest.mark.parametrize("app", [langchain_app, llama_index_app])
def test_a_question_is_sent_with_the_documents_that_answer_it(app: App) -> None:
    sent, optimized, summary = asked(app, "Who is the mayor of Carrow?")
    (cut,) = optimized.context
    assert "The mayor of Carrow is Mina Vale." in sent
    assert sent.count("<document>") == sent.count("</document>")
    assert [each.title for each in cut.whole] == ["Carrow"]
    assert cut.dropped
    assert all(f"of {each.title} is" not in sent for each in cut.dropped)
    assert cut.tokens <= BUDGET < cut.tokens_before
    assert list(summary.by_strategy) == ["prompts"]
    assert summary.saved > 0


@pytest.mark.parametrize("app", [langchain_app, llama_index_app])
@pytest.mark.parametrize("question", ["Summarise these documents.", "Why do magnets attract iron?"])
def test_a_request_that_no_part_answers_is_sent_with_all_documents(app: App, question: str) -> None:
    sent, optimized, summary = asked(app, question)
    (cut,) = optimized.context
    assert not cut.changed
    assert cut.reason
    assert all(fact.text in sent for fact in FACTS)
    assert question in sent
    assert not summary.by_strategy
