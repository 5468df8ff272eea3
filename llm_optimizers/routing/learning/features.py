"""Features of a text: hashed n-grams and measures of its shape, fast enough for every request.

Everything is counted on the UTF-8 bytes with vectorised numpy, because a loop over the 10,000
n-grams of a 500-token prompt would take several milliseconds. Two families of n-grams are hashed
into separate tables (the hashing trick, Weinberger et al. 2009, arXiv:0902.2206): words and pairs
of neighbouring words, and character n-grams that do not cross whitespace, which tolerate typing
errors and recognise formulas and code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPE_NAMES", "Buckets", "Features", "Featurizer"]

Floats: TypeAlias = NDArray[np.float64]
Buckets: TypeAlias = NDArray[np.int64]
_Words: TypeAlias = NDArray[np.uint64]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_PAIR = np.uint64(0xC2B2AE3D27D4EB4F)
_MAX_WORD = 64
_MAX_BYTES = 200_000
"""Of a longer prompt only the beginning and the end are read, so that deciding stays fast."""
with np.errstate(over="ignore"):
    _POWERS = np.cumprod(np.full(_MAX_WORD, 0x100000001B3, dtype=np.uint64))

_BYTES = np.arange(256)
_DIGIT = (_BYTES >= 48) & (_BYTES <= 57)
_UPPER = (_BYTES >= 65) & (_BYTES <= 90)
_LETTER = _UPPER | ((_BYTES >= 97) & (_BYTES <= 122)) | (_BYTES >= 128)
_WORD = _LETTER | _DIGIT
_SPACE = np.isin(_BYTES, [9, 10, 11, 12, 13, 32])
_LOWER = _BYTES.astype(np.uint8)
_LOWER[_UPPER] += 32

_GROUPS: dict[str, tuple[str, ...]] = {
    "negation": ("not", "no", "never", "except", "least", "incorrect", "false", "without"),
    "which": ("which", "following"),
    "how": ("how", "much", "many"),
    "why": ("why", "because", "explain", "reason"),
    "if": ("if", "then", "suppose", "assume", "let", "given"),
    "quantity": ("each", "every", "per", "total", "left", "altogether", "sum", "difference"),
    "comparison": ("more", "less", "than", "twice", "half", "times", "most", "best"),
    "person": ("he", "she", "his", "her", "they", "their", "him", "i", "my", "you"),
    "statement": ("statement", "both", "neither", "true", "all", "none", "only"),
    "task": ("prove", "derive", "calculate", "compute", "find", "determine", "solve", "write"),
}


def _hash_words(words: tuple[str, ...]) -> _Words:
    data = np.frombuffer(" ".join(words).encode(), dtype=np.uint8)
    return _word_hashes(data)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A text's features: the buckets of its n-grams, and the measures of `SHAPE_NAMES`.

    Buckets are ascending and distinct: that a word occurs is more informative than how often it
    does. The shape is not scaled.
    """

    words: Buckets
    chars: Buckets
    shape: Floats


class Featurizer:
    """Turns texts into Features; each hash table has 2**`bits` buckets."""

    def __init__(self, *, bits: int = 15) -> None:
        self.bits = bits

    def read(self, text: str) -> Features:
        """Return the features of a text."""
        raw = np.frombuffer(_clip(text.encode("utf-8", "replace")), dtype=np.uint8)
        lower = _LOWER[raw]
        words, lengths = _word_hashes(lower)
        with np.errstate(over="ignore"):
            pairs = _mix(words[:-1] * _PAIR + words[1:])
        return Features(
            words=self._buckets([words, pairs]),
            chars=self._buckets(_char_hashes(lower)),
            shape=_shape(raw, words, lengths),
        )

    def _buckets(self, hashes: list[_Words]) -> Buckets:
        table = np.zeros(2**self.bits, dtype=bool)
        table[np.concatenate(hashes) >> np.uint64(64 - self.bits)] = True
        return np.flatnonzero(table)


def _clip(data: bytes) -> bytes:
    if len(data) <= _MAX_BYTES:
        return data
    half = _MAX_BYTES // 2
    return data[:half] + b" " + data[-half:]


def _mix(values: _Words) -> _Words:
    """Mix a sum over all 64 bits; the top bits select the bucket."""
    with np.errstate(over="ignore"):
        mixed: _Words = (values ^ (values >> np.uint64(29))) * _MULTIPLIER
        return (mixed ^ (mixed >> np.uint64(32))) * _MULTIPLIER


def _word_hashes(lower: NDArray[np.uint8]) -> tuple[_Words, NDArray[np.int64]]:
    """Return a hash and a length (bytes) for every run of letters and digits."""
    inside = _WORD[lower]
    edges = np.diff(np.concatenate(([0], inside.view(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(starts):
        return np.empty(0, dtype=np.uint64), starts
    lengths = ends - starts
    offsets = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    position = np.arange(int(lengths.sum())) - np.repeat(offsets, lengths)
    letters = lower[inside].astype(np.uint64) + np.uint64(1)
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(letters * _POWERS[position % _MAX_WORD], offsets)
    return _mix(sums), lengths


def _char_hashes(lower: NDArray[np.uint8]) -> list[_Words]:
    """Return hashes of the n-grams of 2 to 5 bytes that have whitespace only at their ends."""
    blank = _SPACE[lower]
    padded = np.concatenate(([32], np.where(blank, 32, lower), [32])).astype(np.uint64)
    spaces = np.concatenate(([1], blank.view(np.int8), [1])).astype(np.int64)
    before = np.concatenate(([0], np.cumsum(spaces)))
    found: list[_Words] = []
    rolling = np.zeros(len(padded), dtype=np.uint64)
    for n in range(1, 6):
        size = len(padded) - n + 1
        if size <= 0:
            break
        with np.errstate(over="ignore"):
            rolling = rolling[:size] + (padded[n - 1 :] + np.uint64(1)) * _POWERS[n]
        if n == 1:
            continue
        inner = before[n - 1 : n - 1 + size] - before[1 : 1 + size]
        keep = (inner == 0) & ~((n == 2) & (spaces[:size] + spaces[1 : 1 + size] == 2))
        found.append(_mix(rolling[keep] + np.uint64(n)))
    return found


_VOCABULARY = np.concatenate([_hash_words(words) for words in _GROUPS.values()])
_ORDER = np.argsort(_VOCABULARY)
_SORTED = _VOCABULARY[_ORDER]
_GROUP_OF = np.repeat(np.arange(len(_GROUPS)), [len(words) for words in _GROUPS.values()])[_ORDER]


def _group_counts(words: _Words) -> NDArray[np.int64]:
    """Count the words in each of `_GROUPS`."""
    place = np.minimum(np.searchsorted(_SORTED, words), len(_SORTED) - 1)
    return np.bincount(_GROUP_OF[place[_SORTED[place] == words]], minlength=len(_GROUPS))


_MARKS = "?,.$%=^(_\n:;\"'"
_MARK_CODES = [ord(mark) for mark in _MARKS]
_LONGEST = 13
SHAPE_NAMES: tuple[str, ...] = (
    "bytes",
    "words",
    "word length",
    "longest word",
    "distinct words",
    "digits",
    "numbers",
    "capitals",
    "symbols",
    "non-ascii",
    "lines",
    "line length",
    "line length spread",
    "first line",
    "last line",
    "longest line",
    "shortest line",
    *(f"words of length {size}" for size in range(1, _LONGEST)),
    f"words of length {_LONGEST} and more",
    *(f"mark {mark!r}" for mark in _MARKS),
    *(f"words of {name}" for name in _GROUPS),
)


def _shape(raw: NDArray[np.uint8], words: _Words, lengths: NDArray[np.int64]) -> Floats:
    """Return the measures of a text's form, in the order of `SHAPE_NAMES`; sizes as log1p."""
    counts = np.bincount(raw, minlength=256)
    size, number = max(len(raw), 1), max(len(words), 1)
    digits = _DIGIT[raw]
    numbers = int(np.count_nonzero(digits[1:] & ~digits[:-1])) + int(len(raw) > 0 and digits[0])
    breaks = np.concatenate(([-1], np.flatnonzero(raw == 10), [len(raw)]))
    lines = np.diff(breaks) - 1
    values = [
        np.log1p(size),
        np.log1p(number),
        float(lengths.mean()) if len(lengths) else 0.0,
        float(lengths.max()) if len(lengths) else 0.0,
        len(np.unique(words)) / number,
        counts[_DIGIT].sum() / size,
        np.log1p(numbers),
        counts[_UPPER].sum() / size,
        1.0 - counts[_WORD | _SPACE].sum() / size,
        counts[128:].sum() / size,
        np.log1p(len(lines)),
        *np.log1p([lines.mean(), lines.std(), lines[0], lines[-1], lines.max(), lines.min()]),
        *(np.bincount(np.minimum(lengths, _LONGEST), minlength=_LONGEST + 1)[1:] / number),
        *np.log1p(counts[_MARK_CODES]),
        *np.log1p(_group_counts(words)),
    ]
    return np.asarray(values, dtype=np.float64)
