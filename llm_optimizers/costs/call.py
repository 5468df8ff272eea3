"""One call of a model: what is known before it, what was seen of it, and the record it becomes.

    CallContext   what a strategy that makes a call knows and the account needs: its role, the
                  model that would have been called without the strategy, what was taken out of
                  the prompt. Set with `calling(...)`, read with `context_of(...)`.
    Call          what an adapter saw of a call; `account(ledger)` writes its record.
    Drafts        records of cheap answers, held until it is known whether they were served.

Adapters of frameworks fill a `Call` and decide nothing: the same facts give the same record,
whichever framework they come from.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.records import Basis, CallRecord, Saving, Status
from llm_optimizers.costs.savings import charged_to, price_call, taken_away
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import UnpricedError

__all__ = [
    "CONTEXTS",
    "NOTHING_KNOWN",
    "NOTHING_REMOVED",
    "Call",
    "CallContext",
    "Drafts",
    "Removed",
    "Role",
    "ServedAnswer",
    "Share",
    "calling",
    "calling_in",
    "context_of",
]

_log = logging.getLogger(__name__)

Role: TypeAlias = Literal["answer", "draft", "sample", "judge", "escalation", "summary"]
"""Why a model is called: `draft` is a cheap answer that may yet be thrown away, `sample` a second
opinion on it, `judge` a grade of it, `escalation` the strong model's answer in its place, and
`summary` stands for earlier messages."""

_CHARGED_TO: Mapping[Role, str] = {"sample": "routing", "judge": "routing", "summary": "prompts"}
"""Calls that would not have been made without a strategy: all they cost is that strategy's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Input tokens that prompt optimisers took out of a call; two optimisers add up.

    `repeated` of them had been sent by an earlier call of the conversation.
    """

    tokens: int = 0
    repeated: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(tokens=self.tokens + other.tokens, repeated=self.repeated + other.repeated)

    def restored(self, usage: Usage) -> Usage:
        """The usage that the call would have had with its whole prompt."""
        if self.tokens <= 0:
            return usage
        return usage + taken_away(usage, removed=self.tokens, repeated=max(0, self.repeated))


NOTHING_REMOVED = Removed()


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class CallContext:
    """What a strategy knows of a call that it makes.

    `id` is the name the call is to have in the ledger, "" for none. `baseline_model` and
    `baseline_provider` say what would have been called without routing. The bill of a `shared`
    call is divided among the callers who shared it, and recorded there. `drafts` holds the
    record of a call whose role is draft, under the name `draft_id`.
    """

    id: str = ""
    role: Role = "answer"
    baseline_model: str | None = None
    baseline_provider: str | None = None
    removed: Removed = NOTHING_REMOVED
    shared: bool = False
    drafts: Drafts | None = None
    draft_id: str = ""

    def shortened(self, removed: Removed) -> CallContext:
        """The same call with these tokens, too, taken out of its prompt."""
        return replace(self, removed=self.removed + removed)


CONTEXTS: WeakValueDictionary[str, CallContext] = WeakValueDictionary()
"""Contexts by the id of their call, for calls made on a thread that does not inherit the
caller's context variables. An entry lives as long as the strategy that made it holds it."""
NOTHING_KNOWN = CallContext()
_current: ContextVar[CallContext] = ContextVar("llm_optimizers_call", default=NOTHING_KNOWN)


@contextmanager
def calling(context: CallContext) -> Iterator[None]:
    """Calls made inside the block are made for this reason."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def calling_in(context: Context, call: CallContext) -> Context:
    """A copy of a `contextvars.Context` in which calls are made for this reason.

    For streams, which are opened in one place and read in another.
    """
    copy = context.copy()
    copy.run(_current.set, call)
    return copy


def context_of(call_id: str | None = None, *, within: Context | None = None) -> CallContext:
    """What is known of a call: by its id, else of the code that runs now (or ran `within`)."""
    named = CONTEXTS.get(call_id) if call_id else None
    if named is not None:
        return named
    return _current.get() if within is None else within.get(_current, NOTHING_KNOWN)


class Drafts:
    """Records of cheap answers that may yet be thrown away, written once that is known.

    Safe to share between threads; a record that comes after the decision is written at once.
    """

    def __init__(self) -> None:
        self._held: list[tuple[str, CallRecord, Ledger]] = []
        self._kept: str | None = None
        self._settled = False
        self._lock = threading.Lock()

    def hold(self, draft_id: str, record: CallRecord, ledger: Ledger) -> None:
        """Keep a draft's record until `settle` says what became of it."""
        with self._lock:
            if not self._settled:
                self._held.append((draft_id, record, ledger))
                return
        self._write(draft_id, record, ledger)

    def settle(self, kept: str | None) -> None:
        """Write what is held; `kept` is the name of the draft that was served, None for none."""
        with self._lock:
            self._settled, self._kept = True, kept
            held, self._held = self._held, []
        for draft_id, record, ledger in held:
            self._write(draft_id, record, ledger)

    def _write(self, draft_id: str, record: CallRecord, ledger: Ledger) -> None:
        ledger.record(record if draft_id == self._kept else charged_to(record, "routing"))


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
        if self.context.drafts is not None and self.context.role == "draft" and self.status == "ok":
            self.context.drafts.hold(self.context.draft_id, record, ledger)
        else:
            ledger.record(record)

    def record(
        self, prices: PriceBook, count: Callable[[], Usage | None] | None = None
    ) -> CallRecord:
        """The record of this call, its baseline and its savings with it."""
        if self.served is not None:
            record = self._served(prices, self.served)
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
        removed = self.removed + self.context.removed
        return price_call(
            prices,
            id=self.id,
            time=self.time,
            model=self._model(prices),
            provider=self.provider,
            usage=usage,
            tier=self.tier,
            baseline_model=self.context.baseline_model,
            baseline_provider=self.context.baseline_provider,
            baseline_usage=removed.restored(usage),
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

    def _served(self, prices: PriceBook, served: ServedAnswer) -> CallRecord:
        """The record of a stored answer: nothing spent, and what the bare call would have cost."""
        removed = self.removed + self.context.removed
        return price_call(
            prices,
            id=self.id,
            time=self.time,
            model=self._model(prices),
            provider=self.provider,
            usage=Usage(),
            baseline_model=self.context.baseline_model,
            baseline_provider=self.context.baseline_provider,
            baseline_usage=removed.restored(served.usage) if served.usage else Usage(),
            hit_strategy=f"cache.{served.tier}",
            tags=self.tags,
            latency_s=self.latency_s,
            estimated=served.estimated,
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
