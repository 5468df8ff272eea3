"""What is known of the call behind an answer: what the provider reported, whose share it was."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.removed import NOTHING_REMOVED, RemovedTokens
from llm_optimizers.costs.usage import Usage
from llm_optimizers.errors import ConfigurationError

__all__ = ["NOT_SHARED", "CallShare", "Reported", "ServedAnswer", "baseline_call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a provider reports with an answer.

    `model` is "", `usage` and `cost` are None if the provider does not report them; `cost` is what
    it says it billed, in dollars. `suspicious` usage cannot be right, `estimated` usage was counted
    locally, for a provider that reports none.
    """

    model: str = ""
    usage: Usage | None = None
    tier: ServiceTier = "standard"
    cost: Decimal | None = None
    suspicious: bool = False
    estimated: bool = False


_ADDED = frozenset({"suspicious", "requests"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallShare:
    """One caller's share of a call that several callers may have shared.

    `alone` is the usage of a separate call for this caller, None if there was no answer; it is
    `estimated` if other callers shared the call. The rest comes from strategies applied to the
    shared call: `removed` are the tokens that prompt optimisers took out, `baseline_model` is the
    model that would have been called without a router, and `served` is the cache tier that
    answered, "" if a model was called. Usage is `counted` locally if the provider reported none,
    and `suspicious` if what it reported cannot be right. `requests` are the requests whose fees
    this caller pays: of those who share one only the first does.
    """

    alone: Usage | None
    estimated: bool
    removed: RemovedTokens = NOTHING_REMOVED
    baseline_model: str | None = None
    served: str = ""
    counted: bool = False
    suspicious: bool = False
    requests: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Return the share as JSON values, for adapters that store it with an answer."""
        return {
            "alone": None if self.alone is None else self.alone.as_dict(),
            "estimated": self.estimated,
            "removed": {"tokens": self.removed.tokens, "repeated": self.removed.repeated},
            "baseline_model": self.baseline_model,
            "served": self.served,
            "counted": self.counted,
            "suspicious": self.suspicious,
            "requests": self.requests,
        }

    @classmethod
    def from_dict(cls, raw: object) -> CallShare | None:
        """Read a share written by `as_dict`; None for anything else."""
        try:
            known = [*cls.__dataclass_fields__]
            if _ADDED.isdisjoint(raw):  # type: ignore[arg-type]  # a mark of an earlier release
                known = [name for name in known if name not in _ADDED]
            fields = {name: raw[name] for name in known}  # type: ignore[index]
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
    """Return the call that would have been made without any strategy; a cache hit saves its cost.

    `removed` and `baseline_model` come from strategies applied before the call was shared. Of two
    routers, the outer one's baseline counts; of two prompt optimisers, the tokens add up.
    """
    usage = reported.usage if share.alone is None else share.alone
    if usage is not None and usage.total_tokens:
        usage = (removed + share.removed).added_back_to(usage)
    model = baseline_model or share.baseline_model or reported.model
    unchanged = usage == reported.usage and model == reported.model
    return Reported(
        model=model,
        usage=usage,
        cost=reported.cost if unchanged else None,
        estimated=share.estimated
        or share.counted
        or share.suspicious
        or reported.estimated
        or reported.suspicious,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """A stored answer that was served instead of calling a model.

    `tier` says how it was found (exact, normalised, semantic, shared). `usage` is that of the call
    that produced the answer, None if the provider reported none; `estimated` if it was counted
    locally. `cost` is what the provider said it billed for that call, in dollars, if it did.
    """

    tier: str
    usage: Usage | None
    estimated: bool = False
    cost: Decimal | None = None
