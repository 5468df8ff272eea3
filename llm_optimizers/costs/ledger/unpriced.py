"""Calls without a price: each model is announced by a ledger, once for each reason."""

from __future__ import annotations

from llm_optimizers.costs.records import NO_USAGE, CallRecord
from llm_optimizers.events import ModelUnpriced, emit

__all__ = ["UnpricedModels"]

_MOST = 1_000
"""Models and reasons that are remembered; further ones are not announced."""


class UnpricedModels:
    """Announces the first call of each model without a cost. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None, str], CallRecord] = {}

    def look(self, record: CallRecord) -> None:
        """Announce the record's model if this is its first call without a cost for that reason."""
        if record.cost is not None or len(self._known) >= _MOST:
            return
        reason = record.unpriced or "no price is known"
        if self._known.setdefault((record.model, record.provider, reason), record) is not record:
            return
        advice = "" if reason == NO_USAGE else "Ledger(prices=PriceBook({…})) takes your own price "
        event = ModelUnpriced(
            component=__name__,
            model=record.model,
            provider=record.provider,
            reason=reason,
            message=(
                f"calls of {record.model!r} are recorded without a cost: {reason}. "
                f"{advice}(logged once for each model and reason)"
            ),
        )
        emit(event)
