"""Refused answers: what a parser or schema did not accept is never served again.

A cache reports each answer that it gives (`GivenAnswer`, which holds no text). If it turns out
to be bad, the adapter refuses it: it leaves the store, and the next call of its key goes to the
model. `run_tree` finds out from a framework's runs.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from llm_optimizers.forks import ProcessLock

__all__ = [
    "GivenAnswer",
    "RefusedAnswers",
    "answers_given",
    "collected_answers",
    "digest_of",
    "refuse_all",
]

_REMEMBERED = 4096


class Refusing(Protocol):
    """A cache that takes an answer back."""

    def refuse(self, answer: GivenAnswer) -> None:
        """Remove the answer and let the next call of its key go to the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """An answer that a cache gave a caller: stored now, or served.

    `key` is the exact key of the request, `entry` that of the stored entry (another one if the
    match was not exact), `digest` that of the stored text.
    """

    source: Refusing = field(repr=False)
    key: str
    entry: str
    digest: bytes


def digest_of(payload: str) -> bytes:
    """Return a digest of a stored text."""
    return hashlib.blake2b(payload.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class RefusedAnswers:
    """The keys whose next call must be fresh, and the answers that are never served again.

    An answer is refused for its question, and for the one whose entry it came from: another
    question may have the same answer ("yes"). If the model gives it again, that is a new answer,
    for its caller to judge. Memory of this process only; the oldest are forgotten first.
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[str, int] = OrderedDict()
        self._refused: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._lock = ProcessLock()

    def add(self, answer: GivenAnswer) -> None:
        """Remember a refused answer, and make one call of its key fresh.

        Callers who shared an answer refuse it each; one fresh call at a time is enough for that.
        """
        key, digest = answer.key, answer.digest
        with self._lock:
            if key not in self._keys or (key, digest) not in self._refused:
                self._keys[key] = self._keys.pop(key, 0) + 1
            self._refused[key, digest] = self._refused[answer.entry, digest] = None
            for remembered in (self._keys, self._refused):
                while len(remembered) > _REMEMBERED:
                    remembered.popitem(last=False)

    def take(self, key: str) -> bool:
        """Return whether this call of the key must be fresh, and count it."""
        if not self._keys:
            return False
        with self._lock:
            left = self._keys.pop(key, 0)
            if left > 1:
                self._keys[key] = left - 1
        return left > 0

    def includes(self, payload: str, *keys: str) -> bool:
        """Return whether this stored text was refused as the answer under one of these keys."""
        if not self._refused:
            return False
        digest = digest_of(payload)
        return any((key, digest) in self._refused for key in keys)

    def given_again(self, key: str, payload: str) -> None:
        """Note that the model has given this text again under this key."""
        if self._refused:
            with self._lock:
                self._refused.pop((key, digest_of(payload)), None)


_collected: ContextVar[list[GivenAnswer] | None] = ContextVar(
    "llm_optimizers_answers_given", default=None
)


@contextmanager
def answers_given() -> Iterator[list[GivenAnswer]]:
    """Collect the answers given inside the block, and by streams that are started in it."""
    given: list[GivenAnswer] = []
    token = _collected.set(given)
    try:
        yield given
    finally:
        _collected.reset(token)


def collected_answers() -> list[GivenAnswer] | None:
    """Return the list of the innermost `answers_given()`, None outside of one."""
    return _collected.get()


def refuse_all(answers: Iterable[GivenAnswer]) -> None:
    """Refuse these answers, each once."""
    for answer in dict.fromkeys(answers):
        answer.source.refuse(answer)
