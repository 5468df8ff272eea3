"""Anthropic's messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from support.provider_bills.answers import claude, claude_events
from support.provider_bills.row import UNPRICED, Row, million, pieces
from support.provider_servers.anthropic import ANTHROPIC

__all__ = ["ANTHROPICS"]

RATES = "https://docs.anthropic.com/en/docs/about-claude/pricing"
MODEL = "claude-sonnet-4-5-20250929"


def _row(name: str, usage: dict[str, Any], *content: dict[str, Any], **row: Any) -> Row:
    whole = claude(MODEL, usage, content)
    given = {"model": MODEL, "model_kwargs": {"tools": [SEARCHES]} if content else {}}
    return Row(
        name=f"Anthropic: {name}",
        rates=RATES,
        langchain=lambda url: ANTHROPIC.langchain(SimpleNamespace(url=url), **given),
        llama_index=lambda url: ANTHROPIC.llama_index(SimpleNamespace(url=url), model=MODEL),
        body=whole,
        events=claude_events(whole),
        **row,
    )


SEARCHES = {"type": "web_search_20250305", "name": "web_search"}
SEARCH = (
    {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "weather"},
    },
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [
            {
                "type": "web_search_result",
                "title": "Weather",
                "page_age": None,
                "url": "https://example.com",
                "encrypted_content": "E",
            }
        ],
    },
)
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
PLAIN = {"input_tokens": 1_000, "output_tokens": 200, "service_tier": "standard"}
CACHED = {
    "input_tokens": 21,
    "output_tokens": 393,
    "cache_read_input_tokens": 18_000,
    "cache_creation_input_tokens": 1_188,
    "cache_creation": {"ephemeral_5m_input_tokens": 188, "ephemeral_1h_input_tokens": 1_000},
    "service_tier": "standard",
}

ANTHROPICS: tuple[Row, ...] = (
    _row(
        "text",
        PLAIN,
        billed="1,000 input, 200 output",
        dollars=million(1_000, "3") + million(200, "15"),
    ),
    _row(
        "caches of 5 minutes and an hour",
        CACHED,
        billed="21 input, 18,000 read, 188 written for 5 minutes, 1,000 for an hour, 393 output",
        dollars=million(21, "3")
        + million(18_000, "0.3")
        + million(188, "3.75")
        + million(1_000, "6")
        + million(393, "15"),
    ),
    _row(
        "thinking",
        {
            "input_tokens": 60,
            "output_tokens": 900,
            "service_tier": "standard",
            "output_tokens_details": {"thinking_tokens": 800},
        },
        THOUGHT,
        billed="60 input, 900 output (800 of it thinking)",
        dollars=million(60, "3") + million(900, "15"),
    ),
    _row(
        "web searches",
        {
            "input_tokens": 6_039,
            "output_tokens": 931,
            "service_tier": "standard",
            "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
        },
        *SEARCH,
        billed="6,039 input, 931 output, 3 searches",
        dollars=million(6_039, "3") + million(931, "15") + pieces(3, "0.01"),
    ),
    _row(
        "a stream with a web search",
        {
            "input_tokens": 6_039,
            "output_tokens": 931,
            "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
        },
        *SEARCH,
        stream=True,
        billed="6,039 input, 931 output, 1 search",
        dollars=million(6_039, "3") + million(931, "15") + pieces(1, "0.01"),
    ),
    _row(
        "long context",
        {
            "input_tokens": 150_000,
            "output_tokens": 1_000,
            "service_tier": "standard",
            "cache_read_input_tokens": 60_000,
            "cache_creation_input_tokens": 0,
        },
        billed="150,000 input, 60,000 read, 1,000 output, at the rates above 200,000",
        dollars=million(150_000, "6") + million(60_000, "0.6") + million(1_000, "22.5"),
    ),
    _row(
        "priority tier",
        {**PLAIN, "service_tier": "priority"},
        billed="bought capacity, which has no price per token",
        dollars=UNPRICED,
    ),
    _row(
        "fast mode",
        {**PLAIN, "speed": "fast"},
        billed="at higher rates that are in no list here",
        dollars=UNPRICED,
    ),
)
