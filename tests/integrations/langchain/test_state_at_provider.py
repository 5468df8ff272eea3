"""State at the provider, through the real SDK: what is bypassed, and which ids a hit has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import BadRequestError
from pydantic import BaseModel

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
)
from langchain_llm_optimizers.optimized import OptimizedChatModel
from llm_optimizers.routing import Always
from support.fakes import StreamingFake
from support.responses_server import FakeResponses, responses_server

pytestmark = pytest.mark.loopback

QUESTION = "How do I activate my new card?"
PARAPHRASE = "How can I activate my new card?"
Maker = Callable[..., ChatOpenAI]


@pytest.fixture
def server() -> Iterator[FakeResponses]:
    with responses_server() as fake:
        yield fake


@pytest.fixture
def chat(server: FakeResponses) -> Iterator[Maker]:
    with httpx.Client() as client:
        yield lambda **settings: ChatOpenAI(
            **{
                "model": "gpt-5-mini",
                "base_url": server.url,
                "api_key": "sk-test",
                "max_retries": 0,
                "http_client": client,
                "use_responses_api": True,
                **settings,
            }
        )


@tool
def stock(item: str = "") -> str:
    """Return the stock of an item."""
    return "3"


def through_model(model: Any, cache: HybridCache) -> Any:
    return CachedChatModel(model=model, cache=cache)


def through_langchain(model: Any, cache: HybridCache) -> Any:
    return model.model_copy(update={"cache": cache})


both_ways = pytest.mark.parametrize("cached", [through_model, through_langchain])


MOVING = [
    {"conversation": "conv_1"},
    {"conversation": {"id": "conv_1"}},
    {"extra_body": {"conversation": "conv_1"}},
    {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
    {"tools": [{"type": "mcp", "server_label": "mail", "server_url": "https://mail.example"}]},
]


@both_ways
@pytest.mark.parametrize("settings", MOVING, ids=json.dumps)
def test_moving_state_bound_to_a_call_bypasses_the_cache(
    chat: Maker, server: FakeResponses, cached: Any, settings: dict[str, Any]
) -> None:
    cache = HybridCache()
    model = cached(chat(), cache).bind(**settings)
    answers = [model.invoke(QUESTION).text for _ in range(3)]
    assert server.calls == 3
    assert cache.stats.troubles["bypassed"] >= 3
    assert sum(cache.stats.hits.values()) == 0
    if "conversation" in settings:
        assert answers == [f"{QUESTION} ({count} items)" for count in (1, 4, 7)]


@both_ways
@pytest.mark.parametrize("where", ["model_kwargs", "extra_body"])
def test_moving_state_set_on_the_model_bypasses_the_cache(
    chat: Maker, server: FakeResponses, cached: Any, where: str
) -> None:
    model = cached(chat(**{where: {"conversation": "conv_1"}}), HybridCache())
    assert len({model.invoke(QUESTION).text for _ in range(3)}) == 3
    assert server.calls == 3


@pytest.mark.parametrize("settings", [{"extra_body": {"conversation": "conv_1"}}])
def test_moving_state_of_a_wrapped_model_bypasses_the_cache(
    chat: Maker, server: FakeResponses, settings: dict[str, Any]
) -> None:
    inner = chat(**settings)
    wrapped = (
        OptimizedChatModel(model=inner),
        BatchingChatModel(model=inner),
        ChatModelRouter(models={"a": inner, "b": inner}, policy=Always("a")),
    )
    for model in wrapped:
        cached = CachedChatModel(model=model)
        assert len({cached.invoke(QUESTION).text for _ in range(2)}) == 2


async def test_moving_state_is_not_shared_in_flight(server: FakeResponses, chat: Maker) -> None:
    async with httpx.AsyncClient() as client:
        model = CachedChatModel(model=chat(http_async_client=client)).bind(conversation="conv_1")
        answers = await asyncio.gather(*(model.ainvoke(QUESTION) for _ in range(3)))
    assert server.calls == len({answer.text for answer in answers}) == 3


def test_moving_state_bypasses_streams(chat: Maker, server: FakeResponses) -> None:
    model = CachedChatModel(model=chat()).bind(conversation="conv_1")
    texts = ["".join(chunk.text for chunk in model.stream(QUESTION)) for _ in range(2)]
    assert texts == [f"{QUESTION} (1 items)", f"{QUESTION} (4 items)"]


@both_ways
def test_a_tool_s_own_parameter_is_no_state(
    chat: Maker, server: FakeResponses, cached: Any
) -> None:
    @tool
    def read(thread_id: str = "", conversation: str = "") -> str:
        """Read a <thread> of the user's."""
        return ""

    model = cached(chat(), HybridCache()).bind_tools([read])
    assert [model.invoke(QUESTION).tool_calls[0]["name"] for _ in range(2)] == ["read", "read"]
    assert server.calls == 1


@both_ways
def test_a_setting_without_a_value_is_no_state(
    chat: Maker, server: FakeResponses, cached: Any
) -> None:
    model = cached(chat(), HybridCache()).bind(background=False, previous_response_id=None)
    assert len({model.invoke(QUESTION).text for _ in range(2)}) == server.calls == 1


class Verdict(BaseModel):
    right: bool


def test_state_is_found_beside_a_setting_that_cannot_be_read(server: FakeResponses) -> None:
    class Given:
        def __repr__(self) -> str:
            return "Given('<'<schema>)"

    cache = HybridCache()
    for settings in (
        {"conversation": "conv_1", "x": Given()},
        {"extra_body": {"conversation": "conv_1"}, "x": Given()},
        {"conversation": "conv_1", "response_format": Verdict},
        {"tools": [{"type": "mcp"}], "x": Given()},
    ):
        cache.update("p", str(sorted(settings.items())), [])
    assert cache.stats.troubles["bypassed"] == 4


@both_ways
def test_a_fixed_response_is_gone_on_from_exactly(
    chat: Maker, server: FakeResponses, cached: Any
) -> None:
    first = chat().invoke("My name is Ada.")
    other = chat().invoke("My name is Bob.")
    model = cached(chat(), HybridCache())

    def ask(question: str, response: AIMessage) -> AIMessage:
        return model.invoke(question, previous_response_id=response.response_metadata["id"])

    one, hit = ask("What is my name?", first), ask("What is my name?", first)
    assert hit.text == one.text
    assert hit.response_metadata["id"] == one.response_metadata["id"]
    assert server.calls == 3
    ask("What is my name?", other)
    ask("what is my name", first)
    ask("Which name do I have?", first)
    assert server.calls == 6


@both_ways
def test_a_hit_s_calls_are_known_to_the_response_it_goes_on_from(
    chat: Maker, server: FakeResponses, cached: Any
) -> None:
    model = cached(chat(), HybridCache()).bind_tools([stock])
    for round_ in range(2):
        step = model.invoke("how many?")
        result = ToolMessage(f"{round_}", tool_call_id=step.tool_calls[0]["id"])
        model.invoke([result], previous_response_id=step.response_metadata["id"])
    assert server.calls == 3


@pytest.mark.parametrize("version", [None, "responses/v1", "v1", "v0"])
@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_agent_s_next_step_is_accepted_after_a_hit(
    chat: Maker, server: FakeResponses, version: str | None, chained: bool, streamed: bool
) -> None:
    settings = {"output_version": version} if version else {}
    inner = chat(use_previous_response_id=chained, streaming=streamed, **settings)
    model = CachedChatModel(model=inner)
    seen = iter(range(9))

    @tool
    def count(item: str = "") -> str:
        """Count an item; each count is another."""
        return str(next(seen))

    for _ in range(3):
        given = create_agent(model, [count]).invoke({"messages": [("human", "how many?")]})
        assert given["messages"][-1].text.startswith("how many?")
    assert model.cache.stats.hits["exact"] == 2
    assert server.calls == 4


@pytest.mark.parametrize("version", [None, "v1", "v0"])
@pytest.mark.parametrize("chained", [False, True])
def test_a_conversation_goes_on_after_a_hit(
    chat: Maker, server: FakeResponses, version: str | None, chained: bool
) -> None:
    settings = {"output_version": version} if version else {}
    model = CachedChatModel(model=chat(use_previous_response_id=chained, **settings))
    for turn in range(3):
        mine: list[BaseMessage] = [HumanMessage(QUESTION)]
        mine += [model.invoke(mine), HumanMessage(f"and by card, {turn}?")]
        assert "and by card" in model.invoke(mine).text
    assert server.calls == 4


async def test_an_async_streaming_agent_goes_on_after_a_hit(
    server: FakeResponses, chat: Maker
) -> None:
    async with httpx.AsyncClient() as client:
        model = CachedChatModel(model=chat(http_async_client=client, use_previous_response_id=True))
        seen = iter(range(9))

        @tool
        def count(item: str = "") -> str:
            """Count an item; each count is another."""
            return str(next(seen))

        for _ in range(2):
            agent = create_agent(model, [count])
            given = [
                chunk
                async for chunk, _ in agent.astream(
                    {"messages": [("human", "how many?")]}, stream_mode="messages"
                )
            ]
            assert "how many?" in "".join(c.text for c in given if isinstance(c, AIMessageChunk))
    assert server.calls == 3


@pytest.mark.parametrize("chained", [False, True])
def test_a_paraphrase_does_not_go_on_from_another_s_response(
    chat: Maker, server: FakeResponses, chained: bool
) -> None:
    model = CachedChatModel(model=chat(use_previous_response_id=chained))
    model.invoke(QUESTION)
    hit = model.invoke(PARAPHRASE)
    assert model.cache.stats.hits == {"semantic": 1}
    assert "id" not in hit.response_metadata
    model.invoke([HumanMessage(PARAPHRASE), hit, HumanMessage("and by card?")])
    sent = server.requests[-1]
    assert "previous_response_id" not in sent
    assert "rs_" not in json.dumps(sent)
    assert "msg_" not in json.dumps(sent)
    assert PARAPHRASE in json.dumps(sent)


@pytest.mark.parametrize("version", [None, "v0"])
def test_an_old_hit_refers_to_nothing_that_the_provider_may_have_deleted(
    chat: Maker, server: FakeResponses, version: str | None
) -> None:
    now = [0.0]
    settings = {"output_version": version} if version else {}
    inner = chat(use_previous_response_id=True, **settings)
    model = CachedChatModel(model=inner, cache=HybridCache(clock=lambda: now[0]))
    bound = model.bind_tools([stock])
    first = bound.invoke("how many?")
    server.responses.clear()
    server.items.clear()
    now[0] = 31 * 24 * 3600.0
    hit = bound.invoke("how many?")
    assert hit.tool_calls[0]["id"] != first.tool_calls[0]["id"]
    result = ToolMessage("3", tool_call_id=hit.tool_calls[0]["id"])
    assert bound.invoke([HumanMessage("how many?"), hit, result]).text.startswith("how many?")


def test_encrypted_reasoning_stays_with_its_call(chat: Maker, server: FakeResponses) -> None:
    server.encrypted = True
    model = CachedChatModel(model=chat(store=False, include=["reasoning.encrypted_content"]))
    bound = model.bind_tools([stock])
    for turn in range(2):
        step = bound.invoke("how many?")
        result = ToolMessage(str(turn), tool_call_id=step.tool_calls[0]["id"])
        bound.invoke([HumanMessage("how many?"), step, result])
        reasoning = [i for i in server.requests[-1]["input"] if i.get("type") == "reasoning"]
        assert [each["encrypted_content"] for each in reasoning] == ["encrypted 1"]
    assert model.cache.stats.hits["exact"] == 1


@both_ways
def test_the_history_s_response_is_part_of_the_key(
    chat: Maker, server: FakeResponses, cached: Any
) -> None:
    """With `use_previous_response_id` the provider knows more than the messages say."""
    one, other = (chat().invoke(f"My name is {name}.") for name in ("Ada", "Bob"))
    short = [each.model_copy(update={"content": "Noted."}) for each in (one, other)]
    cache = HybridCache()
    model = cached(chat(use_previous_response_id=True), cache)
    for answer in (*short, *short):
        model.invoke([answer, HumanMessage("What is my name?")])
    assert server.calls == 4
    assert cache.stats.hits == {"exact": 2}


@both_ways
@pytest.mark.parametrize("version", [None, "v0"])
def test_hidden_reasoning_in_the_history_is_part_of_the_key(
    chat: Maker, server: FakeResponses, cached: Any, version: str | None
) -> None:
    """The number is in the reasoning, which only its id stands for."""
    inner = chat(**({"output_version": version} if version else {}))
    thought = [inner.invoke("Think of a number, do not say it.") for _ in range(2)]
    model = cached(inner, HybridCache())
    history: list[BaseMessage] = [HumanMessage("Think of a number, do not say it.")]
    for answer in (*thought, *thought):
        model.invoke([*history, answer, HumanMessage("What was it?")])
    assert server.calls == 4


@both_ways
@pytest.mark.parametrize(
    "kept",
    [
        {"audio": {"id": "audio_{}", "transcript": ""}},
        {"tool_outputs": [{"type": "image_generation_call", "id": "ig_{}"}]},
        {"reasoning": {"type": "reasoning", "id": "rs_{}", "summary": []}},
    ],
    ids=lambda kept: next(iter(kept)),
)
def test_what_an_answer_left_at_the_provider_is_part_of_the_key(
    cached: Any, kept: dict[str, Any]
) -> None:
    inner, cache = StreamingFake(), HybridCache()
    model = cached(inner, cache)
    for number in (1, 2, 1, 2):
        additional = json.loads(json.dumps(kept).replace("{}", str(number)))
        answer = AIMessage("Here it is.", additional_kwargs=additional)
        model.invoke([HumanMessage("Make one."), answer, HumanMessage("Make it blue.")])
    assert cache.stats.hits == {"exact": 2}


def test_a_fixed_prompt_or_search_is_matched_exactly(chat: Maker, server: FakeResponses) -> None:
    for settings in (
        {"prompt": {"id": "pmpt_1", "variables": {"city": "Rome"}}},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
    ):
        before = server.calls
        model = CachedChatModel(model=chat()).bind(**settings)
        for text in (QUESTION, QUESTION, QUESTION.lower(), PARAPHRASE):
            model.invoke(text)
        assert server.calls == before + 3


SIGNATURES = "__gemini_function_call_thought_signatures__"


class SigningFake(StreamingFake):
    """Files signatures under call ids, and refuses a call without its signature."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        given = [message for message in messages if isinstance(message, AIMessage)]
        for message in given:
            for call in message.tool_calls:
                signature = message.additional_kwargs[SIGNATURES][call["id"]]
                assert signature == f"signature of {call['args']['item']}"
        super()._generate(messages, stop, run_manager, **kwargs)
        calls = [
            {"name": "stock", "args": {"item": item, "id": "call_0a"}, "id": f"call_{item}"}
            for item in ("0a", "0b")
        ]
        signatures = {call["id"]: f"signature of {call['args']['item']}" for call in calls}
        text = [{"type": "text", "text": "call_0a"}]
        message = AIMessage(text, tool_calls=calls, additional_kwargs={SIGNATURES: signatures})
        return ChatResult(generations=[ChatGeneration(message=message)])


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_filed_under_call_ids_moves_along(streamed: bool) -> None:
    inner = SigningFake(disable_streaming=True)
    model = CachedChatModel(model=inner)
    first = model.invoke("how many?")
    if streamed:
        chunks = list(model.stream("how many?"))
        hit: AIMessage = chunks[0]
        for chunk in chunks[1:]:
            hit = hit + chunk  # type: ignore[assignment, operator]
    else:
        hit = model.invoke("how many?")
    ids = [call["id"] for call in (*first.tool_calls, *hit.tool_calls)]
    assert len(set(ids)) == 4
    assert hit.text == "call_0a"
    assert [call["args"]["id"] for call in hit.tool_calls] == ["call_0a", "call_0a"]
    inner.invoke(["how many?", first, hit])


def test_the_stand_in_refuses_what_openai_refuses(chat: Maker, server: FakeResponses) -> None:
    step = chat().bind_tools([stock]).invoke("how many?")
    result = ToolMessage("3", tool_call_id=step.tool_calls[0]["id"])
    asked = HumanMessage("how many?")
    reasoning, call = step.content
    chat().invoke([asked, step, result])
    for broken in (
        [asked, step.model_copy(update={"content": [reasoning]}), result],
        [asked, step.model_copy(update={"content": [call]}), result],
        [asked, step, step, result],
        [asked, step],
        [asked, result],
    ):
        with pytest.raises(BadRequestError):
            chat().invoke(broken)
