"""State at the provider, through the real SDK: what is bypassed, and which ids a hit has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAIResponses

from llama_index_llm_optimizers import CachedLLM, CachedQueryEngine, HybridCache
from support.responses_server import FakeResponses, responses_server

pytestmark = pytest.mark.loopback

QUESTION = "How do I activate my new card?"
PARAPHRASE = "How can I activate my new card?"
Maker = Callable[..., OpenAIResponses]


@pytest.fixture
def server() -> Iterator[FakeResponses]:
    with responses_server() as fake:
        yield fake


@pytest.fixture
def responses(server: FakeResponses) -> Iterator[Maker]:
    with httpx.Client() as client:
        yield lambda **settings: OpenAIResponses(
            **{
                "model": "gpt-4o-mini",
                "api_base": server.url,
                "api_key": "sk-test",
                "max_retries": 0,
                "http_client": client,
                **settings,
            }
        )


def asked(text: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=text)]


def ask(llm: Any, text: str, **settings: Any) -> str:
    return str(llm.chat(asked(text), **settings).message.content)


@pytest.mark.parametrize(
    "settings",
    [
        {"track_previous_responses": True},
        {"additional_kwargs": {"conversation": "conv_1"}},
        {"additional_kwargs": {"extra_body": {"conversation": {"id": "conv_1"}}}},
        {"built_in_tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        {"built_in_tools": [{"type": "mcp", "server_label": "mail"}]},
    ],
    ids=json.dumps,
)
def test_moving_state_bypasses_the_cache(
    responses: Maker, server: FakeResponses, settings: dict[str, Any]
) -> None:
    llm = CachedLLM(responses(**settings))
    answers = [ask(llm, QUESTION) for _ in range(2)]
    answers += ["".join(str(c.delta) for c in llm.stream_chat(asked(QUESTION)))]
    answers += [str(llm.complete(QUESTION))]
    assert server.calls == 4
    assert llm.cache.stats.troubles["bypassed"] == 4
    if "built_in_tools" not in settings:
        assert len(set(answers)) == 4


def test_a_user_never_gets_the_answer_to_another_s_conversation(
    responses: Maker, server: FakeResponses
) -> None:
    llm = CachedLLM(responses(track_previous_responses=True))
    ask(llm, "My name is Ada.")
    mine = ask(llm, "What is my name?")
    ask(llm, "My name is Bob.")
    assert ask(llm, "What is my name?") != mine
    assert server.calls == 4


def test_a_conversation_in_the_call_bypasses_the_cache(
    responses: Maker, server: FakeResponses
) -> None:
    llm = CachedLLM(responses())
    assert len({ask(llm, QUESTION, conversation="conv_1") for _ in range(3)}) == 3


async def test_moving_state_is_not_shared_in_flight(server: FakeResponses) -> None:
    async with httpx.AsyncClient() as client:
        inner = OpenAIResponses(
            model="gpt-4o-mini",
            api_base=server.url,
            api_key="sk-test",
            max_retries=0,
            async_http_client=client,
            additional_kwargs={"conversation": "conv_1"},
        )
        llm = CachedLLM(inner)
        given = await asyncio.gather(*(llm.achat(asked(QUESTION)) for _ in range(3)))
    assert len({str(each.message.content) for each in given}) == server.calls == 3


@pytest.mark.parametrize("where", ["call", "model"])
def test_a_fixed_response_is_gone_on_from_exactly(
    responses: Maker, server: FakeResponses, where: str
) -> None:
    for name in ("Ada", "Bob"):
        ask(responses(store=True), f"My name is {name}.")
    ada, bob = server.responses
    cache = HybridCache()

    def ask_of(response: str, text: str) -> str:
        if where == "call":
            return ask(CachedLLM(responses(), cache), text, previous_response_id=response)
        return ask(CachedLLM(responses(previous_response_id=response), cache), text)

    ask_of(ada, "What is my name?")
    ask_of(ada, "What is my name?")
    assert server.calls == 3
    ask_of(bob, "What is my name?")
    ask_of(ada, "what is my name")
    ask_of(ada, "Which name do I have?")
    assert server.calls == 6
    assert cache.stats.hits == {"exact": 1}


def stock(item: str = "") -> str:
    """Return the stock of an item."""
    return "3"


def test_a_hit_s_calls_are_known_to_the_response_it_goes_on_from(
    responses: Maker, server: FakeResponses
) -> None:
    ask(responses(), "My name is Ada.")
    (first,) = server.responses
    tools = [FunctionTool.from_defaults(stock)]
    shared = HybridCache()
    for turn in range(2):
        llm = CachedLLM(responses(previous_response_id=first), shared)
        step = llm.chat_with_tools(tools, user_msg="how many?")
        (call,) = llm.get_tool_calls_from_response(step)
        second = f"resp_{2:032d}"
        result = ChatMessage(
            role=MessageRole.TOOL,
            content=str(turn),
            additional_kwargs={"tool_call_id": call.tool_id},
        )
        responses(previous_response_id=second).chat([result])
    assert shared.stats.hits == {"exact": 1}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("store", [False, True])
async def test_an_agent_s_next_step_is_accepted_after_a_hit(
    server: FakeResponses, streaming: bool, store: bool
) -> None:
    seen = iter(range(9))

    def count(item: str) -> str:
        """Count an item; each count is another."""
        return str(next(seen))

    server.arguments = {"item": "card"}
    async with httpx.AsyncClient() as client:
        inner = OpenAIResponses(
            model="gpt-4o-mini",
            api_base=server.url,
            api_key="sk-test",
            max_retries=0,
            async_http_client=client,
            store=store,
        )
        llm = CachedLLM(inner)
        for _ in range(2):
            agent = FunctionAgent(tools=[count], llm=llm, streaming=streaming)
            assert "how many?" in str(await agent.run("how many?"))
    assert llm.cache.stats.hits == {"exact": 1}
    assert server.calls == 3


def test_each_hit_s_calls_have_ids_of_their_own(responses: Maker, server: FakeResponses) -> None:
    llm = CachedLLM(responses())
    tools = [FunctionTool.from_defaults(stock)]
    steps: list[ChatResponse] = [llm.chat_with_tools(tools, user_msg="how many?") for _ in range(3)]
    ids = {llm.get_tool_calls_from_response(step)[0].tool_id for step in steps}
    assert len(ids) == 3
    assert server.calls == 1


def test_a_server_side_search_is_matched_exactly(responses: Maker, server: FakeResponses) -> None:
    llm = CachedLLM(responses(built_in_tools=[{"type": "web_search"}]))
    for text in (QUESTION, QUESTION, QUESTION.lower(), PARAPHRASE):
        ask(llm, text)
    assert server.calls == 3


def test_a_query_engine_whose_llm_has_moving_state_is_not_cached(
    responses: Maker, server: FakeResponses
) -> None:
    index = VectorStoreIndex.from_documents(
        [Document(text="Refunds take 5 days.")], embed_model=MockEmbedding(embed_dim=2)
    )
    engine = CachedQueryEngine(
        index.as_query_engine(llm=responses(track_previous_responses=True))  # type: ignore[no-untyped-call]
    )
    answers = {str(engine.query(QUESTION)) for _ in range(2)}
    assert len(answers) == server.calls == 2
    assert engine.cache.stats.troubles["bypassed"] == 2
