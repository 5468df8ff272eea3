"""A cache hit is like the answer: to callbacks, in event streams, and field by field.

The same calls are recorded on a bare model, on a miss and on a hit, and the recordings compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tracers._streaming import _V2StreamingCallbackHandler
from langchain_openai import ChatOpenAI, OpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel, Field

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
)
from langchain_llm_optimizers.hits import chunks_of
from llm_optimizers.costs import Ledger
from support.fakes import CombiningFake, StreamingFake
from support.openai_answers import (
    CALLS,
    CITED_TEXT,
    FUNCTION_CALL,
    REASONING,
    WEB_SEARCH,
    call_deltas,
    completion,
    completion_events,
    response,
    response_events,
)
from support.scripted_server import ScriptedProvider, scripted_server

QUESTION = "How do I activate my new card?"
TURN = [HumanMessage(QUESTION)]
METHODS = ["invoke", "ainvoke", "stream", "astream", "generate", "agenerate", "v2", "log"]


class Recorder(BaseCallbackHandler):
    """Records every callback of a run, with its arguments."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.events.append(("start", {**kwargs, "serialized": serialized, "messages": messages}))

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.events.append(("token", {**kwargs, "token": token}))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.events.append(("end", {**kwargs, "response": response.model_dump()}))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.events.append(("error", kwargs))


def normal(value: Any) -> Any:
    """Return the value without what may differ on a hit: ids, times, its mark and its cost.

    LangChain gives no `llm_output` on hits of its own cache either, and no generation info to the
    reader of a stream. A router adds its mark after the run.
    """
    if isinstance(value, BaseModel):
        return normal(value.model_dump())
    if isinstance(value, dict):
        skipped = {"run_id", "parent_run_id", "parent_ids", "id", "cache_hit", "total_cost"}
        skipped |= {"llm_output", "run", "generation_info", "llm_optimizers", "repr"}
        return {str(k): normal(v) for k, v in value.items() if k not in skipped}
    if isinstance(value, list | tuple):
        return [normal(item) for item in value]
    if isinstance(value, UUID):
        return ""
    return value


def recording(events: list[tuple[str, Any]]) -> list[Any]:
    """Return a recording in which the chunks of a stream, which may be cut elsewhere, are one."""
    kept: list[Any] = []
    texts = "".join(str(e["token"]) for kind, e in events if kind == "token")
    tags = [e["tags"] for kind, e in events if kind == "token"]
    for kind, event in events:
        if kind != "token":
            kept.append((kind, normal(event)))
    return [*kept, texts, tags[:1], all(each == tags[0] for each in tags)]


async def record(model: Any, method: str) -> list[Any]:
    """Call the model and return all that its callbacks and event streams got."""
    heard = Recorder()
    config: Any = {
        "callbacks": [heard],
        "tags": ["of the call"],
        "metadata": {"user": "u1"},
        "run_name": "the run",
    }
    match method:
        case "invoke":
            model.invoke(QUESTION, config, stop=["END"])
        case "ainvoke":
            await model.ainvoke(QUESTION, config, stop=["END"])
        case "stream":
            list(model.stream(QUESTION, config, stop=["END"]))
        case "astream":
            [_ async for _ in model.astream(QUESTION, config, stop=["END"])]
        case "generate":
            model.generate([TURN], stop=["END"], **config)
        case "agenerate":
            await model.agenerate([TURN], stop=["END"], **config)
        case "v2":
            events = [e async for e in model.astream_events(QUESTION, {}, version="v2")]
            return [*event_recording(events), *recording(heard.events)]
        case "log":
            patches = [patch async for patch in model.astream_log(QUESTION, config)]
            final = patches[0]
            for patch in patches[1:]:
                final = final + patch
            return [normal(final.state["name"]), *recording(heard.events)]
    return recording(heard.events)


def event_recording(events: list[Any]) -> list[Any]:
    """Return the events of a stream; several chunks in a row count as one."""
    kept: list[Any] = []
    for event in events:
        about = (event["event"], event["name"], event["tags"], normal(event["metadata"]))
        if not kept or kept[-1] != about:
            kept.append(about)
    return kept


def attached(kind: type[BaseChatModel] = StreamingFake, **settings: Any) -> Any:
    """Return a model to which everything is attached that LangChain lets one attach."""
    return kind(
        name="the model",
        tags=["nostream"],
        metadata={"team": "x"},
        callbacks=[Recorder()],
        rate_limiter=InMemoryRateLimiter(requests_per_second=1_000),
        **settings,
    )


WRAPPED: dict[str, Callable[[], BaseChatModel]] = {
    "bare": attached,
    "cached": lambda: CachedChatModel(model=attached(), tags=["outer"]),
    "optimized": lambda: OptimizedChatModel(
        model=attached(), tags=["middle"], metadata={"step": 2}, callbacks=[Recorder()]
    ),
    "routed": lambda: ChatModelRouter(
        {"small": attached(model="small"), "large": attached(model="gpt-4o")},
        safe="small",
        tags=["middle"],
    ),
    "batched": lambda: BatchingChatModel(model=attached(), tags=["middle"], max_delay=0.0),
}


def recorders_of(model: Any) -> list[Recorder]:
    """Return the recorders attached to a model and to those inside it."""
    inside = [getattr(model, "model", None), *getattr(model, "models", {}).values()]
    own = list(model.callbacks or ())
    for each in inside:
        own += recorders_of(each) if isinstance(each, BaseChatModel) else []
    return own


@pytest.mark.filterwarnings("ignore:astream_log is deprecated")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wrapped", WRAPPED)
async def test_callbacks_get_the_same_on_a_miss_and_on_a_hit(wrapped: str, method: str) -> None:
    inner = WRAPPED[wrapped]()
    model = CachedChatModel(model=inner)
    told: list[Any] = []
    for _ in range(2):
        before = [len(recorder.events) for recorder in recorders_of(model)]
        to_caller = await record(model, method)
        to_owner = [
            recording(recorder.events[start:])
            for recorder, start in zip(recorders_of(model), before, strict=True)
        ]
        told.append((to_caller, to_owner))
    assert sum(model.cache.stats.hits.values()) == 1
    assert told[1] == told[0]
    if wrapped == "bare":
        assert told[1][0] == await record(attached(), method)


@pytest.mark.parametrize("stream_mode", ["messages", "updates"])
def test_a_step_hidden_from_the_user_stays_hidden_on_a_hit(stream_mode: Any) -> None:
    inner = CachedChatModel(model=OptimizedChatModel(model=StreamingFake(tags=["nostream"])))
    shown = CachedChatModel(model=StreamingFake())

    def plan(state: MessagesState) -> dict[str, Any]:
        inner.invoke("secret plan")
        return {"messages": [shown.invoke(QUESTION)]}

    graph = StateGraph(MessagesState)
    graph.add_node("plan", plan)
    graph.add_edge(START, "plan")
    graph.add_edge("plan", END)
    app = graph.compile()
    texts = []
    for _ in range(2):
        parts: list[Any] = list(app.stream({"messages": TURN}, stream_mode=stream_mode))
        if stream_mode == "messages":
            texts.append("".join(message.text for message, _ in parts))
        else:
            texts.append("".join(m.text for part in parts for m in part["plan"]["messages"]))
    assert texts == [f"gpt-4o-mini says: {QUESTION}"] * 2


async def test_the_run_of_a_hit_is_that_of_the_model_that_a_router_chose() -> None:
    router = ChatModelRouter(
        {"small": StreamingFake(model="small", tags=["nostream"]), "large": StreamingFake()},
        policy=None,
        safe="small",
    )
    answer = CachedChatModel(model=router)
    bound = answer.bind_tools([{"name": "magic", "description": "d", "parameters": {}}])
    starts = []
    for _ in range(2):
        heard = Recorder()
        bound.invoke("magic 7", {"callbacks": [heard]})
        starts.append(normal(heard.events[0][1]))
    assert starts[0] == starts[1]
    assert starts[1]["tags"] == ["nostream"]
    assert starts[1]["invocation_params"]["tools"][0]["function"]["name"] == "magic"


async def test_a_combined_call_opens_the_run_of_the_model_behind_the_wrappers() -> None:
    leaf = attached(CombiningFake)
    model = BatchingChatModel(
        model=OptimizedChatModel(model=leaf, tags=["middle"]), combine=True, max_delay=0.0
    )
    heard = Recorder()
    await model.ainvoke(QUESTION, {"callbacks": [heard], "run_name": "the run"})
    model.close()
    plain = Recorder()
    OptimizedChatModel(model=leaf, tags=["middle"]).invoke(
        QUESTION, {"callbacks": [plain], "run_name": "the run"}
    )
    assert normal(heard.events[0]) == normal(plain.events[0])


class TypedEvents(_V2StreamingCallbackHandler, BaseCallbackHandler):
    """Reads typed events, as LangGraph's streams of version 3 do."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self.events.append(event)


@pytest.mark.parametrize("question", [QUESTION, "magic 7"])
@pytest.mark.parametrize("typed_first", [True, False])
def test_readers_of_typed_events_and_others_get_the_form_that_the_model_gives(
    question: str, typed_first: bool
) -> None:
    tools = [{"name": "magic", "description": "d", "parameters": {}}] if "magic" in question else []

    def answers(model: Any) -> list[Any]:
        found = []
        for typed in (typed_first, not typed_first):
            heard = TypedEvents()
            answer = model.invoke(question, {"callbacks": [heard] if typed else []})
            kinds = [event["event"] for event in heard.events]
            call_names = [call["name"] for call in answer.tool_calls]
            form = type(answer.content), answer.text, call_names
            found.append((form, kinds[:2], kinds[-1:], answer.response_metadata.get("cache_hit")))
        return found

    bare, cached = StreamingFake(), CachedChatModel(model=StreamingFake())
    expected = answers(bare.bind_tools(tools) if tools else bare)
    first, second = answers(cached.bind_tools(tools) if tools else cached)
    assert [first, second[:3]] == [expected[0], expected[1][:3]]
    assert second[3]["tier"] == "exact"


def test_a_hit_waits_for_no_rate_limiter() -> None:
    class Limiter(InMemoryRateLimiter):
        acquired = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.acquired += 1
            return True

    limiter = Limiter()
    model = CachedChatModel(model=StreamingFake(rate_limiter=limiter))
    for _ in range(3):
        model.invoke(QUESTION)
        list(model.stream(QUESTION))
    assert limiter.acquired == 1


class WholeFake(BaseChatModel):
    """Cannot stream."""

    @property
    def _llm_type(self) -> str:
        return "whole-fake"

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("several words here"))])


@pytest.mark.parametrize(
    "leaf",
    [
        StreamingFake(disable_streaming=True),
        StreamingFake(disable_streaming="tool_calling"),
        WholeFake(),
    ],
    ids=["never", "not with tools", "cannot"],
)
async def test_a_hit_streams_only_if_the_model_would(leaf: BaseChatModel) -> None:
    model: Any = CachedChatModel(model=leaf).bind(tools=[])
    if leaf.disable_streaming == "tool_calling":
        tool = {"name": "magic", "description": "d", "parameters": {}}
        model = CachedChatModel(model=leaf).bind_tools([tool])
    counts = []
    for _ in range(2):
        heard = Recorder()
        chunks = list(model.stream(QUESTION, {"callbacks": [heard]}))
        later = [chunk async for chunk in model.astream(QUESTION)]
        counts.append((len(chunks), len(later), len([e for e in heard.events if e[0] == "token"])))
    assert counts == [(1, 1, 0)] * 2


# --- what a hit costs -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["invoke", "stream", "through LangChain's cache"])
def test_a_hit_says_that_it_cost_nothing(method: str) -> None:
    ledger = Ledger()
    costs, counted = CostCallbackHandler(ledger), UsageMetadataCallbackHandler()
    config: Any = {"callbacks": [costs, counted]}
    cache = HybridCache(ledger=ledger)
    model: Any = CachedChatModel(model=StreamingFake(), cache=cache)
    if method == "through LangChain's cache":
        model = StreamingFake(cache=cache)
    usages = []
    for _ in range(3):
        if method == "stream":
            first, *rest = model.stream(QUESTION, config)
            for chunk in rest:
                first = first + chunk
            usages.append(first.usage_metadata)
        else:
            usages.append(model.invoke(QUESTION, config).usage_metadata)
    assert "total_cost" not in usages[0]
    assert usages[1] == usages[2] == {**usages[0], "total_cost": 0}
    assert type(usages[1]["total_cost"]) is int  # LangChain adds usage up, and takes no floats.
    summary = ledger.summary()
    assert (summary.requests, summary.hits, summary.usage.total_tokens) == (
        3,
        2,
        usages[0]["total_tokens"],
    )
    assert (
        next(iter(counted.usage_metadata.values()))["total_tokens"]
        == 3 * (usages[0]["total_tokens"])
    )


def test_the_cost_in_a_history_is_in_no_key() -> None:
    fake = StreamingFake()
    model = CachedChatModel(model=fake)
    for _ in range(3):
        answer = model.invoke(QUESTION)
        model.invoke([*TURN, answer, HumanMessage("And then?")])
    assert fake.calls == [QUESTION, "And then?"]


class Uncounted(StreamingFake):
    """Reports no usage."""

    def _message(self, *args: Any) -> AIMessage:
        return super()._message(*args).model_copy(update={"usage_metadata": None})


@pytest.mark.parametrize("cache", [None, HybridCache()], ids=["alone", "behind LangChain's cache"])
def test_an_answer_without_counts_is_served_without(cache: Any) -> None:
    fake = Uncounted(cache=cache)
    fake.invoke(QUESTION)
    model = CachedChatModel(model=fake)
    for _ in range(2):
        list(model.stream(QUESTION))
        model.invoke(QUESTION)
    assert sum(model.cache.stats.hits.values()) == 3
    assert model.invoke(QUESTION).usage_metadata is None


# --- field by field -------------------------------------------------------------------------------

TEXT = (
    completion(content="Hello there, all of you."),
    completion_events([{"content": "Hello there, "}, {"content": "all of you."}]),
)
TOOLS = (
    completion("tool_calls", content="Well.", tool_calls=CALLS),
    completion_events([{"content": "Well."}, *call_deltas()], "tool_calls"),
)
CITED = (
    response([REASONING, WEB_SEARCH, CITED_TEXT]),
    response_events([REASONING, WEB_SEARCH, CITED_TEXT]),
)
CALLED = response([REASONING, FUNCTION_CALL]), response_events([REASONING, FUNCTION_CALL])
ANSWERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": (TEXT, {}),
    "text in blocks": (TEXT, {"output_version": "v1"}),
    "log probabilities": (TEXT, {"logprobs": True}),
    "tool calls": (TOOLS, {}),
    "a refusal beside text": ((completion(content="x", refusal=""), TEXT[1]), {}),
    "reasoning and citations": (CITED, {"use_responses_api": True}),
    "reasoning and citations, v1": (CITED, {"use_responses_api": True, "output_version": "v1"}),
    "reasoning and a call": (CALLED, {"use_responses_api": True}),
    "reasoning and a call, v1": (CALLED, {"use_responses_api": True, "output_version": "v1"}),
}


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> Iterator[tuple[ScriptedProvider, ChatOpenAI]]:
    (body, events), settings = ANSWERS[request.param]
    with scripted_server(body, events) as server, httpx.Client() as client:
        yield (
            server,
            ChatOpenAI(
                model="gpt-4o",
                base_url=server.url,
                api_key="sk-test",
                stream_usage=True,
                http_client=client,
                **settings,
            ),
        )


def answer_of(model: Any, method: str) -> AIMessage:
    if method == "invoke":
        return model.invoke(QUESTION)
    first, *rest = model.stream(QUESTION)
    for chunk in rest:
        first = first + chunk
    assert first.chunk_position == "last"
    return first


def fields(message: AIMessage, ids: list[str]) -> Any:
    """Return a message's fields, with its tool calls' ids numbered."""
    text = message.model_dump_json(exclude={"id"})
    for number, identifier in enumerate(ids):
        text = text.replace(identifier, f"call {number}")
    return json.loads(text)


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["invoke", "stream"])
@pytest.mark.parametrize("provider", ANSWERS, indirect=True)
def test_every_field_of_a_hit_is_that_of_the_answer(
    provider: tuple[ScriptedProvider, ChatOpenAI], method: str
) -> None:
    server, bare = provider
    model = CachedChatModel(model=bare)
    made, hit = answer_of(model, method), answer_of(model, method)
    assert len(server.requests) == 1
    assert hit.response_metadata.pop("cache_hit")["tier"] == "exact"
    assert hit.usage_metadata is not None
    hit.usage_metadata.pop("total_cost")  # type: ignore[typeddict-item]
    written = [fields(m, [str(c["id"]) for c in m.tool_calls]) for m in (made, hit)]
    for each in written:
        for chunk in each.get("tool_call_chunks", ()):
            chunk.pop("index")  # of a chunk among its chunks, not part of the answer
        for block in each["content"] if isinstance(each["content"], list) else ():
            block.pop("index", None)
    assert written[1] == written[0]


@pytest.mark.loopback
@pytest.mark.parametrize("methods", [("invoke", "stream"), ("stream", "invoke")])
@pytest.mark.parametrize("provider", ANSWERS, indirect=True)
def test_a_stream_and_a_call_say_the_same(
    provider: tuple[ScriptedProvider, ChatOpenAI], methods: tuple[str, str]
) -> None:
    model = CachedChatModel(model=provider[1])
    made, hit = (answer_of(model, method) for method in methods)
    assert hit.text == made.text
    assert [c["args"] for c in hit.tool_calls] == [c["args"] for c in made.tool_calls]
    assert [b["type"] for b in hit.content_blocks] == [b["type"] for b in made.content_blocks]


class Reply(BaseModel):
    """A schema whose fields have other names in JSON."""

    town: str = Field(alias="the town")


@pytest.mark.loopback
def test_structured_output_with_other_names_in_json_is_parsed_on_a_hit() -> None:
    body = completion(content='{"the town": "Ulm"}')
    with scripted_server(body) as server, httpx.Client() as client:
        bare = ChatOpenAI(
            model="gpt-4o", base_url=server.url, api_key="sk-test", http_client=client
        )
        model = CachedChatModel(model=bare).with_structured_output(Reply)
        replies = [model.invoke(QUESTION) for _ in range(2)]
    assert [reply.town for reply in replies] == ["Ulm", "Ulm"]  # type: ignore[union-attr]
    assert len(server.requests) == 1


# --- chunks ---------------------------------------------------------------------------------------

blocks = st.one_of(
    st.text(),
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}),
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": st.text(min_size=1), "annotations": st.just([{"a": 1}])},
        optional={"index": st.integers(0, 3), "id": st.sampled_from(["msg_1", "msg_2"])},
    ),
    st.fixed_dictionaries(
        {"type": st.just("reasoning"), "reasoning": st.text()},
        optional={"index": st.integers(0, 3)},
    ),
)


@given(content=st.lists(blocks, max_size=4))
def test_the_chunks_of_blocks_add_up_to_them(content: list[Any]) -> None:
    first, *rest = chunks_of(AIMessage(content, id="a"))
    for chunk in rest:
        first = first + chunk

    def without_places(given: list[Any]) -> list[Any]:
        return [
            {k: v for k, v in block.items() if k != "index"} if isinstance(block, dict) else block
            for block in given
        ]

    assert isinstance(first.content, list)
    assert without_places(first.content) == without_places(content)


def test_calls_that_could_not_be_parsed_are_streamed_too() -> None:
    broken = {"name": "f", "args": "no json", "id": "call_1", "error": None}
    message = AIMessage("text", invalid_tool_calls=[{**broken, "type": "invalid_tool_call"}])
    first, *rest = chunks_of(message)
    for chunk in rest:
        first = first + chunk
    assert [(c["name"], c["args"]) for c in first.invalid_tool_calls] == [("f", "no json")]


# --- several answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"n": 3}, {"n": 3, "streaming": True}], ids=str)
def test_a_stream_of_several_answers_fills_nothing(settings: dict[str, Any]) -> None:
    class Several(StreamingFake):
        streaming: bool = False

    fake = Several(**settings)
    model = CachedChatModel(model=fake)
    for _ in range(2):
        list(model.stream(QUESTION))
    assert (len(model.cache), len(fake.calls)) == (0, 2)
    model.invoke(QUESTION)  # LangChain streams inside `invoke` if `streaming` is set.
    assert len(model.cache) == (0 if fake.streaming else 1)


async def test_several_answers_are_served_together() -> None:
    fake = StreamingFake(n=3)
    model = CachedChatModel(model=fake)
    prompts = [TURN, [HumanMessage("another")]]
    for _ in range(2):
        made = model.generate(prompts)
        assert [len(each) for each in made.generations] == [3, 3]
        made = await model.agenerate(prompts)
        assert [len(each) for each in made.generations] == [3, 3]
    assert len(fake.calls) == 2
    assert len(list(model.stream(QUESTION))) > 1
    assert len(fake.calls) == 3


def test_a_call_that_streams_inside_langchain_s_own_cache_fills_nothing() -> None:
    cache = HybridCache()

    class Several(StreamingFake):
        streaming: bool = False

    whole = Several(n=3, cache=cache)
    streamed = Several(n=3, cache=cache, streaming=True)
    streamed.invoke(QUESTION)
    assert (len(cache), cache.stats.troubles) == (0, {"not admitted": 1})
    assert len(whole.generate([TURN]).generations[0]) == 3
    assert len(cache) == 1
    assert len(whole.generate([TURN]).generations[0]) == 3
    assert len(whole.calls) == 1


def test_a_stored_answer_with_another_number_of_choices_is_not_served() -> None:
    cache = HybridCache()
    prompt, settings = "a completion", "[('_type', 'x'), ('n', 2), ('stop', None)]"
    one = [Generation(text="one")]
    cache.update(prompt, settings, one)
    assert cache.lookup(prompt, settings) is None
    cache.update(prompt, settings, one * 2)
    assert len(cache.lookup(prompt, settings) or ()) == 2


@pytest.mark.loopback
def test_completions_of_several_answers_are_served_together() -> None:
    choices = [
        {"index": i, "text": f"answer {i}", "finish_reason": "stop", "logprobs": None}
        for i in range(2)
    ]
    body = {"id": "c", "object": "text_completion", "model": "m", "choices": choices, "usage": {}}
    cache = HybridCache()
    with scripted_server(body) as server, httpx.Client() as client:
        settings: Any = {"base_url": server.url, "api_key": "sk-test", "http_client": client}
        llm = OpenAI(model="m", n=2, best_of=3, cache=cache, **settings)
        for _ in range(2):
            (made,) = llm.generate(["a prompt"]).generations
            assert [each.text for each in made] == ["answer 0", "answer 1"]
        assert len(server.requests) == 1
        other = OpenAI(model="m", n=4, best_of=4, cache=cache, **settings)
        for _ in range(2):
            # A server that ignores the setting: it does not give what was asked for.
            assert len(other.generate(["a prompt"]).generations[0]) < 4
        assert len(server.requests) == 3
    assert len(cache) == 1
