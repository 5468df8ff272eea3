"""How answers are stored as text: the codec of an adapter, and one for JSON values."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from llm_optimizers.caching.answers.cacheability import Cacheability
from llm_optimizers.caching.answers.ids import ServedIds
from llm_optimizers.caching.answers.payloads import plain_json
from llm_optimizers.caching.memo import EntryMemo

__all__ = ["Codec", "CodecWithIds", "JSONCodec", "ReadingCodec", "decoded", "with_cacheability"]

R = TypeVar("R")


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


class ReadingCodec(CodecWithIds[R], Protocol[R]):
    """A codec that can read a payload once and then copy what it has read, which is faster."""

    def reader(self, payload: str, ids: ServedIds) -> Callable[[], R]:
        """Return a function that returns a new copy at each call, with these ids."""


def decoded(
    codec: Codec[R] | CodecWithIds[R] | ReadingCodec[R],
    payload: str,
    ids: ServedIds,
    *,
    memo: EntryMemo | None = None,
    entry: str = "",
) -> R:
    """Return a new copy of an answer with the ids asked for; a `memo` keeps what was read of it.

    `entry` is the key of the answer's entry.

    Raises:
        ValueError: the codec did not write the payload.
    """
    reader: Callable[[str, ServedIds], Callable[[], R]] | None = getattr(codec, "reader", None)
    if memo is not None and reader is not None:
        read: Callable[[], R] = memo.get(
            (entry, ids, payload),
            partial(reader, payload, ids),
            owner=entry,
            characters=len(payload),
        )
        return read()
    with_ids: Callable[[str, ServedIds], R] | None = getattr(codec, "decode_with_ids", None)
    return codec.decode(payload) if with_ids is None else with_ids(payload, ids)


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


def with_cacheability(codec: Codec[R]) -> Codec[R]:
    """Accept a codec written when `cacheability` was called `traits`."""
    former = getattr(codec, "traits", None)
    if former is not None and not hasattr(codec, "cacheability"):
        warnings.warn("Codec.traits is now called cacheability", DeprecationWarning, stacklevel=3)
        codec.cacheability = former  # type: ignore[method-assign]
    return codec
