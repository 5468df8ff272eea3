"""OpenAI's chat completions and Responses, and Azure's deployments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from llama_index.core.llms.llm import LLM
from llama_index.llms.openai import OpenAI, OpenAIResponses

from support.provider_bills.answers import chat, chat_events, response, response_events
from support.provider_bills.row import UNPRICED, Row, million, pieces

__all__ = ["OPENAIS"]

RATES = "https://openai.com/api/pricing"
SEARCH = {"type": "web_search_call", "status": "completed"}


def _langchain(model: str, **settings: Any) -> Callable[[str], BaseChatModel]:
    given = {"model": model, "api_key": "x", "max_retries": 0, **settings}
    return lambda url: ChatOpenAI(base_url=url, **given)


def _llama_index(model: str, **settings: Any) -> Callable[[str], LLM]:
    given = {"model": model, "api_key": "x", "max_retries": 0, **settings}
    return lambda url: OpenAI(api_base=url, **given)


def _responses(model: str) -> Callable[[str], LLM]:
    return lambda url: OpenAIResponses(model=model, api_base=url, api_key="x", max_retries=0)


def _azure(url: str) -> BaseChatModel:
    return AzureChatOpenAI(
        azure_endpoint=url,
        azure_deployment="our-deployment",
        api_version="2025-04-01-preview",
        api_key="x",
        max_retries=0,
    )


def _chat(name: str, model: str, usage: dict[str, Any], **row: Any) -> Row:
    answer = row.pop("answer", {})
    return Row(
        name=f"OpenAI chat: {name}",
        rates=RATES,
        langchain=_langchain(model),
        llama_index=_llama_index(model),
        body=chat(row.pop("answered", model), usage, **answer),
        **row,
    )


def _response(name: str, usage: dict[str, Any], *output: dict[str, Any], **row: Any) -> Row:
    model = "gpt-5-mini"
    whole = response(model, usage, output)
    return Row(
        name=f"OpenAI Responses: {name}",
        rates=RATES,
        langchain=_langchain(model, use_responses_api=True),
        llama_index=_responses(model),
        body=whole,
        events=response_events(whole),
        **row,
    )


PLAIN = {"input_tokens": 1_000, "output_tokens": 200, "total_tokens": 1_200}
SPENT = {
    "prompt_tokens": 1_000,
    "completion_tokens": 400,
    "total_tokens": 1_400,
    "prompt_tokens_details": {"cached_tokens": 512},
    "completion_tokens_details": {"reasoning_tokens": 256},
}
RESPONDED = {
    "input_tokens": 1_000,
    "output_tokens": 400,
    "total_tokens": 1_400,
    "input_tokens_details": {"cached_tokens": 512, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 256},
}
SEARCHED = (
    {**SEARCH, "id": "ws_1", "action": {"type": "search", "query": "news"}},
    {**SEARCH, "id": "ws_2", "action": {"type": "open_page", "url": "https://example.com"}},
    {**SEARCH, "id": "ws_3", "action": {"type": "search", "query": "weather"}},
)
GPT_5_MINI = million(488, "0.25") + million(512, "0.025") + million(400, "2")

OPENAIS: tuple[Row, ...] = (
    _chat(
        "text",
        "gpt-4.1",
        {"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200},
        billed="1,000 input, 200 output",
        dollars=million(1_000, "2") + million(200, "8"),
    ),
    _chat(
        "cached input",
        "gpt-4.1",
        {
            "prompt_tokens": 2_006,
            "completion_tokens": 300,
            "total_tokens": 2_306,
            "prompt_tokens_details": {"cached_tokens": 1_920, "audio_tokens": 0},
        },
        billed="86 input, 1,920 cached, 300 output",
        dollars=million(86, "2") + million(1_920, "0.5") + million(300, "8"),
    ),
    _chat(
        "reasoning",
        "o4-mini",
        {
            "prompt_tokens": 500,
            "completion_tokens": 1_200,
            "total_tokens": 1_700,
            "completion_tokens_details": {"reasoning_tokens": 1_024},
        },
        billed="500 input, 1,200 output (1,024 of it reasoning)",
        dollars=million(500, "1.1") + million(1_200, "4.4"),
    ),
    Row(
        name="OpenAI chat: a stream",
        billed="86 input, 1,920 cached, 300 output",
        rates=RATES,
        dollars=million(86, "2") + million(1_920, "0.5") + million(300, "8"),
        langchain=_langchain("gpt-4.1", stream_usage=True),
        llama_index=_llama_index("gpt-4.1"),
        stream=True,
        events=chat_events(
            "gpt-4.1",
            {
                "prompt_tokens": 2_006,
                "completion_tokens": 300,
                "total_tokens": 2_306,
                "prompt_tokens_details": {"cached_tokens": 1_920},
            },
        ),
    ),
    _chat(
        "flex tier",
        "gpt-5-mini",
        SPENT,
        answer={"service_tier": "flex"},
        billed="488 input, 512 cached, 400 output, at flex rates",
        dollars=million(488, "0.125") + million(512, "0.0125") + million(400, "1"),
    ),
    _chat(
        "priority tier",
        "gpt-5-mini",
        SPENT,
        answer={"service_tier": "priority"},
        billed="488 input, 512 cached, 400 output, at priority rates",
        dollars=million(488, "0.45") + million(512, "0.045") + million(400, "3.6"),
    ),
    _chat(
        "scale tier",
        "gpt-5-mini",
        SPENT,
        answer={"service_tier": "scale"},
        billed="bought capacity, which has no price per token",
        dollars=UNPRICED,
    ),
    replace(
        _chat(
            "a model that always searches",
            "gpt-4o-search-preview",
            {"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200},
            billed="a search, whose fee is in no list here",
            dollars=UNPRICED,
        ),
        llama_index=None,  # its class refuses the name
    ),
    _chat(
        "fine-tuned model",
        "ft:gpt-4o-2024-08-06:acme::A1b2",
        {"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200},
        billed="1,000 input, 200 output, at the rates of fine-tuned models",
        dollars=million(1_000, "3.75") + million(200, "15"),
    ),
    _chat(
        "audio",
        "gpt-4o-audio-preview",
        {
            "prompt_tokens": 1_000,
            "completion_tokens": 500,
            "total_tokens": 1_500,
            "prompt_tokens_details": {"audio_tokens": 800},
            "completion_tokens_details": {"audio_tokens": 400},
        },
        billed="audio, whose rates are in no list here",
        dollars=UNPRICED,
    ),
    _response(
        "reasoning, cached input",
        RESPONDED,
        billed="488 input, 512 cached, 400 output",
        dollars=GPT_5_MINI,
    ),
    _response(
        "two web searches, one page opened",
        RESPONDED,
        *SEARCHED,
        billed="488 input, 512 cached, 400 output, 2 searches",
        dollars=GPT_5_MINI + pieces(2, "0.01"),
    ),
    _response(
        "file search",
        RESPONDED,
        {
            "type": "file_search_call",
            "id": "fs_1",
            "status": "completed",
            "queries": ["weather"],
            "results": None,
        },
        billed="488 input, 512 cached, 400 output, 1 file search",
        dollars=GPT_5_MINI + pieces(1, "0.0025"),
    ),
    _response(
        "code interpreter",
        RESPONDED,
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "status": "completed",
            "code": "1 + 1",
            "container_id": "cntr_1",
            "outputs": None,
        },
        billed="a container, whose price is in no list here",
        dollars=UNPRICED,
    ),
    _response(
        "picture by its tool",
        RESPONDED,
        {
            "type": "image_generation_call",
            "id": "ig_1",
            "status": "completed",
            "result": "iVBORw0KGgo=",
        },
        billed="a picture, whose price depends on its size and quality",
        dollars=UNPRICED,
    ),
    Row(
        name="OpenAI Responses: a stream with a web search",
        billed="488 input, 512 cached, 400 output, 1 search",
        rates=RATES,
        dollars=GPT_5_MINI + pieces(1, "0.01"),
        langchain=_langchain("gpt-5-mini", use_responses_api=True),
        llama_index=_responses("gpt-5-mini"),
        stream=True,
        events=response_events(response("gpt-5-mini", RESPONDED, SEARCHED[:1])),
    ),
    Row(
        name="Azure: a deployment",
        billed="488 input, 512 cached, 400 output",
        rates="https://azure.microsoft.com/pricing/details/cognitive-services/openai-service",
        dollars=million(488, "2.5") + million(512, "1.25") + million(400, "10"),
        langchain=_azure,
        body=chat("gpt-4o-2024-08-06", SPENT, prompt_filter_results=[]),
    ),
)
