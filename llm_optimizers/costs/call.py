"""What an adapter saw of one call of a model, and the record it becomes.

Adapters of frameworks fill a `Call` and decide nothing: the same facts give the same record,
whichever framework they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from llm_optimizers.costs.context import NOTHING_KNOWN, CallContext, Role
from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.records import Basis, CallRecord, Saving, Status
from llm_optimizers.costs.savings import NOTHING_REMOVED, Removed, charged_to, price_call
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import UnpricedError

__all__ = ["Call", "ServedAnswer", "Share"]

_CHARGED_TO: Mapping[Role, str] = {"sample": "routing", "judge": "routing", "summary": "prompts"}
"""Calls that would not have been made without a strategy: all they cost is that strategy's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What is known of an answer out of a call that several callers may have shared.

    `alone` is what a call of its own would have used, None when there was no answer; it is
    `estimated` where others shared the call.
    """

    alone: Usage | None
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """A stored answer that was served instead of calling.

    `tier` says how it was found (exact, normalised, semantic, shared); `usage` is what the call
    that made it had used, None when that is not known, and `estimated` if it was counted here.
    """

    tier: str
    usage: Usage | None
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What an adapter saw of one call.

    `asked` is the model that was asked, `answered` the one that the provider says answered (""
    when it does not say). `reported` is the provider's usage, None when it reported none;
    `removed` are tokens taken out by optimisers that are not in `context`. `share` is set for an
    answer out of a call that others may have shared, `served` for one out of a cache.
    """

    id: str
    time: datetime
    asked: str = ""
    answered: str = ""
    provider: str | None = None
    reported: Usage | None = None
    tier: ServiceTier = "standard"
    context: CallContext = NOTHING_KNOWN
    removed: Removed = NOTHING_REMOVED
    share: Share | None = None
    served: ServedAnswer | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    latency_s: float | None = None
    status: Status = "ok"
    error: str | None = None

    def account(self, ledger: Ledger, count: Callable[[], Usage | None] | None = None) -> None:
        """Write the call into a ledger, or hold it back while it is not known if it was served.

        `count` counts the call's tokens here; it is asked where the provider reported none.
        A call whose bill is shared out among its callers is recorded by them.
        """
        if self.context.shared:
            return
        record = self.record(ledger.prices, count)
        if self.context.drafts is not None and self.status == "ok":
            self.context.drafts.hold(self.context.draft_id, record, ledger)
        else:
            ledger.record(record)

    def record(
        self, prices: PriceBook, count: Callable[[], Usage | None] | None = None
    ) -> CallRecord:
        """The record of this call, its baseline and its savings with it."""
        if self.served is not None:
            record = self._priced(prices, Usage(), estimated=self.served.estimated)
        elif self.share is not None:
            record = self._shared(prices, self.share, self.reported or Usage())
        else:
            usage, estimated = self._usage(count)
            record = self._priced(prices, usage, estimated=estimated)
        strategy = _CHARGED_TO.get(self.context.role)
        return record if strategy is None else charged_to(record, strategy)

    def _usage(self, count: Callable[[], Usage | None] | None) -> tuple[Usage, bool]:
        """The tokens of the call, and whether they are an estimate.

        What a provider reported of an answer that was left midway may lack most of the output,
        and what is counted here lacks what the provider adds: of each count the greater holds.
        """
        if self.status == "error" or (self.status == "ok" and self.reported is not None):
            return self.reported or Usage(), False
        counted = count() if count is not None else None
        if self.reported is None or counted is None:
            found = self.reported or counted
            return found or Usage(), found is not None
        known = counted.as_dict()
        greater = {name: max(known[name], n) for name, n in self.reported.as_dict().items()}
        return Usage(**greater), True

    def _priced(self, prices: PriceBook, usage: Usage, *, estimated: bool = False) -> CallRecord:
        """The record of a call that used so much, against the bare call it stands for."""
        served, model = self.served, self._model(prices)
        bare = usage if served is None else served.usage or Usage()
        removed = self.removed + self.context.removed
        return price_call(
            prices,
            id=self.id,
            time=self.time,
            model=model,
            provider=self.provider,
            usage=usage,
            tier=self.tier,
            baseline_model=self.context.baseline_model,
            baseline_provider=self.context.baseline_provider,
            baseline_usage=removed.restored(bare) if bare.total_tokens else bare,
            hit_strategy=None if served is None else f"cache.{served.tier}",
            tags=self.tags,
            latency_s=self.latency_s,
            status=self.status,
            error=self.error,
            estimated=estimated,
        )

    def _shared(self, prices: PriceBook, share: Share, used: Usage) -> CallRecord:
        """The record of a call alone, with what sharing it saved on top."""
        alone = share.alone or used
        record = self._priced(prices, alone)
        if record.cost is None or used == alone:
            return record
        cost = prices.cost(
            used, record.model, provider=record.provider, at=record.time, tier=record.tier
        )
        basis: Basis = "estimated" if share.estimated else "measured"
        saved = Saving(strategy="batching", amount=record.cost - cost, basis=basis)
        return replace(
            record,
            usage=used,
            cost=cost,
            baseline_usage=record.baseline_usage or record.usage,
            savings=(*record.savings, saved),
        )

    def _model(self, prices: PriceBook) -> str:
        """The first name that has a price: the one that answered, else the one that was asked.

        Without any price it is the first name there is, and "unknown" without a name.
        """
        names = [name for name in (self.answered, self.asked) if name]
        for name in names:
            try:
                prices.rates(name, provider=self.provider)
            except UnpricedError:
                continue
            return name
        return names[0] if names else "unknown"
