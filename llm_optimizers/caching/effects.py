"""What the cache's plans ask their shell to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from llm_optimizers.caching.single_flight import Flight
from llm_optimizers.caching.stores.entries import Entry, Vector
from llm_optimizers.effects import Effect

__all__ = ["Call", "Embed", "Fetch", "Forget", "Nearest", "Save", "Touch", "Wait"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Fetch(Effect[Entry | None]):
    """Read an entry by its key, else the newest by its normalised key."""

    key: str
    normalised: str | None = None


@dataclass(frozen=True, slots=True)
class Embed(Effect[Vector]):
    """The unit vector of a question."""

    text: str


@dataclass(frozen=True, slots=True)
class Nearest(Effect[Sequence[tuple[str, float]]]):
    """Keys and cosines of the nearest stored questions of a scope, best first."""

    scope: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class Save(Effect[None]):
    """Write an entry."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Touch(Effect[None]):
    """Count a hit on an entry."""

    key: str


@dataclass(frozen=True, slots=True)
class Forget(Effect[None]):
    """Remove an entry from the store and the index."""

    key: str


@dataclass(frozen=True, slots=True)
class Wait(Effect[str | None]):
    """The payload of a call that somebody else is making; None if there is none in time."""

    flight: Flight[str]


@dataclass(frozen=True, slots=True)
class Call(Effect[R], Generic[R]):
    """Make the call itself. The framework's adapter performs this one, as a stream if it likes."""
