"""The kinds of events. Their fields are plain values, without texts of prompts or answers.

A new kind is a frozen dataclass below `Event`, or below `Notice` if the log is to show it.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_optimizers.shown import shown

__all__ = [
    "Event",
    "HitServed",
    "ModelUnpriced",
    "Notice",
    "RecordsLost",
    "SampleBought",
    "StoreFailed",
    "StoreRecovered",
    "StrategyReturned",
    "StrategyWithdrawn",
    "VerdictGiven",
]

_LONGEST = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened; `component` is who says so, by the name of its logger.

    Secrets and control characters are removed from every text.
    """

    component: str

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, shown(value, most=_LONGEST))


@dataclass(frozen=True, slots=True, kw_only=True)
class HitServed(Event):
    """A cache served an answer; no model was called for it.

    `id` is that of the hit's record in the ledger, which knows the dollars saved. `tier` says how
    the answer was found: exact, normalised, semantic, shared. `model` ("" if unknown) and the
    tokens (None if unknown) are those of the call that produced the answer, `age_s` is in seconds.
    """

    id: str
    tier: str
    score: float
    model: str
    age_s: float
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictGiven(Event):
    """A judge graded an answer of `model` from 0 to 1, or on the scale of the app's own labels.

    `judge` is the judge's model, "" if a function graded. `accepted` says whether the answer was
    served, None where nothing was served.
    """

    model: str
    judge: str
    score: float
    accepted: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBought(Event):
    """A model was asked only to learn something, not for an answer that the app wants.

    `id` is that of the call's record in the ledger, which knows its dollars (none if a cache
    answered); "" if there is none.
    """

    id: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsLost(Event):
    """A ledger could not write `count` records."""

    store: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something that a person should read: a failure, its end, a change.

    `message` is what the log says. It leaves out a `repeated` notice, which it has shown before.
    """

    message: str
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyWithdrawn(Notice):
    """A strategy no longer acts: `strategy` is named as in savings, such as "cache.semantic"."""

    strategy: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyReturned(Notice):
    """A strategy that was withdrawn acts again."""

    strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailed(Notice):
    """A cache's file, a ledger or another store stopped working; calls go on without it."""

    store: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRecovered(Notice):
    """A store that had failed works again."""

    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUnpriced(Notice):
    """A call of `model` was recorded without its cost; its record has the same `reason`."""

    model: str
    provider: str | None
    reason: str
