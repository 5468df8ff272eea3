"""Schemas, tools, settings and routers behind a cache: by content, for all that a provider sees."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import StructuredTool, tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
    OptimizedChatModel,
)
from langchain_llm_optimizers.llm_string import identity_of_string
from langchain_llm_optimizers.middleware import CacheMiddleware, RouterMiddleware
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import History, RequestOptimizer
from llm_optimizers.routing import Always, CascadePolicy, KeywordPolicy, UserTier, Weighted
from support.fakes import StreamingFake
from support.openai_server import FakeOpenAI, tool_call

pytestmark = pytest.mark.loopback
Chat = Callable[..., ChatOpenAI]


@pytest.fixture
def chat(chat: Chat) -> Chat:
    """Models that do not fill langchain-openai's cache of clients, which drops them unclosed."""
    unused = httpx.AsyncClient()
    return lambda **settings: chat(**{"http_async_client": unused, **settings})


def score(best: str) -> type[BaseModel]:
    class Score(BaseModel):
        value: int = Field(description=f"{best} is best")

    return Score


def row(best: str) -> Any:
    return TypedDict("Score", {"value": Annotated[int, ..., f"{best} is best"]})


def scorer(best: str) -> Any:
    @tool
    def score(value: int) -> str:
        """Score a text."""
        return "done"

    score.description = f"{best} is best"
    return score


def looker(best: str) -> Any:
    """A tool whose arguments are described."""
    return StructuredTool.from_function(
        func=lambda value: "done", name="score", description="Score.", args_schema=score(best)
    )


def definition(best: str) -> dict[str, Any]:
    function = {"name": "Score", "description": best, "parameters": {"type": "object"}}
    return {"type": "function", "function": function}


SHAPES: dict[str, Callable[[Any, str], Any]] = {
    "class as schema": lambda model, best: model.with_structured_output(score(best)),
    "class by function calling": lambda model, best: model.with_structured_output(
        score(best), method="function_calling"
    ),
    "typed dict as schema": lambda model, best: model.with_structured_output(row(best)),
    "JSON schema": lambda model, best: model.with_structured_output(
        {"title": "Score", "description": best, "type": "object", "properties": {}}
    ),
    "class as tool": lambda model, best: model.bind_tools([score(best)]),
    "decorated tool": lambda model, best: model.bind_tools([scorer(best)]),
    "structured tool": lambda model, best: model.bind_tools([looker(best)]),
    "definition": lambda model, best: model.bind_tools([definition(best)]),
    "choice of tool": lambda model, best: model.bind_tools(
        [definition("a")], tool_choice="any" if best == "1" else "none"
    ),
    "strictness": lambda model, best: model.bind_tools([looker("a")], strict=best == "1"),
}


def reply(body: dict[str, Any]) -> Any:
    if body.get("tools"):
        name = body["tools"][0]["function"]["name"]
        return {"tool_calls": [tool_call(name, {"value": 1}, "call_000000000000000000000001")]}
    return '{"value": 1}'


def models(chat: Chat, wrapper: str) -> Any:
    small, large = chat(model="gpt-4o-mini"), chat(model="gpt-4o")
    router = ChatModelRouter([small, large])
    return {
        "model": large,
        "router": router,
        "router in a prompt optimiser": OptimizedChatModel(model=router),
        "router in a router": ChatModelRouter({"small": small, "router": router}),
        "batching": BatchingChatModel(model=large),
    }[wrapper]


WRAPPERS = ["model", "router", "router in a prompt optimiser", "batching"]


@pytest.mark.parametrize(
    ("wrapper", "shape"),
    [
        *((wrapper, shape) for wrapper in WRAPPERS for shape in SHAPES),
        ("router in a router", "decorated tool"),
        ("router in a router", "strictness"),
    ],
)
def test_what_a_provider_is_sent_is_the_key(
    server: FakeOpenAI, chat: Chat, wrapper: str, shape: str
) -> None:
    server.reply = reply
    cached = CachedChatModel(model=models(chat, wrapper))
    for best, calls in (("1", 1), ("10", 2), ("1", 2), ("10", 2)):
        SHAPES[shape](cached, best).invoke("Rate this.")
        assert len(server.requests) == calls, cached.cache.stats
    assert cached.cache.stats.hits == {"exact": 2}


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "schema" not in shape.lower()])
async def test_streams_with_tools_are_told_apart(
    server: FakeOpenAI, chat: Chat, shape: str
) -> None:
    server.reply = reply
    async with httpx.AsyncClient() as client:

        def model(**settings: Any) -> ChatOpenAI:
            return chat(http_async_client=client, **settings)

        cached = CachedChatModel(model=models(model, "router"))
        for best, calls in (("1", 1), ("10", 2), ("1", 2)):
            [chunk async for chunk in SHAPES[shape](cached, best).astream("Rate this.")]
            assert len(server.requests) == calls


def test_what_is_keyed_is_what_is_sent_whatever_happens_to_the_tool(
    server: FakeOpenAI, chat: Chat
) -> None:
    cached, changing = CachedChatModel(model=models(chat, "router")), scorer("1")
    bound = cached.bind_tools([changing])
    bound.invoke("Rate this.")
    changing.description = "10 is best"
    bound.invoke("Rate this.")
    cached.bind_tools([changing]).invoke("Rate this.")
    described = [r["tools"][0]["function"]["description"] for r in server.requests]
    assert described == ["1 is best", "10 is best"]


def test_a_question_with_tools_is_matched_word_for_word(server: FakeOpenAI, chat: Chat) -> None:
    bound = CachedChatModel(model=models(chat, "router")).bind_tools([scorer("1")])
    bound.invoke("How do I reset my password?")
    bound.invoke("How can I reset my password?")
    assert len(server.requests) == 2


def test_a_router_without_a_model_for_tools_is_not_cached(server: FakeOpenAI, chat: Chat) -> None:
    class Toolless(StreamingFake):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    cached = CachedChatModel(model=ChatModelRouter([Toolless()]))
    for _ in range(2):
        with pytest.raises(NotImplementedError):
            cached.bind_tools([scorer("1")]).invoke("Rate this.")
    assert cached.cache.stats.troubles == {"bypassed": 2}


@pytest.mark.parametrize("order", ["cache first", "router first"])
def test_an_agent_with_a_cache_and_a_router(server: FakeOpenAI, chat: Chat, order: str) -> None:
    server.reply = lambda body: (
        reply(body) if body["messages"][-1]["role"] == "user" else f"by {body['model']}"
    )
    cache = CacheMiddleware(HybridCache())
    router = RouterMiddleware(models(chat, "router"))
    middleware = [cache, router] if order == "cache first" else [router, cache]
    question = {"messages": [HumanMessage("Rate this.")]}
    for best, calls in (("1", 2), ("1", 2), ("10", 4)):
        agent = create_agent(chat(model="gpt-3.5-turbo"), [scorer(best)], middleware=middleware)
        assert agent.invoke(question)["messages"][-1].text == "by gpt-4o"
        assert len(server.requests) == calls


class Longest:
    """A policy of the user's."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.lock: Any = None

    def choose(self, policy_input: Any) -> Any:
        return Always(self.model).choose(policy_input)


ROUTERS: list[dict[str, Any]] = [
    {},
    {"policy": Always("gpt-4o-mini")},
    {"safe": "gpt-4o-mini"},
    {"policy": Weighted({"gpt-4o": 0.3, "gpt-4o-mini": 0.7})},
    {"policy": Weighted({"gpt-4o": 0.7, "gpt-4o-mini": 0.3})},
    {"policy": KeywordPolicy(weak="gpt-4o-mini", strong="gpt-4o")},
    {"policy": KeywordPolicy(weak="gpt-4o-mini", strong="gpt-4o", threshold=1)},
    {"policy": KeywordPolicy(weak="gpt-4o-mini", strong="gpt-4o", intents={"a": ["hello"]})},
    {"policy": CascadePolicy(cheap="gpt-4o-mini", strong="gpt-4o")},
    {"policy": CascadePolicy(cheap="gpt-4o-mini", strong="gpt-4o", samples=("gpt-4o-mini",))},
    {"policy": Longest("gpt-4o")},
    {"policy": Longest("gpt-4o-mini")},
    {"tiers": {"free": UserTier(ceiling="gpt-4o-mini")}},
    {"tiers": {"free": UserTier(ceiling="gpt-4o")}},
]


def test_routers_that_decide_otherwise_share_no_answers(server: FakeOpenAI, chat: Chat) -> None:
    cache = HybridCache()
    small, large = chat(model="gpt-4o-mini"), chat(model="gpt-4o")
    for _ in range(2):
        for settings in ROUTERS:
            router = ChatModelRouter([small, large], **settings)
            CachedChatModel(model=router, cache=cache).invoke("Hello there?")
    assert cache.stats.misses == cache.stats.hits["exact"] == len(ROUTERS)


@pytest.mark.parametrize("nested", [False, True])
def test_answers_of_one_tier_are_not_served_to_another(nested: bool) -> None:
    small, large = StreamingFake(model="small"), StreamingFake(model="large")
    router = ChatModelRouter(
        models={"small": small, "large": large},
        policy=Always("large"),
        tiers={"free": UserTier(ceiling="small"), "pro": UserTier()},
    )
    model = CachedChatModel(model=BatchingChatModel(model=router) if nested else router)
    for _ in range(2):
        for tier, task in (("free", ""), ("pro", ""), ("pro", "extract")):
            metadata = {"tier": tier, "task": task, "user": f"of {tier}"}
            answer = model.invoke("Rate this.", {"metadata": metadata})
            assert answer.text.startswith("small" if tier == "free" else "large")
    assert (len(small.calls), len(large.calls)) == (1, 2)


def test_a_policy_that_cannot_be_read_is_not_cached(server: FakeOpenAI, chat: Chat) -> None:
    policy = Longest("gpt-4o")
    policy.lock = threading.Lock()
    cached = CachedChatModel(model=ChatModelRouter([chat(model="gpt-4o")], policy=policy))
    cached.invoke("Hello there?")
    cached.invoke("Hello there?")
    assert len(server.requests) == 2
    assert cached.cache.stats.troubles == {"bypassed": 2}


def test_wrappers_that_change_a_prompt_share_no_answers(server: FakeOpenAI, chat: Chat) -> None:
    cache, model = HybridCache(), chat()
    wrapped = [
        model,
        OptimizedChatModel(model=model),
        OptimizedChatModel(model=model, form="line"),
        OptimizedChatModel(model=model, optimizer=RequestOptimizer(max_tokens=1_000)),
        OptimizedChatModel(model=model, optimizer=RequestOptimizer(history=History(keep=2))),
        OptimizedChatModel(model=model, optimizer=RequestOptimizer(history=History(keep=3))),
        BatchingChatModel(model=model),
        BatchingChatModel(model=model, combine=True),
    ]
    for _ in range(2):
        for each in wrapped:
            CachedChatModel(model=each, cache=cache).invoke("Hello there?")
    assert cache.stats.misses == cache.stats.hits["exact"] == len(wrapped)


def test_names_callbacks_and_accounts_are_in_no_key(server: FakeOpenAI, chat: Chat) -> None:
    cache = HybridCache()
    for settings in (
        {},
        {"name": "a", "tags": ["a"], "metadata": {"a": 1}, "callbacks": []},
        {"api_key": "sk-another", "timeout": httpx.Timeout(3), "max_retries": 2},
    ):
        CachedChatModel(model=chat(**settings), cache=cache).invoke("Hello there?")
    assert len(server.requests) == 1


def test_a_model_that_changes_is_another_model(server: FakeOpenAI, chat: Chat) -> None:
    model = chat(temperature=0)
    cached = CachedChatModel(model=model)
    cached.invoke("Hello there?")
    model.max_tokens = 5
    cached.invoke("Hello there?")
    model.model_kwargs["logit_bias"] = {"1": 5}
    cached.invoke("Hello there?")
    assert len(server.requests) == 3


def test_models_of_the_users_own_are_known_by_their_fields() -> None:
    class Own(StreamingFake):
        flavour: str = "plain"

    cache = HybridCache()
    for flavour in ("plain", "sweet", "plain"):
        CachedChatModel(model=Own(flavour=flavour), cache=cache).invoke("Hello there?")
    assert (cache.stats.misses, cache.stats.hits) == (2, {"exact": 1})


@pytest.mark.parametrize("other", [{"headers": {"x-route": "b"}}, {"params": {"route": "b"}}])
def test_what_an_http_client_adds_is_part_of_the_key(
    server: FakeOpenAI, chat: Chat, other: dict[str, Any]
) -> None:
    cache = HybridCache()
    CachedChatModel(model=chat(http_client=None), cache=cache).invoke("Hello there?")
    for settings in ({}, other, {"headers": {"authorization": "mine"}}):
        with httpx.Client(**settings) as client:
            CachedChatModel(model=chat(http_client=client), cache=cache).invoke("Hello there?")
    assert len(server.requests) == 2


@pytest.mark.parametrize("cache_on", ["child", "everywhere"])
@pytest.mark.parametrize("shape", ["class as schema", "decorated tool", "definition"])
def test_langchains_own_cache_behind_a_router(
    server: FakeOpenAI, chat: Chat, global_cache: Any, cache_on: str, shape: str
) -> None:
    server.reply = reply
    cache = HybridCache()
    own: dict[str, Any] = {"cache": cache} if cache_on == "child" else {}
    if cache_on == "everywhere":
        set_llm_cache(cache)
    router = ChatModelRouter([chat(model="gpt-4o-mini", **own), chat(model="gpt-4o", **own)])
    for best in ("1", "10", "1"):
        SHAPES[shape](router, best).invoke("Rate this.")
    sent = [str(body.get("tools") or body["response_format"]) for body in server.requests]
    assert len(set(sent[:2])) == 2


def test_langchains_text_tells_routers_apart(chat: Chat) -> None:
    small, large = chat(model="gpt-4o-mini"), chat(model="gpt-4o")
    policy = Longest("gpt-4o")
    policy.lock = threading.Lock()

    def text(policy: Any, **kwargs: Any) -> str:
        # LangChain asks for it where it opens a wrapper's run itself: in typed events.
        router = ChatModelRouter([small, large], policy=policy)
        return str(router._get_llm_string(stop=None, **kwargs))

    assert text(Always("gpt-4o")) == text(Always("gpt-4o")) != text(Always("gpt-4o-mini"))
    identity_of_string(text(Always("gpt-4o")))
    assert text(policy) != text(policy)
    with pytest.raises(ConfigurationError):
        identity_of_string(text(policy))


def test_a_model_that_states_no_settings_is_not_cached_by_langchain() -> None:
    class Silent(StreamingFake):
        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {}

    cache = HybridCache()
    for temperature in (0.0, 1.0):
        model = Silent(temperature=temperature, cache=cache)
        model.invoke("Hello?")
        assert len(model.calls) == 1
    assert cache.stats.troubles == {"bypassed": 4}


def test_a_silent_class_that_is_defined_later_is_served_no_answer_of_a_stated_model() -> None:
    class Fake(SimpleChatModel):
        @property
        def _llm_type(self) -> str:
            return "a type that two classes have"

        def _call(self, *args: Any, **kwargs: Any) -> str:
            return f"the answer of {type(self).__name__}"

    class Stated(Fake):
        @property
        def _llm_type(self) -> str:
            return "another type that two classes have"

        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"temperature": 1.0}

    cache = HybridCache()
    for _ in range(2):
        assert Stated(cache=cache).invoke("Hello?").text == "the answer of Stated"
    assert cache.stats.hits == {"exact": 1}

    class Silent(Fake):
        @property
        def _llm_type(self) -> str:
            return "another type that two classes have"

    assert Silent(cache=cache).invoke("Hello?", temperature=1.0).text == "the answer of Silent"


def test_arguments_of_earlier_tool_calls_are_read_by_content(
    server: FakeOpenAI, chat: Chat
) -> None:
    class Liar:
        def __init__(self, content: int) -> None:
            self.content = content

        def __repr__(self) -> str:
            return "Liar"

    cached = CachedChatModel(model=StreamingFake())
    for content in (1, 2, 1):
        call = {"name": "act", "args": {"with": Liar(content)}, "id": "a"}
        history = [HumanMessage("Go."), AIMessage("", tool_calls=[call]), HumanMessage("And now?")]
        cached.invoke(history)
    assert cached.cache.stats.misses == 2


def test_objects_in_messages_are_not_keyed_by_their_repr(server: FakeOpenAI, chat: Chat) -> None:
    class Liar:
        def __init__(self, content: int) -> None:
            self.content = content

        def __repr__(self) -> str:
            return "Liar"

    cache = HybridCache()
    model = StreamingFake(cache=cache)
    for content in (1, 2):
        model.invoke([HumanMessage("Hello?", additional_kwargs={"with": Liar(content)})])
    assert cache.stats.troubles == {"bypassed": 4}  # two lookups and two updates
    answered = AIMessage("Hi", additional_kwargs={"parsed": score("1")(value=1)})
    for _ in range(2):  # what repeats an answer's content is in no key
        model.invoke([HumanMessage("Hello?"), answered, HumanMessage("And you?")])
    assert cache.stats.hits == {"exact": 1}
