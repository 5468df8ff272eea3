"""The result of a ranking, and how those of a question's clauses are combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Ranking", "combined"]

_WHOLE = 0.34
"""Share of the question as a whole; its clauses share the rest."""
_LEAST = 1e-300

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The probability that the answer is in each of n passages, shape (n,).

    They sum to the probability that it is in any. `sentences` holds for each passage the
    probabilities of its m sentences, shape (m,), which sum to 1. `clauses` are the rankings for the
    questions inside a question that asks for several things, which then share the probability.
    """

    passages: Floats
    sentences: tuple[Floats, ...]
    clauses: tuple[Ranking, ...] = ()


def combined(whole: Ranking, clauses: Sequence[Ranking]) -> Ranking:
    """Return one ranking for a question with clauses.

    A passage gets a share of its probability for each clause, however likely that one is answered
    at all. The question is answered only if all clauses are, so the probabilities sum to the
    lowest.
    """
    if not clauses:
        return whole
    share = (1 - _WHOLE) / len(clauses)
    parts = [(_WHOLE, whole), *((share, each) for each in clauses)]
    scaled = [weight * each.passages / max(_LEAST, each.passages.sum()) for weight, each in parts]
    passages: Floats = np.sum(scaled, axis=0)
    within = [np.zeros_like(own) for own in whole.sentences]
    for own, (_, each) in zip(scaled, parts, strict=True):
        for at, sentences in enumerate(each.sentences):
            within[at] += own[at] / max(_LEAST, passages[at]) * sentences
    return Ranking(
        passages=passages * min(float(each.passages.sum()) for each in clauses),
        sentences=tuple(within),
        clauses=tuple(clauses),
    )
