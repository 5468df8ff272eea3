"""Two calls share an answer if the model is asked the same, whatever their accounts and marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from llama_index.core.base.llms.types import CacheControl, CachePoint, ChatMessage, TextBlock

from langchain_llm_optimizers import CachedChatModel, HybridCache
from llama_index_llm_optimizers import CachedLLM
from llama_index_llm_optimizers import HybridCache as LlamaIndexCache
from support.provider_servers.anthropic import ANTHROPIC
from support.provider_servers.base import ProviderServer
from support.provider_servers.bedrock import BEDROCK
from support.provider_servers.langchain_agents import weather
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
Maker = Callable[..., Any]
RULES = "You are a guide to towns on the Danube."
QUESTION = "How is the weather in Ulm?"
TALK = [SystemMessage(RULES), HumanMessage(QUESTION)]
MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


@tool
def weather_of_town(town: str) -> str:
    """The weather in a town."""
    return f"sunny in {town}"


SETTINGS_OF_NO_QUESTION = {
    "anthropic": {
        "another account": {"api_key": "sk-ant-of-another-account"},
        "more tries": {"max_retries": 7},
        "a timeout": {"default_request_timeout": 11.0},
        "a header": {"default_headers": {"x-request-id": "17"}},
    },
    "bedrock": {
        "another account": {"aws_access_key_id": "AKIAOFANOTHER", "aws_secret_access_key": "other"},
        "more tries": {"max_retries": 7},
        "a timeout": {"timeout": 11},
        "a user": {"request_metadata": {"user": "u17"}},
    },
}
SETTINGS_OF_A_QUESTION = {
    "anthropic": {
        "thoughts": {"thinking": {"type": "adaptive"}},
        "effort": {"output_config": {"effort": "low"}},
        "length": {"max_tokens": 5},
        "a beta": {"betas": ["context-1m-2025-08-07"]},
        "a stop": {"stop": ["Ulm"]},
    },
    "bedrock": {
        "thoughts": {"additional_model_request_fields": {"thinking": {"type": "adaptive"}}},
        "length": {"max_tokens": 5},
        "a guardrail": {"guardrail_config": {"guardrailIdentifier": "g", "guardrailVersion": "1"}},
        "a stop": {"stop": ["Ulm"]},
    },
}
CALLS_OF_NO_QUESTION: dict[str, Callable[[Any], Any]] = {
    "a mark in the call": lambda model: model.invoke(TALK, **MARK),
    "a mark in the rules": lambda model: model.invoke(
        [SystemMessage([{"type": "text", "text": RULES, **MARK}]), HumanMessage(QUESTION)]
    ),
    "a mark in the question": lambda model: model.invoke(
        [SystemMessage(RULES), HumanMessage([{"type": "text", "text": QUESTION, **MARK}])]
    ),
}


def _params(cases: dict[str, dict[str, Any]]) -> Any:
    providers = {"anthropic": ANTHROPIC, "bedrock": BEDROCK}
    given = [
        pytest.param(providers[name], settings, id=f"{name}-{case}")
        for name, found in cases.items()
        for case, settings in found.items()
    ]
    return pytest.mark.parametrize(("provider", "settings"), given)


@_params(SETTINGS_OF_NO_QUESTION)
def test_models_that_differ_in_no_question_share_answers(
    made: Maker, provider: Provider, server: ProviderServer, settings: dict[str, Any]
):
    cache = HybridCache()
    CachedChatModel(model=made("langchain"), cache=cache).invoke(TALK)
    CachedChatModel(model=made("langchain", **settings), cache=cache).invoke(TALK)
    assert len(server.requests) == 1


@_params(SETTINGS_OF_A_QUESTION)
def test_models_that_are_asked_differently_share_none(
    made: Maker, provider: Provider, server: ProviderServer, settings: dict[str, Any]
):
    cache = HybridCache()
    CachedChatModel(model=made("langchain"), cache=cache).invoke(TALK)
    CachedChatModel(model=made("langchain", **settings), cache=cache).invoke(TALK)
    assert len(server.requests) == 2


@pytest.mark.parametrize("provider", [ANTHROPIC, BEDROCK], ids=str)
@pytest.mark.parametrize("call", CALLS_OF_NO_QUESTION)
def test_marks_for_the_providers_cache_are_no_question(
    made: Maker, provider: Provider, server: ProviderServer, call: str
):
    model = CachedChatModel(model=made("langchain"))
    model.invoke(TALK)
    CALLS_OF_NO_QUESTION[call](model)
    assert len(server.requests) == 1


@pytest.mark.parametrize("provider", [ANTHROPIC, BEDROCK], ids=str)
def test_a_mark_on_a_tool_is_no_question_and_another_tool_is(
    made: Maker, provider: Provider, server: ProviderServer
):
    model = CachedChatModel(model=made("langchain"))
    model.bind_tools([weather]).invoke(TALK)
    marked = weather.model_copy(update={"extras": dict(MARK)})
    model.bind_tools([marked]).invoke(TALK)
    assert len(server.requests) == 1
    model.bind_tools([weather_of_town]).invoke(TALK)
    assert len(server.requests) == 2


@pytest.mark.parametrize("provider", [ANTHROPIC, BEDROCK], ids=str)
def test_llama_indexs_marks_and_accounts_are_no_question(
    made: Maker, provider: Provider, server: ProviderServer
):
    cache = LlamaIndexCache()
    talk = [ChatMessage(RULES, role="system"), ChatMessage(QUESTION)]
    llm = made("llama-index")
    CachedLLM(llm, cache=cache).chat(talk)
    kind = "ephemeral" if provider is ANTHROPIC else "default"
    point = CachePoint(cache_control=CacheControl(type=kind))
    marked = ChatMessage(blocks=[TextBlock(text=QUESTION), point])
    CachedLLM(llm, cache=cache).chat([talk[0], marked])
    CachedLLM(made("llama-index", timeout=11.0), cache=cache).chat(talk)
    assert len(server.requests) == 1
    CachedLLM(made("llama-index", max_tokens=5), cache=cache).chat(talk)
    assert len(server.requests) == 2


@pytest.mark.parametrize("provider", [ANTHROPIC], ids=str)
def test_an_llm_that_marks_the_messages_it_is_given(
    made: Maker, provider: Provider, server: ProviderServer
):
    llm = CachedLLM(made("llama-index", cache_idx=-1, model="claude-opus-5"))
    talk = [ChatMessage(RULES, role="system"), ChatMessage(QUESTION)]
    for _ in range(2):
        llm.chat(talk)
    assert len(server.requests) == 1
    assert "ephemeral" in repr(server.requests)
