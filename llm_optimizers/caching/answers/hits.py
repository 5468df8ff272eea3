"""Served answers: cache hits, and the metadata that marks them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from llm_optimizers.costs import Usage
from llm_optimizers.costs.amounts import dollars_or_none
from llm_optimizers.costs.answers import Reported, ServedAnswer
from llm_optimizers.events import HitServed, emit, has_listeners

__all__ = [
    "CACHE_HIT",
    "CacheResult",
    "Hit",
    "Tier",
    "announce_hit",
    "mark_of",
    "reported_by_mark",
    "served_by_mark",
    "split_for_streaming",
    "usage_of_mark",
]

R = TypeVar("R")
Tier: TypeAlias = Literal["exact", "normalised", "semantic", "shared"]

CACHE_HIT = "cache_hit"
"""The metadata key under which an adapter stores a hit's mark (see `mark_of`)."""

_PIECE = re.compile(r"(?:(?<!\s)\s++)?\S++(?:\s++\S++){0,3}\s*+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Generic[R]):
    """A served answer and where it came from.

    `id` identifies the hit in the ledger, so that it counts once even if recorded several times.
    `model` ("" if unknown), `usage` and `cost` are those of the call that produced the answer, None
    where the provider did not report them; `estimated` usage was counted locally. `score` is
    the matcher's for a semantic hit, else 1.0. `age` is in seconds. Tier `shared` means that the
    answer came from another caller's call in flight, not from the store.
    """

    value: R
    tier: Tier
    score: float
    key: str
    model: str
    usage: Usage | None
    age: float
    cost: Decimal | None = None
    estimated: bool = False
    id: str = field(default_factory=partial(secrets.token_hex, 16), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheResult(Generic[R]):
    """An answer; `hit` is None if the model was called for it."""

    value: R
    hit: Hit[R] | None


def announce_hit(hit: Hit[Any]) -> None:
    """Emit the event of a hit that is served."""
    if has_listeners(HitServed):
        event = HitServed(
            component="llm_optimizers.caching",
            id=hit.id,
            tier=hit.tier,
            score=hit.score,
            model=hit.model,
            age_s=hit.age,
            input_tokens=None if hit.usage is None else hit.usage.input_tokens,
            output_tokens=None if hit.usage is None else hit.usage.output_tokens,
        )
        emit(event)


def mark_of(hit: Hit[Any]) -> dict[str, Any]:
    """Return the metadata that marks an answer as a cache hit; JSON-like, without any text."""
    return {
        "id": hit.id,
        "tier": hit.tier,
        "score": round(hit.score, 4),
        "age": round(hit.age, 3),
        "model": hit.model,
        "usage": None if hit.usage is None else hit.usage.as_dict(),
        "cost": None if hit.cost is None else str(hit.cost),
        "estimated": hit.estimated,
    }


def usage_of_mark(mark: Mapping[str, Any]) -> Usage | None:
    """Return the usage of the call that produced a marked answer."""
    usage = mark.get("usage")
    return Usage(**usage) if isinstance(usage, Mapping) else None


def reported_by_mark(mark: Mapping[str, Any]) -> Reported:
    """Return what is known of the call that produced a marked answer."""
    return Reported(
        model=str(mark.get("model") or ""),
        usage=usage_of_mark(mark),
        cost=_cost_of_mark(mark),
        estimated=mark.get("estimated") is True,
    )


def served_by_mark(mark: Mapping[str, Any]) -> ServedAnswer:
    """Return a marked answer in the form that the ledger records."""
    known = reported_by_mark(mark)
    return ServedAnswer(
        tier=str(mark["tier"]), usage=known.usage, cost=known.cost, estimated=known.estimated
    )


def _cost_of_mark(mark: Mapping[str, Any]) -> Decimal | None:
    try:
        return dollars_or_none(Decimal(str(mark["cost"])))
    except (LookupError, ArithmeticError):  # a mark without one, or of an earlier release
        return None


def split_for_streaming(text: str) -> list[str]:
    """Split a served answer's text into pieces of up to four words; [] for blank text."""
    return _PIECE.findall(text)
