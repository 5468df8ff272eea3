"""What a cache serves: answers, where they came from, and how an adapter writes and shows them.

A served answer is a copy with ids of its own. A provider refuses a tool result for two calls of
one id, and a history replaces the message whose id it knows: an answer served twice in one
conversation needs fresh ids, the same ones wherever the old stood.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel

from llm_optimizers.caching.cacheability import Cacheability
from llm_optimizers.costs import Usage
from llm_optimizers.costs.call import Reported, ServedAnswer

__all__ = [
    "CACHE_HIT",
    "CacheResult",
    "Codec",
    "Hit",
    "JSONCodec",
    "Tier",
    "as_json",
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
"""Under which key an adapter puts the mark of a served answer, beside the answer."""

_ALPHABET = string.ascii_letters + string.digits
_SHORTEST = 9
_ARGUMENTS = frozenset({"args", "arguments", "input", "tool_kwargs"})
_FIELDS = frozenset({"id", "call_id", "tool_use_id", "tool_call_id"})
_PIECE = re.compile(r"\s*\S+(?:\s+\S+){0,3}\s*")


class Codec(Protocol[R]):
    """How an adapter's answers are written down and read back."""

    def encode(self, value: R) -> str:
        """The answer as text."""

    def decode(self, payload: str) -> R:
        """A fresh copy of the answer. Raises ValueError for text that `encode` did not write."""

    def cacheability(self, value: R) -> Cacheability:
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
class CacheResult(Generic[R]):
    """An answer; `hit` is None when it was called for."""

    value: R
    hit: Hit[R] | None


def mark_of(hit: Hit[Any]) -> dict[str, Any]:
    """What tells a served answer from a called one, JSON-ready; holds no text.

    `id` names the hit in the account, so that it counts once however often it is recorded.
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
    """What the call behind a marked answer consumed."""
    usage = mark.get("usage")
    return Usage(**usage) if isinstance(usage, Mapping) else None


def reported_by_mark(mark: Mapping[str, Any]) -> Reported:
    """What is known of the call behind a marked answer."""
    return Reported(model=str(mark.get("model") or ""), usage=usage_of_mark(mark))


def served_by_mark(mark: Mapping[str, Any]) -> ServedAnswer:
    """A marked answer, for the account."""
    return ServedAnswer(tier=str(mark["tier"]), usage=usage_of_mark(mark))


def split_for_streaming(text: str) -> list[str]:
    """The text a few words at a time, for a served answer that is streamed; [] for blank text."""
    return _PIECE.findall(text)


def as_json(value: object) -> str:
    """The value as JSON text; of pydantic objects in it (parsed output, annotations) the data.

    Raises:
        TypeError, ValueError: it holds something that has no JSON form.
    """
    return json.dumps(value, default=_data_of)


def _data_of(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} cannot be kept in a cache")


class JSONCodec:
    """Any JSON value as the answer; None, "" and empty containers are not worth keeping."""

    def encode(self, value: Any) -> str:
        """See `Codec.encode`."""
        return json.dumps(value)

    def decode(self, payload: str) -> Any:
        """See `Codec.decode`."""
        return json.loads(payload)

    def cacheability(self, value: Any) -> Cacheability:
        """See `Codec.cacheability`."""
        return Cacheability(
            empty=value is None or (not value and isinstance(value, str | list | dict))
        )


def new_id(old: str) -> str:
    """An id of the same prefix and length, as providers are particular about both.

    Shorter ones than any provider makes are lengthened, so that no two are drawn alike.
    """
    prefix, underscore, rest = old.rpartition("_")
    length = max(len(rest), _SHORTEST)
    return prefix + underscore + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def copy_with_new_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """A deep copy of a JSON value with ids replaced in the fields that hold such ids.

    What a tool is called with is the model's own and copied as it is.
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
