"""What only Gemini has: signatures of thoughts, blocked prompts, a hidden configuration."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.genai.types import GenerateContentConfig, HttpOptions
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from langchain_llm_optimizers import BatchingChatModel, CachedChatModel, ChatModelRouter
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware
from llama_index_llm_optimizers import CachedLLM, CostEventHandler, HybridCache, RoutedLLM
from llm_optimizers.costs import Ledger, PriceBook
from llm_optimizers.routing import Always
from support.provider_servers import langchain_ways, llama_index_ways
from support.provider_servers.base import (
    Answer,
    Asked,
    Failure,
    ProviderServer,
    Tokens,
    ToolCall,
    fixed,
    provider_server,
)
from support.provider_servers.gemini import (
    GEMINI,
    GeminiAnswer,
    GeminiHandler,
    langchain_model,
    llama_index_model,
)
from support.provider_servers.langchain_agents import weather

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
NEWEST = "gemini-3-pro-preview"
SIGNATURE = b"\xff\x01 signed"
SIGNED = base64.b64encode(SIGNATURE).decode()
CALLS = (
    ToolCall(name="weather", arguments={"town": "Ulm"}),
    ToolCall(name="weather", arguments={"town": "Bonn"}),
)
QUESTION = "How is the weather in Ulm and Bonn?"
# Without an answer, the last but one of models before Gemini 3, whose content is a text.
NO_ANSWERS = {
    "blocked prompt": GeminiAnswer(blocked="SAFETY"),
    "blocked answer": GeminiAnswer(text="It is", finish="SAFETY"),
    "recited": GeminiAnswer(text="It is", finish="RECITATION"),
    "empty": GeminiAnswer(),
    "thoughts only": GeminiAnswer(thoughts="Where is Ulm?"),
    "signature only": GeminiAnswer(signature=SIGNATURE),
}


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with provider_server(GeminiHandler, fixed(Answer(text="It is sunny."))) as found:
        yield found


def weather_in(town: str) -> str:
    """The weather in a town."""
    return f"sunny in {town}"


TOOL = FunctionTool.from_defaults(weather_in, name="weather")


class Place(BaseModel):
    """A town."""

    town: str


class Country(BaseModel):
    """Another class for the same prompt."""

    country: str


PROMPT = PromptTemplate("Where is {what}?")


def signing(asked: Asked) -> Answer:
    """Call both tools, then answer; both with a signature."""
    if asked.tools and not asked.results:
        return GeminiAnswer(thoughts="Two towns.", calls=CALLS, signature=SIGNATURE)
    return GeminiAnswer(text="Sunny in both.", signature=SIGNATURE)


def signatures(server: ProviderServer) -> list[str]:
    """Return the signatures in the last request, as bytes in base64 with the usual letters."""
    parts = [part for turn in server.requests[-1]["contents"] for part in turn["parts"]]
    found = [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
    return [each.replace("-", "+").replace("_", "/") for each in found]


@pytest.mark.parametrize("model", ["gemini-2.5-flash", NEWEST])
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_a_hits_signatures_are_sent_back_with_its_calls(
    server: ProviderServer, way: str, model: str
):
    server.reset(signing)
    cached = CachedChatModel(model=langchain_model(server, model=model)).bind_tools([weather])
    sent = []
    for _ in range(2):
        answer = await langchain_ways.ask(cached, way, QUESTION)
        results = [
            ToolMessage("sunny", tool_call_id=call["id"], name="weather")
            for call in answer.tool_calls
        ]
        await langchain_ways.ask(cached, "ainvoke", [HumanMessage(QUESTION), answer, *results])
        assert signatures(server) == [SIGNED]
        sent.append(server.requests[-1]["contents"])
    assert "cache_hit" in answer.response_metadata
    assert sent[0] == sent[1]


@pytest.mark.parametrize("way", ["chat", "achat"])
async def test_llama_index_sends_a_hits_signatures_back(server: ProviderServer, way: str):
    server.reset(signing)
    bare = llama_index_model(server)
    cached = CachedLLM(bare)
    talk = [ChatMessage(QUESTION)]
    for _ in range(2):
        reply = await llama_index_ways.ask(cached, f"{way}_with_tools", talk, [TOOL])
    assert len(server.requests) == 1
    message = reply.last.message
    assert message.additional_kwargs["thought_signatures"] == [None, SIGNATURE]
    assert not {"prompt_tokens", "completion_tokens", "total_tokens"} & {
        *message.additional_kwargs,
        *reply.last.additional_kwargs,
    }
    results = [
        ChatMessage("sunny", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": call})
        for call in ("call-0", "call-1")
    ]
    await llama_index_ways.ask(bare, f"{way}_with_tools", [*talk, message, *results], [TOOL])
    assert signatures(server) == [SIGNED]


@pytest.mark.parametrize("model", ["gemini-2.5-flash", NEWEST])
@pytest.mark.parametrize("answer", NO_ANSWERS)
async def test_no_answer_is_not_served_again(server: ProviderServer, answer: str, model: str):
    server.reset(fixed(NO_ANSWERS[answer]))
    cached = CachedChatModel(model=langchain_model(server, model=model))
    llm = CachedLLM(llama_index_model(server, model=model))
    for _ in range(2):
        cached.invoke(QUESTION)
        list(cached.stream(QUESTION))
    assert len(server.requests) == 4
    for _ in range(2):
        for way in ("chat", "astream_chat"):
            try:
                await llama_index_ways.ask(llm, way, [ChatMessage(QUESTION)])
            except (ValueError, RuntimeError, IndexError):
                continue  # as bare; a stream without candidates has no chunks
    assert len(server.requests) == 8
    server.reset(fixed(Answer(text="It is sunny.")))
    assert cached.invoke(QUESTION).text == "It is sunny."


def test_a_thought_is_billed_as_output(server: ProviderServer):
    tokens = Tokens(fresh=100, read=40, output=50, thinking=30)
    server.reset(fixed(GeminiAnswer(text="Sunny.", thoughts="Ulm.", tokens=tokens)))
    for name in ("gemini-2.5-flash", "models/gemini-2.5-flash"):
        with CostEventHandler(Ledger()) as costs:
            llama_index_model(server, model=name).chat([ChatMessage(QUESTION)])
        (record,) = costs.ledger.records()
        assert record.usage == tokens.usage
        assert record.usage.output_tokens == 50
        price = PriceBook().cost(tokens.usage, "gemini-2.5-flash", provider="google")
        assert record.cost == price
        assert record.provider == "genai"


def test_structured_output_of_llama_index_is_cached_and_in_the_account(server: ProviderServer):
    server.reset(fixed(Answer(text='{"town": "Ulm", "country": "Germany"}')))
    llm = CachedLLM(llama_index_model(server))
    with CostEventHandler(Ledger()) as costs:
        for _ in range(2):
            assert llm.structured_predict(Place, PROMPT, what="Ulm") == Place(town="Ulm")
    assert [record.hit for record in costs.ledger.records()] == [False, True]
    assert llm.structured_predict(Country, PROMPT, what="Ulm") == Country(country="Germany")
    assert len(server.requests) == 2
    first = server.requests[0]["generationConfig"]
    assert first["responseMimeType"] == "application/json"
    assert first["responseSchema"]["title"] == "Place"


def test_an_answer_that_does_not_fit_the_class_is_not_served_again(server: ProviderServer):
    server.reset(fixed(Answer(text='{"no": "town"}')))
    llm = CachedLLM(llama_index_model(server))
    for _ in range(2):
        with pytest.raises(ValueError, match="town"):
            llm.structured_predict(Place, PROMPT, what="Ulm")
    assert len(server.requests) == 2


def test_streamed_structured_output_is_like_the_llms_own(server: ProviderServer):
    server.reset(fixed(Answer(text=json.dumps({"town": "Ulm on the Danube"}))))
    bare = llama_index_model(server)
    llm = CachedLLM(bare)
    expected = [e.model_dump() for e in bare.stream_structured_predict(Place, PROMPT, what="Ulm")]
    for _ in range(2):
        found = [e.model_dump() for e in llm.stream_structured_predict(Place, PROMPT, what="Ulm")]
        assert found[-1] == expected[-1]
    assert len(server.requests) == 2

    async def last() -> Any:
        objects = await llm.astream_structured_predict(Place, PROMPT, what="Ulm")
        return [each async for each in objects][-1]

    assert asyncio.run(last()) == Place(town="Ulm on the Danube")
    assert len(server.requests) == 2


def test_the_callers_messages_and_tools_stay_as_they_were(server: ProviderServer):
    """Both integrations change what they are given, so that the second call is another one."""
    llm = CachedLLM(llama_index_model(server))
    messages = [ChatMessage("A first question."), ChatMessage("A second one.")]
    for _ in range(2):
        llm.chat(messages)
    assert [message.blocks for message in messages] == [
        [TextBlock(text="A first question.")],
        [TextBlock(text="A second one.")],
    ]
    assert len(server.requests) == 1

    @tool
    def clock() -> str:
        """The time of day."""
        return "noon"

    bound = CachedChatModel(model=langchain_model(server)).bind_tools([clock])
    for _ in range(2):
        bound.invoke(QUESTION)
    assert len(server.requests) == 2


def test_a_fallback_gets_the_messages_as_they_were(server: ProviderServer):
    server.failures.append(Failure(kind="overloaded"))
    models = {"a": llama_index_model(server), "b": llama_index_model(server, model=NEWEST)}
    router = RoutedLLM(models, policy=Always("a"))
    router.chat([ChatMessage("A first question."), ChatMessage("A second one.")])
    first, second = (request["contents"] for request in server.requests)
    assert first == second


def test_a_router_around_batching_falls_back(server: ProviderServer):
    """The copy of an error for each caller has its class and its cause, where the status is."""
    for kind, name in (
        ("rate_limit", "GoogleRateLimitError"),
        ("overloaded", "GoogleAPIError"),
        ("invalid", "GoogleInvalidRequestError"),
    ):
        server.reset(fixed(Answer(text="It is sunny.")))
        server.failures.append(Failure(kind=kind))  # type: ignore[arg-type]
        batching = BatchingChatModel(model=langchain_model(server))
        with pytest.raises(Exception, match="failure requested") as caught:
            batching.invoke(QUESTION)
        assert type(caught.value).__name__ == name
        if kind == "invalid":
            continue
        server.failures.append(Failure(kind=kind))  # type: ignore[arg-type]
        models = {"a": batching, "b": langchain_model(server, model=NEWEST)}
        answer = ChatModelRouter(models=models, policy=Always("a")).invoke(QUESTION)
        assert answer.response_metadata["model_name"] == NEWEST


@pytest.mark.parametrize("name", ["system_instruction", "seed"])
def test_a_hidden_configuration_is_part_of_the_key(server: ProviderServer, name: str):
    cache = HybridCache()
    with httpx.Client() as client:
        for value in (1, 2):
            given = str(value) if name == "system_instruction" else value
            config = GenerateContentConfig(
                http_options=HttpOptions(httpx_client=client), **{name: given}
            )
            CachedLLM(llama_index_model(server, generation_config=config), cache).chat(
                [ChatMessage(QUESTION)]
            )
    assert len(server.requests) == 2


async def test_an_agent_with_our_middlewares(server: ProviderServer):
    server.reset(signing)
    model: ChatGoogleGenerativeAI = langchain_model(server)
    agent = create_agent(model, [weather], middleware=[CacheMiddleware(), PromptMiddleware()])
    for _ in range(2):
        answer = await agent.ainvoke({"messages": [HumanMessage(QUESTION)]})
    assert len(server.requests) == 2
    last = answer["messages"][-1]
    assert isinstance(last, AIMessage)
    assert last.text == "Sunny in both."
    assert signatures(server) == [SIGNED]


def test_tokens_are_counted_by_the_provider(server: ProviderServer):
    model = CachedChatModel(model=langchain_model(server))
    assert model.get_num_tokens(QUESTION) == langchain_model(server).get_num_tokens(QUESTION)
    assert all("countTokens" in path for path in server.paths)


def test_the_models_card_gives_the_context_window(server: ProviderServer):
    llm = GEMINI.llama_index(server, max_tokens=None, context_window=None)
    assert CachedLLM(llm).metadata.context_window == llm.metadata.context_window == 1100
