"""What a cache serves: answers, where they came from, and how an adapter writes them down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from llm_optimizers.caching.cacheability import Traits
from llm_optimizers.costs import Usage

__all__ = ["Answer", "Codec", "Hit", "JSONCodec", "Tier"]

R = TypeVar("R")
Tier: TypeAlias = Literal["exact", "normalised", "semantic", "shared"]


class Codec(Protocol[R]):
    """How an adapter's answers are written down and read back."""

    def encode(self, value: R) -> str:
        """The answer as text."""

    def decode(self, payload: str) -> R:
        """A fresh copy of the answer. Raises ValueError for text that `encode` did not write."""

    def traits(self, value: R) -> Traits:
        """What admission and the account need to know of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Generic[R]):
    """A served answer and where it came from.

    `model` and `usage` are those of the call that made it, unknown ones None. `score` is 1.0 but
    for semantic hits, where it is the acceptance's. `shared` means that a call under way was
    joined, not that a stored answer was found.
    """

    value: R
    tier: Tier
    score: float
    key: str
    model: str
    usage: Usage | None
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[R]):
    """An answer; `hit` is None when it was called for."""

    value: R
    hit: Hit[R] | None


class JSONCodec:
    """Any JSON value as the answer; None, "" and empty containers are not worth keeping."""

    def encode(self, value: Any) -> str:
        """See `Codec.encode`."""
        return json.dumps(value)

    def decode(self, payload: str) -> Any:
        """See `Codec.decode`."""
        return json.loads(payload)

    def traits(self, value: Any) -> Traits:
        """See `Codec.traits`."""
        return Traits(empty=value is None or (not value and isinstance(value, str | list | dict)))
