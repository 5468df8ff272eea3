"""What batching saved, as records of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from llm_optimizers.batching.combining.ask import Settled
from llm_optimizers.costs import CallRecord, PriceBook, Saving, price_call
from llm_optimizers.costs.records import Basis

__all__ = ["as_batching", "combined_record"]


def combined_record(
    prices: PriceBook,
    settled: Settled,
    *,
    id: str,  # noqa: A002 - the record's own word
    time: datetime,
    model: str = "",
    provider: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> CallRecord:
    """The record of one question of a combined prompt: its share of the bill against a call alone.

    Records of a group add up to what was billed; a retry is charged against the saving. The
    saving is estimated, since the call alone was not made, but for questions asked alone anyway.
    """
    answered = settled.answered
    record = price_call(
        prices,
        id=id,
        time=time,
        model=model or settled.request.model,
        provider=provider,
        usage=settled.usage,
        baseline_usage=answered.alone if answered else None,
        tags=tags,
        status="ok" if answered else "error",
        error=type(settled.error).__name__ if settled.error else None,
    )
    if answered is None:
        return replace(record, savings=())
    return as_batching(record, estimated=answered.estimated)


def as_batching(record: CallRecord, *, estimated: bool) -> CallRecord:
    """The record with everything it saved put down to batching."""
    saved = sum((saving.amount for saving in record.savings), Decimal(0))
    basis: Basis = "estimated" if estimated else "measured"
    savings = (Saving(strategy="batching", amount=saved, basis=basis),) if saved else ()
    return replace(record, savings=savings)
