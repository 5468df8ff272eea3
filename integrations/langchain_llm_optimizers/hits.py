"""How a served answer is marked, so that callbacks count it as a saving and never as spend."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

from langchain_core.outputs import ChatGeneration

from langchain_llm_optimizers.codec import Generations
from llm_optimizers.caching import Hit
from llm_optimizers.costs import Usage

__all__ = ["CACHE_HIT", "mark_hit", "usage_of_mark"]

CACHE_HIT = "cache_hit"
"""The key of the mark in `response_metadata` (chat) or `generation_info` (completion)."""

_COUNTS = tuple(field.name for field in fields(Usage))
_counts = attrgetter(*_COUNTS)


def mark_hit(hit: Hit[Generations]) -> Generations:
    """The hit's generations, each marked with where it came from and what its call consumed.

    `id` names the hit in the account: whoever records it a second time records nothing.
    """
    mark = {
        "id": secrets.token_hex(16),
        "tier": hit.tier,
        "score": round(hit.score, 4),
        "age": round(hit.age, 3),
        "model": hit.model,
        "usage": None if hit.usage is None else dict(zip(_COUNTS, _counts(hit.usage), strict=True)),
    }
    for generation in hit.value:
        if isinstance(generation, ChatGeneration):
            generation.message.response_metadata[CACHE_HIT] = mark
        else:
            generation.generation_info = _MarkedInfo(generation.generation_info, mark)
    return hit.value


class _MarkedInfo(dict[str, Any]):
    """A completion's info with the mark in it, equal to the info without.

    What a cache returns for a completion has to equal what it was given: LangChain's standard
    suite says so.
    """

    def __init__(self, info: Mapping[str, Any] | None, mark: Mapping[str, Any]) -> None:
        super().__init__({**(info or {}), CACHE_HIT: mark})
        self._info = info

    def __eq__(self, other: object) -> bool:
        return self._info == other or dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as of every dict


def usage_of_mark(mark: Mapping[str, Any]) -> Usage | None:
    """What the call behind a marked answer consumed."""
    usage = mark.get("usage")
    return Usage(**usage) if isinstance(usage, Mapping) else None
