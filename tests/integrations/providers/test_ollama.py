"""What only Ollama has: lines for events, no price, no ids of calls, a server that is off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler, HybridCache
from llama_index_llm_optimizers import CachedLLM, RoutedLLM
from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.routing import Always
from support.openai_server import FakeOpenAI, tool_call
from support.provider_servers import langchain_ways
from support.provider_servers.base import (
    Answer,
    Asked,
    ProviderServer,
    Tokens,
    ToolCall,
    fixed,
    provider_server,
)
from support.provider_servers.ollama import (
    MODEL,
    OllamaAnswer,
    OllamaHandler,
    langchain_model,
    llama_index_model,
)

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
QUESTION = "How is the weather in Ulm and Bonn?"
CALLS = (
    ToolCall(name="weather", arguments={"town": "Ulm"}),
    ToolCall(name="weather", arguments={"town": "Bonn"}),
)
NOBODY = "http://127.0.0.1:9"
"""Where no server answers: the port of a service that discards everything."""


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with provider_server(OllamaHandler, fixed(Answer(text="It is sunny."))) as found:
        yield found


def weather(town: str) -> str:
    """The weather in a town."""
    return f"sunny in {town}"


TOOL = FunctionTool.from_defaults(weather)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_an_answer_without_an_end_is_not_served_again(server: ProviderServer, way: str):
    """The line that names the provider is the one that is missing."""
    server.reset(fixed(OllamaAnswer(text="It is sunny in", unfinished=True)))
    cached = CachedChatModel(model=langchain_model(server))
    for _ in range(2):
        await langchain_ways.ask(cached, way, QUESTION)
    assert len(server.requests) == 2
    server.reset(fixed(Answer(text="It is sunny.")))
    for _ in range(2):
        assert (await langchain_ways.ask(cached, way, QUESTION)).text == "It is sunny."
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [OllamaAnswer(text="It", failed=True), OllamaAnswer()])
def test_neither_a_failed_nor_an_empty_one(server: ProviderServer, answer: OllamaAnswer):
    server.reset(fixed(answer))
    cached, llm = CachedChatModel(model=langchain_model(server)), llama_index_model(server)
    for _ in range(2):
        for stream in (cached.stream(QUESTION), CachedLLM(llm).stream_chat([ChatMessage("?")])):
            if answer.failed:
                with pytest.raises(Exception, match="failure requested"):
                    list(stream)
            else:
                list(stream)
    assert len(server.requests) == 4


def test_the_account_says_unpriced_and_counts_all_the_same(server: ProviderServer):
    tokens = Tokens(fresh=300, output=60)
    server.reset(fixed(Answer(text="It is sunny.", tokens=tokens)))
    costs = CostCallbackHandler(Ledger())
    cached = CachedChatModel(model=langchain_model(server))
    for _ in range(2):
        cached.invoke(QUESTION, {"callbacks": [costs]})
    called, hit = costs.ledger.records()
    assert (called.usage, called.cost, called.provider) == (
        Usage(input_tokens=300, output_tokens=60),
        None,
        "ollama",
    )
    assert (hit.usage, hit.baseline_cost, hit.baseline_usage) == (Usage(), None, called.usage)
    assert not hit.savings


def test_a_router_answers_while_ollama_is_off(openai: FakeOpenAI):
    """Ollama's metadata ask its server; a router must not need it to be made or to answer."""
    off = llama_index_model(ProviderServer(reply=fixed(Answer()), url=NOBODY))
    on = OpenAI(model="gpt-4o-mini", api_base=openai.url, api_key="x", max_retries=0)
    router = RoutedLLM([off, on], policy=Always(MODEL))
    assert router.metadata.model_name == "gpt-4o-mini"
    for answer in (router.chat([ChatMessage(QUESTION)]), router.chat([ChatMessage("Again?")])):
        assert answer.message.content == "OpenAI says: sunny."
    with pytest.raises(ConnectionError):
        CachedLLM(off).chat([ChatMessage(QUESTION)])


def test_a_talk_with_tools_changes_hands(server: ProviderServer, openai: FakeOpenAI):
    """OpenAI needs an id for every call, Ollama arguments that are no text."""

    def reply(asked: Asked) -> Answer:
        return Answer(text="Sunny.") if asked.results else Answer(calls=CALLS)

    def openai_reply(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return "Sunny."
        number = len(openai.requests)
        return {"tool_calls": [tool_call("weather", {"town": "Bonn"}, f"call_of_openai_{number}")]}

    server.reset(reply)
    openai.reply = openai_reply
    llms = {
        "openai": OpenAI(model="gpt-4o-mini", api_base=openai.url, api_key="x", max_retries=0),
        "ollama": llama_index_model(server),
    }
    talk: list[ChatMessage] = []
    for name in ("ollama", "openai", "ollama", "openai"):
        others = {other: llm for other, llm in llms.items() if other != name}
        router = RoutedLLM({**others, name: llms[name]}, policy=Always(name))
        talk.append(ChatMessage(f"The weather, {name}?"))
        for _ in range(2):
            answer = router.chat_with_tools(
                [TOOL], chat_history=list(talk), allow_parallel_tool_calls=True
            )
            talk.append(answer.message)
            talk += [
                ChatMessage(
                    "sunny", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": call.tool_id}
                )
                for call in router.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
            ]
        assert answer.message.content == "Sunny."
    sent = openai.requests[-1]["messages"]
    given = [call["id"] for each in sent for call in each.get("tool_calls") or ()]
    assert len(given) == len(set(given)) == 6
    assert [each["tool_call_id"] for each in sent if each["role"] == "tool"] == given
    arguments = [
        call["function"]["arguments"]
        for each in server.requests[-1]["messages"]
        for call in each.get("tool_calls") or ()
    ]
    assert [each["town"] for each in arguments] == ["Ulm", "Bonn", "Bonn", "Ulm", "Bonn"]
    assert any(isinstance(block, ToolCallBlock) for each in talk for block in each.blocks)


def test_the_first_call_and_the_second_are_one(server: ProviderServer):
    """The context window fills in with the first call."""
    cached = CachedLLM(llama_index_model(server))
    for _ in range(2):
        cached.chat([ChatMessage(QUESTION)])
    assert len(server.requests) == 1


def test_how_long_a_model_stays_loaded_shapes_no_answer(server: ProviderServer):
    cache = HybridCache()
    for keep_alive in ("5m", "1h"):
        model = langchain_model(server, keep_alive=keep_alive)
        CachedChatModel(model=model, cache=cache).invoke([HumanMessage(QUESTION)])
    assert len(server.requests) == 1
    thinking = langchain_model(server, reasoning=True)
    CachedChatModel(model=thinking, cache=cache).invoke([HumanMessage(QUESTION)])
    assert len(server.requests) == 2


@pytest.mark.parametrize("method", ["json_mode", "json_schema", "function_calling"])
def test_langchains_cache_is_not_shared_by_two_models(server: ProviderServer, method: str):
    """ChatOllama states no settings; what the call adds does not name the model either."""
    schema = {"title": "Place", "type": "object", "properties": {"town": {"type": "string"}}}

    def reply(asked: Asked) -> Answer:
        if asked.tools:
            return Answer(calls=(ToolCall(name="Place", arguments={"town": "Ulm"}),))
        return Answer(text='{"town": "Ulm"}')

    server.reset(reply)
    cache = HybridCache()
    for name in ("llama3.2", "qwen3", "llama3.2"):
        model = langchain_model(server, model=name, cache=cache)
        model.with_structured_output(schema, method=method).invoke(QUESTION)
    assert [request["model"] for request in server.requests] == ["llama3.2", "qwen3", "llama3.2"]
