"""What a provider bills: a contract with our prices, and each request's own number of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from llm_optimizers.costs import CallRecord, Ledger, ModelPrice, PriceBook
from support.openai_server import FakeOpenAI

__all__ = ["MODELS", "bill_of", "billed_by", "spent"]

_MILLION = Decimal(1_000_000)
MODELS: Mapping[str, tuple[Decimal, Decimal]] = {
    "gpt-4o": (Decimal("2.51"), Decimal("10.03")),
    "gpt-4o-mini": (Decimal("0.17"), Decimal("0.61")),
    "gpt-4.1-mini": (Decimal("0.43"), Decimal("1.67")),
}
"""Dollars a million input and output tokens."""


def billed_by(server: FakeOpenAI) -> Ledger:
    """Let a server bill by this contract, and return a ledger that knows it."""
    server.count = _count(server)
    prices = {name: ModelPrice(input=i, output=o) for name, (i, o) in MODELS.items()}
    return Ledger(prices=PriceBook(prices))


def _count(server: FakeOpenAI) -> Any:
    def count(body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        number = len(server.billed)
        used = {"prompt_tokens": 1_009 + 37 * number, "completion_tokens": 11 + 5 * number}
        return {**used, "total_tokens": sum(used.values()), "billed_model": body["model"]}

    return count


def bill_of(server: FakeOpenAI) -> Decimal:
    """Return what the server billed, in dollars."""
    return sum((_dollars(each) for each in server.billed), Decimal(0))


def _dollars(usage: Mapping[str, Any]) -> Decimal:
    price, price_out = MODELS[usage["billed_model"]]
    return (price * usage["prompt_tokens"] + price_out * usage["completion_tokens"]) / _MILLION


def spent(records: list[CallRecord]) -> Decimal:
    """Return what records say was spent, all of them priced and measured."""
    assert all(record.cost is not None for record in records)
    assert not any(record.estimated for record in records)
    return sum((record.cost for record in records if record.cost is not None), Decimal(0))
