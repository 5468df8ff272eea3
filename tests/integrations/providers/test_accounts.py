"""The account counts what the provider stated, at the provider's own price, and a hit once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from langchain_llm_optimizers import CostCallbackHandler
from llama_index_llm_optimizers import CostEventHandler
from llm_optimizers.costs import CallRecord, Ledger, PriceBook, Usage
from support.provider_servers import langchain_ways, llama_index_ways
from support.provider_servers.base import Answer, ProviderServer, Tokens, ToolCall, fixed
from support.provider_servers.provider import Provider

pytestmark = [pytest.mark.providers, pytest.mark.loopback]

QUESTION = "How is the weather in Ulm?"
NO_TOKENS = Usage()
# Each kind of token at once, each alone, and none of the provider's cache.
COUNTS = {
    "all": Tokens(fresh=11, output=70, read=1_000, written_5m=200, written_1h=3_000, thinking=7),
    "read": Tokens(fresh=2, output=3, read=5_000),
    "written": Tokens(fresh=2, output=3, written_5m=5_000),
    "written for an hour": Tokens(fresh=2, output=3, written_1h=5_000),
    "fresh": Tokens(fresh=5_000, output=3),
}


def is_billed(record: CallRecord, usage: Usage, provider: Provider) -> None:
    assert record.usage == usage
    assert not record.estimated
    assert record.cost == _price(usage, provider)
    assert record.cost == record.baseline_cost


def is_saved(record: CallRecord, usage: Usage, provider: Provider) -> None:
    assert record.hit
    assert record.usage == NO_TOKENS
    price = _price(usage, provider)
    assert record.cost == Decimal(0)
    assert record.baseline_cost == price
    assert record.baseline_usage == usage


def _price(usage: Usage, provider: Provider) -> Decimal | None:
    if not provider.prices:
        return None
    return PriceBook().cost(usage, provider.model, provider=provider.prices)


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_langchain_counts_as_the_provider(
    made: Callable[..., Any], provider: Provider, server: ProviderServer, way: str, counts: str
):
    tokens = COUNTS[counts]
    server.reset(fixed(Answer(text="It is sunny.", tokens=tokens)))
    for name, wrap in langchain_ways.WRAPPERS.items():
        costs = CostCallbackHandler(Ledger())
        model = wrap(made("langchain"))
        usage = provider.counted(tokens, "langchain", "stream" in way)
        await langchain_ways.ask(model, way, QUESTION, {"callbacks": [costs]})
        (record,) = costs.ledger.records()
        is_billed(record, usage, provider)
        if name in langchain_ways.CACHING and name != "cache of LangChain's":
            await langchain_ways.ask(model, way, QUESTION, {"callbacks": [costs]})
            _, record = costs.ledger.records()
            is_saved(record, usage, provider)


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("way", llama_index_ways.WAYS)
async def test_llama_index_counts_as_the_provider(
    made: Callable[..., Any], provider: Provider, server: ProviderServer, way: str, counts: str
):
    tokens = COUNTS[counts]
    server.reset(fixed(Answer(text="It is sunny.", tokens=tokens)))
    for name, wrap in llama_index_ways.WRAPPERS.items():
        usage = provider.counted(tokens, "llama-index", "stream" in way)
        with CostEventHandler(Ledger()) as costs:
            llm = wrap(made("llama-index"))
            await llama_index_ways.ask(llm, way, [ChatMessage(QUESTION)])
            (record,) = costs.ledger.records()
            is_billed(record, usage, provider)
            if name in llama_index_ways.CACHING:
                await llama_index_ways.ask(llm, way, [ChatMessage(QUESTION)])
                _, record = costs.ledger.records()
                is_saved(record, usage, provider)


async def test_a_stored_call_of_a_tool_is_billed_once(
    made: Callable[..., Any], provider: Provider, server: ProviderServer
):
    tokens = COUNTS["all"]
    server.reset(fixed(Answer(calls=(ToolCall(name="clock"),), tokens=tokens)))

    def clock() -> str:
        """The time of day."""
        return "noon"

    costs = CostCallbackHandler(Ledger())
    model = langchain_ways.WRAPPERS["cached"](made("langchain")).bind_tools([clock])
    for _ in range(3):
        model.invoke(QUESTION, {"callbacks": [costs]})
    usage = provider.counted(tokens, "langchain", False)
    first, *hits = costs.ledger.records()
    is_billed(first, usage, provider)
    for hit in hits:
        is_saved(hit, usage, provider)
