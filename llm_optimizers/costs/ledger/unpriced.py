"""Calls without a price: each model is announced once by a ledger."""

from __future__ import annotations

from llm_optimizers.costs.records import CallRecord
from llm_optimizers.events import ModelUnpriced, emit

__all__ = ["UnpricedModels"]

_MOST = 1_000
"""Models that are remembered; further ones are not announced."""


class UnpricedModels:
    """Announces the first call of each model that has no cost. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], CallRecord] = {}

    def look(self, record: CallRecord) -> None:
        """Announce the record's model if it is the first call of it that has no cost."""
        if record.cost is not None or len(self._known) >= _MOST:
            return
        if self._known.setdefault((record.model, record.provider), record) is not record:
            return
        reason = record.unpriced or "no price is known"
        event = ModelUnpriced(
            component=__name__,
            model=record.model,
            provider=record.provider,
            reason=reason,
            message=(
                f"calls of {record.model!r} are recorded without a cost: {reason}. "
                "Ledger(prices=PriceBook({…})) takes your own price (logged once a model)"
            ),
        )
        emit(event)
