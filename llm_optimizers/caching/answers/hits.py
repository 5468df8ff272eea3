"""Served answers: cache hits, their metadata, how answers are encoded.

`ids.py` says which ids a served answer has.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from llm_optimizers.caching.answers.cacheability import Cacheability
from llm_optimizers.caching.answers.ids import ServedIds, copy_with_new_ids, new_id
from llm_optimizers.caching.answers.payloads import plain_json
from llm_optimizers.costs import Usage
from llm_optimizers.costs.call import Reported, ServedAnswer

__all__ = [
    "CACHE_HIT",
    "CacheResult",
    "Codec",
    "CodecWithIds",
    "Hit",
    "JSONCodec",
    "Tier",
    "copy_with_new_ids",
    "decoded",
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

_PIECE = re.compile(r"\s*\S+(?:\s+\S+){0,3}\s*")


class Codec(Protocol[R]):
    """Encodes an adapter's answers as text and decodes them."""

    def encode(self, value: R) -> str:
        """Return the answer as text."""

    def decode(self, payload: str) -> R:
        """Return a new copy of the answer. Raises ValueError for text `encode` did not write."""

    def cacheability(self, value: R) -> Cacheability:
        """Return what decides whether the answer may be stored, with its model and usage."""


class CodecWithIds(Codec[R], Protocol[R]):
    """A codec whose answers have ids: tool calls, or items that a provider keeps."""

    def decode_with_ids(self, payload: str, ids: ServedIds) -> R:
        """Decode as `decode` does, with the ids that `ids` asks for."""


def decoded(codec: Codec[R] | CodecWithIds[R], payload: str, ids: ServedIds) -> R:
    """Return a new copy of an answer with the ids asked for.

    Raises:
        ValueError: the codec did not write the payload.
    """
    with_ids: Callable[[str, ServedIds], R] | None = getattr(codec, "decode_with_ids", None)
    return codec.decode(payload) if with_ids is None else with_ids(payload, ids)


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
