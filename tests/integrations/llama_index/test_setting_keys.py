"""Schemas, tools, settings and routers behind a cache: by content, for all that a provider sees."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from llama_index.core import Document, PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.response_synthesizers import Accumulate, Refine
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel, Field

from llama_index_llm_optimizers import (
    BatchedLLM,
    CachedLLM,
    CachedQueryEngine,
    HybridCache,
    PromptOptimizingLLM,
    RoutedLLM,
    with_embeddings_cache,
)
from llm_optimizers.batching import GroupLimits
from llm_optimizers.prompts import History, RequestOptimizer
from llm_optimizers.routing import Always, CascadePolicy, KeywordPolicy, UserTier, Weighted
from support.llama_fakes import FakeLLM, HashEmbedding
from support.openai_server import FakeOpenAI, openai_server, tool_call

pytestmark = pytest.mark.loopback
Model = Callable[..., OpenAI]
QUESTION = [ChatMessage("Rate this.")]


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with openai_server(reply=reply) as fake:
        yield fake


@pytest.fixture
def model(server: FakeOpenAI) -> Iterator[Model]:
    """A function that makes models; their connections are closed when the test ends."""
    with httpx.Client() as client:

        def maker(**settings: Any) -> OpenAI:
            own = {"model": "gpt-4o", "api_key": "x", "max_retries": 0, "http_client": client}
            return OpenAI(**{"api_base": server.url, **own, **settings})

        yield maker


def reply(body: dict[str, Any]) -> Any:
    tools = body.get("tools")
    if tools and body["messages"][-1]["role"] == "user":
        name = tools[0]["function"]["name"]
        return {"tool_calls": [tool_call(name, {"value": 1}, "call_000000000000000000000001")]}
    return '{"value": 1}'


def score(best: str) -> type[BaseModel]:
    class Score(BaseModel):
        """A score."""

        value: int = Field(description=f"{best} is best")

    return Score


def scorer(best: str) -> FunctionTool:
    def rate(value: int) -> str:
        return "done"

    return FunctionTool.from_defaults(rate, description=f"{best} is best")


def looker(best: str) -> FunctionTool:
    def rate(value: int) -> str:
        """Rate."""
        return "done"

    return FunctionTool.from_defaults(rate, fn_schema=score(best))


SHAPES: dict[str, Callable[[Any, str], Any]] = {
    "schema": lambda llm, best: llm.structured_predict(score(best), PromptTemplate("Rate this.")),
    "described tool": lambda llm, best: llm.chat_with_tools([scorer(best)], chat_history=QUESTION),
    "tool's schema": lambda llm, best: llm.chat_with_tools([looker(best)], chat_history=QUESTION),
    "required tool": lambda llm, best: llm.chat_with_tools(
        [scorer("1")], chat_history=QUESTION, tool_required=best == "1"
    ),
    "schema in a setting": lambda llm, best: llm.chat(
        QUESTION, response_format={"type": "json_schema", "json_schema": {"name": best}}
    ),
}


class OtherOpenAI(OpenAI):
    """Of another class, so that a router does not know its models' tool format."""


def wrapped(model: Model, wrapper: str) -> Any:
    small, large = model(model="gpt-4o-mini"), model()
    other = OtherOpenAI(model="gpt-4o-mini", api_key="x", api_base=small.api_base)
    return {
        "model": large,
        "router": RoutedLLM([small, large]),
        "router of two classes": RoutedLLM([other, large]),
        "prompt optimiser": PromptOptimizingLLM(RoutedLLM([small, large])),
        "batching": BatchedLLM(large),
    }[wrapper]


@pytest.mark.parametrize(
    "wrapper", ["model", "router", "router of two classes", "prompt optimiser", "batching"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_provider_is_sent_is_the_key(
    server: FakeOpenAI, model: Model, wrapper: str, shape: str
) -> None:
    cached = CachedLLM(wrapped(model, wrapper))
    for best, calls in (("1", 1), ("10", 2), ("1", 2), ("10", 2)):
        SHAPES[shape](cached, best)
        assert len(server.requests) == calls, cached.cache.stats
    assert cached.cache.stats.hits == {"exact": 2}


@pytest.mark.parametrize("wrapper", ["router", "router of two classes"])
async def test_an_agent_with_a_cache_and_a_router(server: FakeOpenAI, wrapper: str) -> None:
    async with httpx.AsyncClient() as client:

        def model(**settings: Any) -> OpenAI:
            own = {"model": "gpt-4o", "api_key": "x", "max_retries": 0, "async_http_client": client}
            return OpenAI(**{"api_base": server.url, **own, **settings})

        cached = CachedLLM(wrapped(model, wrapper))
        for best, calls in (("1", 2), ("1", 2), ("10", 4)):
            agent = FunctionAgent(llm=cached, tools=[scorer(best)], streaming=False)
            await agent.run("Rate this.")
            assert len(server.requests) == calls


class Longest:
    """A policy of the user's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock: Any = None

    def choose(self, policy_input: Any) -> Any:
        return Always(self.name).choose(policy_input)


ROUTERS: list[dict[str, Any]] = [
    {},
    {"policy": Always("small")},
    {"safe": "small"},
    {"policy": Weighted({"large": 0.3, "small": 0.7})},
    {"policy": Weighted({"large": 0.7, "small": 0.3})},
    {"policy": KeywordPolicy(weak="small", strong="large")},
    {"policy": KeywordPolicy(weak="small", strong="large", threshold=1)},
    {"policy": CascadePolicy(cheap="small", strong="large")},
    {"policy": CascadePolicy(cheap="small", strong="large", samples=("small",))},
    {"policy": Longest("large")},
    {"policy": Longest("small")},
    {"tiers": {"free": UserTier(ceiling="small")}},
]


def test_routers_that_decide_otherwise_share_no_answers() -> None:
    cache, small, large = HybridCache(), FakeLLM(model="small"), FakeLLM(model="large")
    for _ in range(2):
        for settings in ROUTERS:
            CachedLLM(RoutedLLM([small, large], **settings), cache).chat(QUESTION)
    assert cache.stats.misses == cache.stats.hits["exact"] == len(ROUTERS)


def test_a_policy_that_cannot_be_read_is_not_cached() -> None:
    policy, llm = Longest("large"), FakeLLM(model="large")
    policy.lock = threading.Lock()
    cached = CachedLLM(RoutedLLM([llm], policy=policy))
    cached.chat(QUESTION)
    cached.chat(QUESTION)
    assert len(llm.calls) == 2
    assert cached.cache.stats.troubles == {"bypassed": 2}


def test_wrappers_that_change_a_prompt_share_no_answers() -> None:
    cache, llm = HybridCache(), FakeLLM()
    wrappers = [
        llm,
        PromptOptimizingLLM(llm),
        PromptOptimizingLLM(llm, RequestOptimizer(max_tokens=1_000)),
        PromptOptimizingLLM(llm, RequestOptimizer(history=History(keep=2))),
        PromptOptimizingLLM(llm, RequestOptimizer(history=History(keep=3))),
        BatchedLLM(llm),
        BatchedLLM(llm, combine=True),
        BatchedLLM(llm, combine=True, limits=GroupLimits(max_size=2)),
    ]
    for _ in range(2):
        for each in wrappers:
            CachedLLM(each, cache).chat(QUESTION)
    assert cache.stats.misses == cache.stats.hits["exact"] == len(wrappers)


def test_what_says_how_a_call_is_made_is_in_no_key(server: FakeOpenAI, model: Model) -> None:
    cache = HybridCache()
    for settings in ({}, {"api_key": "another", "timeout": 3.0, "max_retries": 2}):
        CachedLLM(model(**settings), cache).chat(QUESTION)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"default_headers": {"x-beta": "b"}},
        {"api_version": "2026-01-01"},
        {"temperature": 0.5},
        {"additional_kwargs": {"logit_bias": {"1": 1}}},
    ],
)
def test_what_changes_an_answer_is_in_the_key(
    server: FakeOpenAI, model: Model, other: dict[str, Any]
) -> None:
    cache = HybridCache()
    for settings in ({}, other):
        CachedLLM(model(**settings), cache).chat(QUESTION)
    assert len(server.requests) == 2


def test_what_an_http_client_adds_is_part_of_the_key(server: FakeOpenAI, model: Model) -> None:
    cache = HybridCache()
    for headers in ({}, {"x-route": "b"}, {"authorization": "mine"}):
        with httpx.Client(headers=headers) as client:
            CachedLLM(model(http_client=client), cache).chat(QUESTION)
    assert len(server.requests) == 2


def test_arguments_of_earlier_tool_calls_are_read_by_content() -> None:
    class Liar:
        def __init__(self, content: int) -> None:
            self.content = content

        def __repr__(self) -> str:
            return "Liar"

    llm = FakeLLM()
    cached = CachedLLM(llm)
    for content in (1, 2, 1):
        call = ToolCallBlock(tool_call_id="a", tool_name="act", tool_kwargs={"with": Liar(content)})
        asked = ChatMessage(role=MessageRole.ASSISTANT, blocks=[call])
        cached.chat([ChatMessage("Go."), asked, ChatMessage("And now?")])
    assert len(llm.calls) == 2


@pytest.fixture
def index() -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        [Document(text="Passwords are reset on the login page.")], embed_model=HashEmbedding()
    )


def asked_of(index: VectorStoreIndex, cache: HybridCache, synthesizer: Any) -> None:
    inner = index.as_query_engine(response_synthesizer=synthesizer, llm=FakeLLM())
    CachedQueryEngine(inner, cache).query("How do I reset my password?")


def test_the_settings_of_a_synthesizer_are_part_of_the_key(index: VectorStoreIndex) -> None:
    class Own(Refine):
        """Of the same name as the next one."""

    first = Own

    class Own(Refine):  # type: ignore[no-redef]
        def get_response(self, *args: Any, **kwargs: Any) -> Any:
            return str(super().get_response(*args, **kwargs)).upper()

    llm, cache = FakeLLM(), HybridCache()
    synthesizers = [
        Refine(llm=llm),
        Accumulate(llm=llm),
        Refine(llm=llm, response_padding_size=7),
        first(llm=llm),
        Own(llm=llm),
    ]
    for _ in range(2):
        for each in synthesizers:
            asked_of(index, cache, each)
    assert cache.stats.misses == cache.stats.hits["exact"] == len(synthesizers)


def test_the_functions_of_a_prompt_are_part_of_the_key(index: VectorStoreIndex) -> None:
    def template(prefix: str) -> PromptTemplate:
        return PromptTemplate(
            "{context_str} {query_str}",
            function_mappings={"context_str": lambda **given: prefix + given["context_str"]},
        )

    llm, cache = FakeLLM(), HybridCache()
    for prefix in ("a", "b", "a"):
        asked_of(index, cache, Refine(llm=llm, text_qa_template=template(prefix)))
    assert (cache.stats.misses, cache.stats.hits) == (2, {"exact": 1})


class Prefixed(HashEmbedding):
    """An embedding model with a setting of its own."""

    prefix: str = ""


def test_embeddings_share_vectors_only_with_the_same_settings() -> None:
    store = SimpleKVStore()
    for prefix in ("a", "b", "a"):
        with_embeddings_cache(Prefixed(prefix=prefix), store).get_text_embedding("Hello")
    assert len(store.to_dict()) == 2


def test_answers_of_one_tier_are_not_served_to_another() -> None:
    small, large = FakeLLM(model="small"), FakeLLM(model="large")
    routed = RoutedLLM(
        {"small": small, "large": large},
        policy=Always("large"),
        tiers={"free": UserTier(ceiling="small"), "pro": UserTier()},
    )
    llm = CachedLLM(BatchedLLM(routed))
    for _ in range(2):
        for tier, task in (("free", ""), ("pro", ""), ("pro", "extract")):
            with instrument_tags({"tier": tier, "task": task, "user": f"of {tier}"}):
                answer = llm.chat(QUESTION)
            assert (answer.message.content or "").startswith("small" if tier == "free" else "large")
    assert (len(small.calls), len(large.calls)) == (1, 2)
