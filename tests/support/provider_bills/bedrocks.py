"""Amazon Bedrock: Converse, and InvokeModel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from support.provider_bills.answers import converse
from support.provider_bills.row import UNPRICED, Row, million
from support.provider_servers.base import Answer, Tokens, fixed, provider_server
from support.provider_servers.bedrock import BEDROCK
from support.provider_servers.bedrock_invoke import InvokeHandler, chat_bedrock

__all__ = ["BEDROCKS"]

RATES = "https://aws.amazon.com/bedrock/pricing"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"


def _row(name: str, model: str, usage: dict[str, Any], **row: Any) -> Row:
    answer = row.pop("answer", {})
    return Row(
        name=f"Bedrock Converse: {name}",
        rates=RATES,
        langchain=lambda url: BEDROCK.langchain(SimpleNamespace(url=url), model=model),
        llama_index=lambda url: BEDROCK.llama_index(SimpleNamespace(url=url), model=model),
        body=converse(usage, **answer),
        **row,
    )


PLAIN = {"inputTokens": 1_000, "outputTokens": 200, "totalTokens": 1_200}

INVOKED = Tokens(fresh=40, output=70, read=5_000, written_5m=300)

BEDROCKS: tuple[Row, ...] = (
    _row(
        "Nova",
        NOVA,
        PLAIN,
        billed="1,000 input, 200 output",
        dollars=million(1_000, "0.8") + million(200, "3.2"),
    ),
    _row(
        "Claude in a region, with its caches",
        CLAUDE,
        {
            "inputTokens": 21,
            "outputTokens": 393,
            "totalTokens": 19_602,
            "cacheReadInputTokens": 18_000,
            "cacheWriteInputTokens": 1_188,
            "cacheDetails": [
                {"ttl": "1h", "inputTokens": 1_000},
                {"ttl": "5m", "inputTokens": 188},
            ],
        },
        billed="21 input, 18,000 read, 188 written for 5 minutes, 1,000 for an hour, 393 output",
        dollars=million(21, "3.3")
        + million(18_000, "0.33")
        + million(188, "4.125")
        + million(1_000, "6.6")
        + million(393, "16.5"),
    ),
    _row(
        "flex tier",
        NOVA,
        PLAIN,
        answer={"serviceTier": {"type": "flex"}},
        billed="at flex rates, which are in no list here",
        dollars=UNPRICED,
    ),
    _row(
        "reserved tier",
        NOVA,
        PLAIN,
        answer={"serviceTier": {"type": "reserved"}},
        billed="bought capacity, which has no price per token",
        dollars=UNPRICED,
    ),
    _row(
        "lower latency",
        NOVA,
        PLAIN,
        answer={"performanceConfig": {"latency": "optimized"}},
        billed="at rates that are in no list here",
        dollars=UNPRICED,
    ),
    Row(
        name="Bedrock InvokeModel: Claude",
        billed="40 input, 5,000 read, 300 written, 70 output",
        rates=RATES,
        dollars=million(40, "3.3")
        + million(5_000, "0.33")
        + million(300, "4.125")
        + million(70, "16.5"),
        serve=lambda: provider_server(
            InvokeHandler,
            fixed(Answer(text="Sunny.", tokens=INVOKED)),
        ),
        langchain=lambda url: chat_bedrock(SimpleNamespace(url=url), model=CLAUDE),
    ),
)
