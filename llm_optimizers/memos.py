"""Memos of functions, for the whole process: of short words, of digests, and of classes.

None of them keeps a text of the user's that is longer than a word, or keeps a class in memory that
nobody else uses. What is computed from other texts belongs to the object that it serves, as in
`caching/memo.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, ref

__all__ = ["of_class", "of_text", "of_word"]

P = ParamSpec("P")
T = TypeVar("T")
_LONGEST_WORD = 40
"""Characters; German compounds and chemical names have more, but come once."""


def of_word(limit: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Remember a function of a word, and of what says how to read it, for words of usual length.

    For `limit` words of 40 characters: at most half a kilobyte each.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        remembered: Callable[..., T] = lru_cache(limit)(function)

        @wraps(function)
        def of_words(*args: P.args, **kwargs: P.kwargs) -> T:
            short = len(args[0]) <= _LONGEST_WORD  # type: ignore[arg-type]
            return remembered(*args, **kwargs) if short else function(*args, **kwargs)

        return of_words

    return decorate


def of_text(limit: int) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
    """Remember what a function says of a text, under a digest of the text."""

    def decorate(function: Callable[..., bool]) -> Callable[..., bool]:
        @lru_cache(limit)
        def say(text: _Text, *args: Hashable) -> bool:
            return function(text.take(), *args)

        @wraps(function)
        def of_texts(text: str, *args: Hashable) -> bool:
            return say(_Text(text), *args)

        return of_texts

    return decorate


class _Text:
    """A text that is equal to others with the same digest, and is given away when it is read."""

    __slots__ = ("_digest", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()

    def take(self) -> str:
        """Return the text, which is not kept."""
        text, self._text = self._text, ""
        return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Text) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)


def of_class(function: Callable[..., T]) -> Callable[..., T]:
    """Remember what a function says of a class, as long as the class exists.

    The value may be a class, but must not hold the class otherwise. Further arguments are hashable.
    """
    found: WeakKeyDictionary[type[Any], dict[Hashable, Any]] = WeakKeyDictionary()

    @wraps(function)
    def of_classes(kind: type[Any], *args: Hashable) -> T:
        known = found.get(kind)
        if known is None:
            known = found.setdefault(kind, {})
        value = known.get(args, known)  # `known` itself stands for nothing
        if isinstance(value, ref):
            value = value()
        elif value is known:
            value = function(kind, *args)
            known[args] = ref(value) if isinstance(value, type) else value
        said: T = value
        return said

    return of_classes
