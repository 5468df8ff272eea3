"""A real LlamaIndex app over HTTP, through every wrapper at once: the same answers, a true bill."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from llama_index.core import Document, PromptTemplate, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel

from llama_index_llm_optimizers import (
    BatchedLLM,
    CachedLLM,
    CachedQueryEngine,
    CostEventHandler,
    PromptCompressor,
    PromptOptimizingLLM,
    RoutedLLM,
    abatch_chat,
    with_embeddings_cache,
)
from llm_optimizers.batching import GroupLimits
from llm_optimizers.costs import Usage
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.routing import Always
from llm_optimizers.types import ChatRequest
from support.llama_fakes import HashEmbedding
from support.openai_server import FakeOpenAI, openai_server, tool_call

pytestmark = pytest.mark.loopback

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
TEXTS = [
    "Passwords are reset on the login page. A link is sent by mail.",
    "Invoices are sent on the first day of each month, by mail.",
    "The office in Lyon is open until six, the one in Paris until eight.",
]
QUESTIONS = ["How do I reset my password?", "When are invoices sent?", "When does Lyon close?"]
RULES = " ".join(f"Number {n} is written as it is said in town {n}." for n in range(40))
COUNTER = TokenCounter()


class Fact(BaseModel):
    subject: str
    value: str


def reply(body: dict[str, Any]) -> dict[str, Any] | str:
    """What depends on the question alone, so that shorter prompts ask the same."""
    last = body["messages"][-1]
    text = " ".join((last.get("content") or "").split())
    if body.get("response_format", {}).get("type") == "json_schema":
        return _json(body, last["content"])
    if last["role"] == "tool":
        return f"The tools say {text}."
    offered = {tool["function"]["name"] for tool in body.get("tools") or ()}
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if "add" in offered and "plus" in text:
        arguments = {"a": numbers[0], "b": numbers[1]}
        return {"content": None, "tool_calls": [tool_call("add", arguments, "call_abc123")]}
    if "opening_hours" in offered and "open" in text:
        return {"content": None, "tool_calls": [tool_call("opening_hours", {}, "call_def456")]}
    asked = re.findall(r"(?:Query|Follow Up Input|Standalone question): ?(.*?)(?: Answer:|$)", text)
    return f"On «{asked[-1] if asked else text}» I say this."


def _json(body: dict[str, Any], text: str) -> str:
    schema = body["response_format"]["json_schema"]
    if schema["name"] != "answers":
        return json.dumps({"subject": "Lyon", "value": "six"})
    questions = json.loads(text[text.index("\n\n[{") :])
    asked = [{**body, "messages": [{"role": "user", "content": q["request"]}]} for q in questions]
    for each in asked:
        del each["response_format"]
    answers = [{"id": q["id"], "answer": reply(a)} for q, a in zip(questions, asked, strict=True)]
    return json.dumps({"answers": answers})


def count(body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """The provider's own count."""
    sent = COUNTER.count_request(ChatRequest.from_openai(body)).tokens
    said = (message["content"] or "") + json.dumps(message.get("tool_calls") or "")
    made = COUNTER.count(said, STRONG).tokens
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def opening_hours() -> str:
    """When the offices are open."""
    return "Lyon until six, Paris until eight"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with openai_server(reply=reply, count=count) as running:
        yield running


@pytest.fixture(autouse=True)
def _globals_restored() -> Iterator[None]:
    asyncio.set_event_loop(None)
    root, saved = get_dispatcher(), dict(vars(Settings))
    handlers, spans = list(root.event_handlers), list(root.span_handlers)
    yield
    root.event_handlers, root.span_handlers = handlers, spans
    vars(Settings).clear()
    vars(Settings).update(saved)


def openai(server: FakeOpenAI, model: str = STRONG) -> OpenAI:
    return OpenAI(
        model=model,
        api_base=server.url,
        api_key="test",
        max_retries=0,
        additional_kwargs={"stream_options": {"include_usage": True}},
        # A client of its own a call: sockets do not outlive the event loops of this test.
        reuse_client=False,
    )


@dataclass
class App:
    """A small RAG product: what it answers to the same visitors, one after the other."""

    llm: LLM
    embed_model: Any
    optimized: bool
    answers: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        self.answers = []
        index = VectorStoreIndex.from_documents(
            [Document(text=text) for text in TEXTS], embed_model=self.embed_model
        )
        cut = [PromptCompressor(max_tokens=60)] if self.optimized else []
        settings: dict[str, Any] = {"llm": self.llm, "similarity_top_k": 1}
        engine: Any = index.as_query_engine(**settings, node_postprocessors=cut)
        if self.optimized:
            engine = CachedQueryEngine(engine)
        with instrument_tags({"feature": "search"}):
            self.answers += [str(engine.query(question)) for question in QUESTIONS]
        streaming = index.as_query_engine(**settings, streaming=True)
        self.answers.append("".join(streaming.query(QUESTIONS[0]).response_gen))
        self._talk(index)
        found = self.llm.structured_predict(Fact, PromptTemplate("A fact on {x}"), x="Lyon")
        self.answers.append(repr(found))
        asyncio.run(self._later(engine))
        return self.answers

    def _talk(self, index: VectorStoreIndex) -> None:
        chat = index.as_chat_engine(
            chat_mode=ChatMode.CONDENSE_PLUS_CONTEXT,
            llm=self.llm,
            memory=ChatMemoryBuffer.from_defaults(token_limit=4_000),
            similarity_top_k=1,
        )
        self.answers.append(str(chat.chat(QUESTIONS[1])))
        stream = chat.stream_chat("And   when\n\n\n\nthe next one?")
        self.answers.append("".join(stream.response_gen))

    async def _later(self, engine: Any) -> None:
        self.answers.append(str(await engine.aquery("When does Paris close?")))
        agent = FunctionAgent(tools=[add, opening_hours], llm=self.llm, timeout=60)
        for text in ("What is 3 plus 4?", "Which office is open the longest?", "Thank you."):
            self.answers.append(str(await agent.run(text)))
        plain = FunctionAgent(tools=[add, opening_hours], llm=self.llm, streaming=False)
        self.answers.append(str(await plain.run("What is 5 plus 6?")))
        rules = ChatMessage(role="system", content=RULES)
        asked = [[rules, ChatMessage(f"Name number {n}.")] for n in range(7)]
        replies: Any = await abatch_chat(self.llm, asked)
        self.answers += [reply.message.content for reply in replies]


def stacked(server: FakeOpenAI) -> tuple[CachedLLM, list[BatchedLLM]]:
    limits = GroupLimits(max_delay=0.25)
    batched = [
        BatchedLLM(openai(server, model), combine=True, limits=limits) for model in (CHEAP, STRONG)
    ]
    routed = RoutedLLM(batched, policy=Always(CHEAP), safe=STRONG)
    return CachedLLM(llm=PromptOptimizingLLM(llm=routed)), batched


def billed(server: FakeOpenAI) -> Usage:
    return sum((Usage.from_openai(usage) for usage in server.billed), Usage())


def test_same_answers_for_less_and_a_free_second_run_that_match_the_bill(
    server: FakeOpenAI,
) -> None:
    with CostEventHandler() as bare_costs:
        bare = App(openai(server), HashEmbedding(), optimized=False).run()
    bare_bill, bare_calls = billed(server), len(server.requests)
    assert spent(bare_costs) == bare_bill

    server.billed.clear()
    llm, batched = stacked(server)
    app = App(llm, with_embeddings_cache(HashEmbedding()), optimized=True)
    with CostEventHandler() as costs:
        assert app.run() == bare
        first_bill, first_calls = billed(server), len(server.requests) - bare_calls
        assert spent(costs) == first_bill
        assert first_calls < bare_calls
        cost_of_first = costs.summary().cost

        assert app.run() == bare
        assert len(server.requests) == bare_calls + first_calls
        assert costs.summary().cost == cost_of_first
        assert spent(costs) == first_bill
    for each in batched:
        each.close()
    summary = costs.summary()
    assert summary.unpriced == 0
    assert {"cache.exact", "cache.embeddings", "routing", "batching"} <= set(summary.by_strategy)
    assert {k: v for k, v in summary.by_strategy.items() if v.amount <= 0} == {}
    assert any(record.tags.get("feature") == "search" for record in costs.ledger.records())


def spent(costs: CostEventHandler) -> Usage:
    """What the ledger says the LLMs were sent and said, without the embeddings."""
    records = [r for r in costs.ledger.records() if not r.model.startswith("text-embedding")]
    return sum((record.usage for record in records), Usage())
