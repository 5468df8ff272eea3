"""What an adapter saw of one call of a model, and the record it becomes.

Adapters of frameworks fill a `Call` and decide nothing: the same facts give the same record,
whichever framework they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from llm_optimizers.costs.context import NO_CALL_CONTEXT, CallContext, Role
from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.pricing import NOTHING_REMOVED, RemovedTokens, charged_to, price_call
from llm_optimizers.costs.records import Basis, CallRecord, Saving, Status
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import ConfigurationError, UnpricedError

__all__ = [
    "NOT_SHARED",
    "Call",
    "CallShare",
    "Reported",
    "ServedAnswer",
    "baseline_call",
    "status_of",
]

_CHARGED_TO: Mapping[Role, str] = {"sample": "routing", "judge": "routing", "summary": "prompts"}
"""Calls that would not have been made without a strategy: all they cost is that strategy's."""


def status_of(error: BaseException | None) -> Status:
    """How a call ended that gave no answer; None is an error that is not known.

    An Exception is a failure. Anything else (CancelledError, GeneratorExit) means that the caller
    did not wait for the answer.
    """
    return "error" if error is None or isinstance(error, Exception) else "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a provider says of an answer: the model that gave it ("" when it does not say), its
    tokens (None when it counted none) and the service tier.
    """

    model: str = ""
    usage: Usage | None = None
    tier: ServiceTier = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallShare:
    """What is known of an answer out of a call that several callers may have shared.

    `alone` is what a call of its own would have used, None when there was no answer; it is
    `estimated` where others shared the call. `removed` is what prompt optimisers behind the
    sharing took out of it, `baseline_model` the model that would have been asked there without a
    router. `served` is the cache tier that gave the answer there, "" when a model was called.
    """

    alone: Usage | None
    estimated: bool
    removed: RemovedTokens = NOTHING_REMOVED
    baseline_model: str | None = None
    served: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The share as JSON values, for adapters that carry it beside an answer."""
        return {
            "alone": None if self.alone is None else self.alone.as_dict(),
            "estimated": self.estimated,
            "removed": {"tokens": self.removed.tokens, "repeated": self.removed.repeated},
            "baseline_model": self.baseline_model,
            "served": self.served,
        }

    @classmethod
    def from_dict(cls, raw: object) -> CallShare | None:
        """The share that `as_dict` gave, None for anything else."""
        try:
            fields = {name: raw[name] for name in cls.__dataclass_fields__}  # type: ignore[index]
            alone = fields.pop("alone")
            removed = RemovedTokens(**fields.pop("removed"))
            return cls(alone=None if alone is None else Usage(**alone), removed=removed, **fields)
        except (LookupError, TypeError, ConfigurationError):
            return None


NOT_SHARED = CallShare(alone=None, estimated=False)


def baseline_call(
    reported: Reported,
    *,
    share: CallShare = NOT_SHARED,
    removed: RemovedTokens = NOTHING_REMOVED,
    baseline_model: str | None = None,
) -> Reported:
    """The call that would have been made without any strategy, which is what a hit saves.

    `removed` and `baseline_model` are those of the strategies around the sharing: of two routers
    the outer one's baseline counts, of two optimisers what both removed.
    """
    usage = reported.usage if share.alone is None else share.alone
    if usage is not None and usage.total_tokens:
        usage = (removed + share.removed).added_back_to(usage)
    model = baseline_model or share.baseline_model or reported.model
    return Reported(model=model, usage=usage)


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
    context: CallContext = NO_CALL_CONTEXT
    removed: RemovedTokens = NOTHING_REMOVED
    share: CallShare | None = None
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
        if self.share is not None:
            record = self._shared(prices, self.share, self.reported or Usage())
        elif self.served is not None:
            record = self._priced(prices, self.served.usage, served=self.served)
        else:
            usage, estimated = self._usage(count)
            record = self._priced(prices, usage, estimated=estimated)
        strategy = _CHARGED_TO.get(self.context.role)
        return record if strategy is None else charged_to(record, strategy)

    def _usage(self, count: Callable[[], Usage | None] | None) -> tuple[Usage, bool]:
        """The tokens of the call, and whether they are an estimate.

        What a provider reported of an answer that was left midway may lack most of the output,
        and what is counted here lacks what the provider adds: of each count the greater holds.
        Where it reported the answer alone, the prompt is counted here.
        """
        reported, finished = self.reported, self.status == "ok"
        whole = reported is not None and bool(reported.input_tokens or not reported.output_tokens)
        if self.status == "error" or (finished and whole):
            return reported or Usage(), False
        counted = count() if count is not None else None
        if reported is None or counted is None:
            found = reported or counted
            return found or Usage(), found is not None and not (finished and found is reported)
        if finished:
            filled = counted.later(reported)
            return filled, filled != reported
        known = counted.as_dict()
        greater = {name: max(known[name], n) for name, n in reported.as_dict().items()}
        return Usage(**greater), True

    def _priced(
        self,
        prices: PriceBook,
        usage: Usage | None,
        *,
        served: ServedAnswer | None = None,
        share: CallShare = NOT_SHARED,
        estimated: bool = False,
    ) -> CallRecord:
        """The record of a call that used so much, or of a served one that had, against the bare
        call it stands for.
        """
        model, usage = self._model(prices), usage or Usage()
        bare = baseline_call(
            Reported(model=model, usage=usage),
            share=share,
            removed=self.removed + self.context.removed,
            baseline_model=self.context.baseline_model,
        )
        return price_call(
            prices,
            id=self.id,
            time=self.time,
            model=model,
            provider=self.provider,
            usage=usage,
            tier=self.tier,
            baseline_model=bare.model,
            baseline_provider=self.context.baseline_provider,
            baseline_usage=bare.usage,
            hit_strategy=None if served is None else f"cache.{served.tier}",
            tags=self.tags,
            latency_s=self.latency_s,
            status=self.status,
            error=self.error,
            estimated=estimated or (served is not None and served.estimated),
        )

    def _shared(self, prices: PriceBook, share: CallShare, used: Usage) -> CallRecord:
        """The record of a call alone, or of one served, with what sharing it saved on top.

        A call that failed saved nothing, whatever came of it after its caller had left.
        """
        if self.status == "error" or share.alone is None:
            return self._priced(prices, used)
        served: ServedAnswer | None = None
        if share.served:
            served = ServedAnswer(tier=share.served, usage=share.alone, estimated=share.estimated)
        record = self._priced(prices, share.alone, served=served, share=share)
        if record.cost is None or used == record.usage:
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
