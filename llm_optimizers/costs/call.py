"""What an adapter saw of one model call, and the ledger record made from it.

Framework adapters fill a `Call` and decide nothing, so that the same call gives the same record
in every framework.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_optimizers.costs.amounts import EXACT, dollars_or_none
from llm_optimizers.costs.answers import (
    NOT_SHARED,
    CallShare,
    Reported,
    ServedAnswer,
    baseline_call,
)
from llm_optimizers.costs.context import NO_CALL_CONTEXT, CallContext, Role
from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.prices.answered import model_to_price
from llm_optimizers.costs.prices.bill import Bill
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.pricing import as_billed, charged_to, price_call, priced_by
from llm_optimizers.costs.records import (
    NO_USAGE,
    Basis,
    CallKind,
    CallRecord,
    Progress,
    Saving,
    Status,
)
from llm_optimizers.costs.removed import NOTHING_REMOVED, RemovedTokens
from llm_optimizers.costs.runs import NOBODY, Attribution
from llm_optimizers.costs.usage import Usage

__all__ = [
    "Call",
    "status_of",
]

_CHARGED_TO: Mapping[Role, str] = {"sample": "routing", "judge": "routing", "summary": "prompts"}
"""The strategy to which calls of these roles are charged: without it they would not be made."""

_UNKNOWN: Mapping[str, Any] = {
    "cost": None,
    "baseline_cost": None,
    "savings": (),
    "priced_by": None,
    "unpriced": NO_USAGE,
}


def status_of(error: BaseException | None) -> Status:
    """Return the status of a call that ended without an answer; None is an unknown error.

    An `Exception` is a failure. Any other error (CancelledError, GeneratorExit) means that the
    caller did not wait for the answer.
    """
    return "error" if error is None or isinstance(error, Exception) else "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What an adapter saw of one call.

    `asked` is the requested model, `answered` the model that the provider reports ("" if it
    reports none). `reported` is the provider's usage, None if it reported none. `removed` are
    tokens that prompt optimisers removed, other than those in `context`. `share` is set if other
    callers may have shared the call, `served` if a cache answered. `progress` says how far a call
    came whose status is "error". Usage that is `suspicious` cannot be right, or not be read.
    `billed` is what the provider says it billed, in dollars. `sound`: the prompt had some, whose
    tokens the framework may not pass on. `attribution` says whose money it was.
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
    attribution: Attribution = NOBODY
    latency_s: float | None = None
    status: Status = "ok"
    error: str | None = None
    suspicious: bool = False
    progress: Progress = "unsent"
    kind: CallKind = "answer"
    billed: Decimal | None = None
    sound: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether the call's tokens are counted locally, since the provider did not report them.

        Those of a cache hit are what the call would have used that it saved.
        """
        if self.share is not None:
            return False
        if self.served is not None:
            return not _is_whole(self.served.usage)
        if self.status == "error" and self.progress == "unsent":
            return False
        return self.suspicious or not self._is_finished or not _is_whole(self.reported)

    def account(self, ledger: Ledger, count: Callable[[], Usage | None] | None = None) -> None:
        """Record the call in a ledger, or hold the record while its answer may be discarded.

        `count` counts the call's tokens locally, for what the provider did not report; in an event
        loop it may be called later, in another thread. A shared call is skipped, since its callers
        record their shares. These do not contain what a router inside the shared call paid for
        other answers: discarded drafts, samples and judges.
        """
        context = self.context
        held = context.drafts is not None and self.status == "ok"
        if context.shared and not held and context.role not in _CHARGED_TO:
            return

        def make() -> CallRecord:
            return self.record(ledger.prices, count)

        if held and context.drafts is not None:
            context.drafts.hold(context.draft_id, make, ledger)
        else:
            ledger.record_made(make)

    def record(
        self, prices: PriceBook, count: Callable[[], Usage | None] | None = None
    ) -> CallRecord:
        """Build the record of this call, with its baseline and savings."""
        if self.share is not None:
            record = self._shared(prices, self.share, self.reported or Usage())
        elif self.served is not None:
            usage, estimated = self._usage(self.served.usage, count)
            served = replace(self.served, estimated=estimated or self.served.estimated)
            record = self._priced(prices, usage, served=served, billed=served.cost)
        else:
            usage, estimated = self._usage(self.reported, count)
            record = self._priced(prices, usage, estimated=estimated, billed=self.billed)
            if usage is None and self.billed is None:
                record = replace(record, **_UNKNOWN)
        group = self.attribution.assignment
        if group is not None:
            record = replace(record, held_out=group.held_out, bucket=group.bucket)
        strategy = _CHARGED_TO.get(self.context.role)
        return record if strategy is None else charged_to(record, strategy)

    def _usage(
        self, reported: Usage | None, count: Callable[[], Usage | None] | None
    ) -> tuple[Usage | None, bool]:
        """Return the call's usage, None if it is not known, and whether it is an estimate.

        If the provider reported only the answer, the prompt is counted locally. Of an unfinished
        stream it may not have reported most of the output, so the larger count of that is used, and
        of suspicious usage the larger of each count.
        """
        if not self.is_counted:
            return reported or Usage(), False
        counted = count() if count is not None else None
        finished = self._is_finished or self.served is not None
        if reported is None or counted is None:
            found = reported or counted
            if found is None:
                return (None if self.status == "ok" else Usage()), False
            return found, not (finished and found is reported)
        if self.suspicious:
            known = reported.as_dict()
            return Usage(
                **{name: max(known[name], n) for name, n in counted.as_dict().items()}
            ), True
        filled = counted.later(reported)
        if finished:
            return filled, filled != reported
        output = max(counted.output_tokens, reported.output_tokens)
        return replace(filled, output_tokens=output), True

    @property
    def _is_finished(self) -> bool:
        """Whether the whole answer came, so that what the provider reported is final."""
        return self.status == "ok" or (self.status == "error" and self.progress == "answered")

    def _priced(
        self,
        prices: PriceBook,
        usage: Usage | None,
        *,
        served: ServedAnswer | None = None,
        share: CallShare = NOT_SHARED,
        estimated: bool = False,
        billed: Decimal | None = None,
    ) -> CallRecord:
        """Build the record of a call with this usage, or of a cache hit that saved such a call."""
        model, usage = self._model(prices), usage or Usage()
        removed = self.removed + self.context.removed
        baseline = baseline_call(
            Reported(model=model, usage=usage),
            share=share,
            removed=removed,
            baseline_model=self.context.baseline_model,
        )
        removed += share.removed
        low = None
        if served is None and removed.repeated and baseline.usage is not None:
            whole = usage if share.alone is None else share.alone
            low = removed.added_back_to(whole, cached=True)
        return price_call(
            prices,
            id=self.id,
            time=self.time,
            model=model,
            provider=self.provider,
            usage=usage,
            tier=self.tier,
            baseline_model=baseline.model,
            baseline_provider=self.context.baseline_provider,
            baseline_usage=baseline.usage,
            baseline_low_usage=low,
            hit_strategy=None if served is None else f"cache.{served.tier}",
            tags=self.attribution.tags,
            latency_s=self.latency_s,
            status=self.status,
            error=self.error,
            kind=self.kind,
            sound=self.sound,
            estimated=estimated or (served is not None and served.estimated),
            suspicious=self.suspicious or share.suspicious,
            billed=None if billed is None else dollars_or_none(billed),
        )

    def _shared(self, prices: PriceBook, share: CallShare, used: Usage) -> CallRecord:
        """Build the record of a share: that of a separate call, plus what sharing it saved.

        A caller that saw an error saved nothing, even if an answer came after it had left. What the
        provider billed for the share gives what a separate call would have been billed, in
        proportion to the prices.
        """
        billed = None if self.billed is None else dollars_or_none(self.billed)
        if self.status == "error" or share.alone is None:
            return self._priced(prices, used, billed=billed, estimated=share.counted)
        served: ServedAnswer | None = None
        guessed = share.estimated or share.counted or share.suspicious
        if share.served:
            served = ServedAnswer(tier=share.served, usage=share.alone, estimated=guessed)
        bill = self._bill(prices, used, share.requests)
        alone = billed
        if alone is not None and used != share.alone:
            separate = self._bill(prices, share.alone).cost
            alone = None if separate is None else as_billed(separate, alone, bill)
        record = self._priced(
            prices,
            share.alone,
            served=served,
            share=share,
            estimated=share.counted,
            billed=alone,
        )
        if used == record.usage and (share.requests == 1 or used == Usage()):
            return record
        baseline = record.baseline_usage or record.usage
        cost = bill.cost if billed is None else billed
        known: dict[str, Any] = {"priced_by": None, "unpriced": None, "at_least": None}
        known |= priced_by(bill, billed)
        record = replace(record, usage=used, baseline_usage=baseline, **known)
        if record.cost is None or record.baseline_cost is None or cost is None:
            return replace(record, cost=cost, baseline_cost=None, savings=())
        basis: Basis = "estimated" if guessed else "measured"
        amount = EXACT.subtract(record.cost, cost)
        saved = Saving(strategy="batching", amount=amount, basis=basis)
        return replace(record, cost=cost, savings=(*record.savings, saved))

    def _bill(self, prices: PriceBook, usage: Usage, requests: int = 1) -> Bill:
        return prices.bill(
            usage,
            self._model(prices),
            provider=self.provider,
            at=self.time,
            tier=self.tier,
            requests=requests,
        )

    def _model(self, prices: PriceBook) -> str:
        """Return the model to price (see `model_to_price`), "unknown" if the call names none."""
        chosen = model_to_price(
            self.asked,
            self.answered,
            lambda name: prices.priced(name, provider=self.provider, at=self.time),
        )
        return chosen or "unknown"


def _is_whole(used: Usage | None) -> bool:
    """Whether a usage holds the prompt too, if there was an answer, and not only its fees."""
    return used is not None and (used.input_tokens > 0 or used == Usage())
