"""Served answers: cache hits, their metadata, how answers are encoded and copied.

A served answer is a copy with new ids. Providers reject two tool calls with the same id, and a
chat history replaces a message whose id it already has, so an answer served twice in one
conversation needs new ids, used consistently within the copy.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from llm_optimizers.caching.cacheability import Cacheability
from llm_optimizers.caching.payloads import plain_json
from llm_optimizers.costs import Usage
from llm_optimizers.costs.call import Reported, ServedAnswer

__all__ = [
    "CACHE_HIT",
    "CacheResult",
    "Codec",
    "Hit",
    "JSONCodec",
    "Tier",
    "copy_with_new_ids",
    "mark_of",
    "new_id",
    "reported_by_mark",
    "served_by_mark",
    "split_for_streaming",
    "usage_of_mark",
]

R = TypeVar("R")
Tier: TypeAlias = Literal["exact", "normalised", "semantic", "shared"]

CACHE_HIT = "cache_hit"
"""The metadata key under which an adapter stores a hit's mark (see `mark_of`)."""

_ALPHABET = string.ascii_letters + string.digits
_SHORTEST = 9
_ARGUMENTS = frozenset({"args", "arguments", "input", "tool_kwargs"})
_FIELDS = frozenset({"id", "call_id", "tool_use_id", "tool_call_id"})
_PIECE = re.compile(r"\s*\S+(?:\s+\S+){0,3}\s*")


class Codec(Protocol[R]):
    """Encodes an adapter's answers as text and decodes them."""

    def encode(self, value: R) -> str:
        """Return the answer as text."""

    def decode(self, payload: str) -> R:
        """Return a new copy of the answer. Raises ValueError for text `encode` did not write."""

    def cacheability(self, value: R) -> Cacheability:
        """Return what decides whether the answer may be stored, with its model and usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Generic[R]):
    """A served answer and where it came from.

    `model` ("" if unknown) and `usage` are those of the call that produced the answer. `score` is
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheResult(Generic[R]):
    """An answer; `hit` is None if the model was called for it."""

    value: R
    hit: Hit[R] | None


def mark_of(hit: Hit[Any]) -> dict[str, Any]:
    """Return the metadata that marks an answer as a cache hit; JSON-like, without any text.

    `id` identifies the hit in the ledger, so that it counts once even if recorded several times.
    """
    return {
        "id": secrets.token_hex(16),
        "tier": hit.tier,
        "score": round(hit.score, 4),
        "age": round(hit.age, 3),
        "model": hit.model,
        "usage": None if hit.usage is None else hit.usage.as_dict(),
    }


def usage_of_mark(mark: Mapping[str, Any]) -> Usage | None:
    """Return the usage of the call that produced a marked answer."""
    usage = mark.get("usage")
    return Usage(**usage) if isinstance(usage, Mapping) else None


def reported_by_mark(mark: Mapping[str, Any]) -> Reported:
    """Return what is known of the call that produced a marked answer."""
    return Reported(model=str(mark.get("model") or ""), usage=usage_of_mark(mark))


def served_by_mark(mark: Mapping[str, Any]) -> ServedAnswer:
    """Return a marked answer in the form that the ledger records."""
    return ServedAnswer(tier=str(mark["tier"]), usage=usage_of_mark(mark))


def split_for_streaming(text: str) -> list[str]:
    """Split a served answer's text into pieces of up to four words; [] for blank text."""
    return _PIECE.findall(text)


class JSONCodec:
    """A codec for answers that are JSON values; None, "" and empty containers are not stored."""

    def encode(self, value: Any) -> str:
        """See `Codec.encode`."""
        return json.dumps(value)

    def decode(self, payload: str) -> Any:
        """See `Codec.decode`."""
        return plain_json(payload)

    def cacheability(self, value: Any) -> Cacheability:
        """See `Codec.cacheability`."""
        return Cacheability(
            empty=value is None or (not value and isinstance(value, str | list | dict))
        )


def new_id(old: str) -> str:
    """Return a random id with the old one's prefix and length, which providers may check.

    A random part under 9 characters is lengthened to 9, so that ids do not collide.
    """
    prefix, underscore, rest = old.rpartition("_")
    length = max(len(rest), _SHORTEST)
    return prefix + underscore + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def copy_with_new_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """Return a deep copy of a JSON value, replacing ids in the fields that hold ids.

    Tool arguments are copied unchanged: an `id` in them belongs to the user's data.
    """
    if isinstance(value, dict):
        return {key: _field(key, item, ids) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_with_new_ids(item, ids) for item in value]
    return value


def _field(name: str, value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return ids.get(value, value) if name in _FIELDS else value
    return copy_with_new_ids(value, {} if name in _ARGUMENTS else ids)
