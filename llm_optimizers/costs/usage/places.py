"""Places in a provider's object: paths through mappings, objects and lists by kind.

`prompt_tokens_details.cached_tokens` is a count in a part; `promptTokensDetails[AUDIO]` is the sum
of a list's counts of this kind (Gemini's modalities, Bedrock's times to live); `a + b` is a sum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from llm_optimizers.arguments import whole

__all__ = ["MOST_STORED", "Found", "as_fields", "at", "fields_at", "first_of", "listed", "there"]

MOST_STORED = 2**63 - 1
"""What a ledger can store."""

_MOST_IN_A_CALL = 10**9
"""A hundred times the largest context window: a larger count of one call cannot be right."""

_STEP = re.compile(r"([^\[\]]+)(?:\[([^\]]+)\])?")
_COUNTS_IN_LISTS = ("token_count", "tokenCount", "inputTokens")
_KINDS_IN_LISTS = ("modality", "ttl")

Place: TypeAlias = tuple[tuple[str, str | None], ...]


@dataclass(slots=True)
class Found:
    """Counts found in one object; `unreadable` are the names of those that are no counts.

    With `strict` such a count raises an error.
    """

    strict: bool = False
    unreadable: list[str] = field(default_factory=list)

    def count(self, name: str, value: object) -> int:
        """Return the value as a count, 0 if it is none. Cohere's SDK returns counts as floats."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        most = MOST_STORED if self.strict else _MOST_IN_A_CALL
        if type(value) is int and 0 <= value <= most:
            return value
        if self.strict:
            return whole(name, value, least=0, most=most)
        with suppress(Exception):  # a count of numpy's
            return whole(name, value, least=0, most=most)
        self.unreadable.append(name)
        return _meant(value)


def _meant(value: object) -> int:
    """Return the number that a text or a fraction means, 0 if it is not one of a call."""
    with suppress(Exception):
        number = float(value) if isinstance(value, str | float) else -1.0
        if 0 <= number <= _MOST_IN_A_CALL:
            return math.ceil(number)
    return 0


def as_fields(value: object) -> Mapping[str, Any]:
    """Return a provider's object as a mapping of its fields, not of what is in them."""
    if type(value) is dict or isinstance(value, Mapping):
        return value
    if isinstance(getattr(type(value), "model_fields", None), Mapping):  # a pydantic model
        return {**vars(value), **(getattr(value, "model_extra", None) or {})}
    return {}


def listed(value: object) -> Sequence[Any]:
    """Return a list as it is, and nothing for anything else."""
    return value if isinstance(value, list | tuple) else ()


def at(raw: Mapping[str, Any], place: str) -> Any:
    """Return what stands at a place without lists, None if nothing does."""
    value: Any = raw
    for name, _ in _place(place):
        value = as_fields(value).get(name)
        if value is None:
            return None
    return value


def there(raw: Mapping[str, Any], places: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield what stands at these places, with the place; most answers have few of them."""
    for place in places:
        if _place(place)[0][0] in raw and (value := at(raw, place)) is not None:
            yield place, value


def fields_at(raw: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """Return the mapping or object at a place, as a mapping; empty if there is none."""
    return as_fields(at(raw, place))


def first_of(raw: Mapping[str, Any], places: Sequence[str], found: Found) -> int:
    """Return the first count of these places that is not zero, else 0."""
    for place in places:
        parts = (part for part in _parts(place) if part[0][0] in raw)
        count = sum(number for part in parts for number in _counts(raw, part, found))
        if count:
            return count
    return 0


def _counts(raw: Mapping[str, Any], steps: Place, found: Found) -> Iterator[int]:
    value: Any = raw
    for name, kind in steps:
        value = as_fields(value).get(name)
        if kind is not None:
            yield from _of_kind(value, kind, found)
            return
        if value is None:
            return
    yield found.count(steps[-1][0], value)


def _of_kind(parts: object, kind: str, found: Found) -> Iterator[int]:
    for each in listed(parts):
        part = as_fields(each)
        named = next((part[name] for name in _KINDS_IN_LISTS if part.get(name) is not None), "")
        if str(getattr(named, "value", named)).upper() == kind.upper():
            for name in _COUNTS_IN_LISTS:
                if part.get(name) is not None:
                    yield found.count(name, part[name])


@cache
def _parts(text: str) -> tuple[Place, ...]:
    return tuple(_place(part) for part in text.split(" + "))


@cache
def _place(text: str) -> Place:
    steps = (_STEP.fullmatch(step) for step in text.split("."))
    return tuple((step[1], step[2]) for step in steps if step is not None)
