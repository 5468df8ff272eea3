"""Fill a token budget with the most valuable sentences (a knapsack problem).

Greedy by value against cost, which is near the optimum for many small items. Costs change as
sentences are picked: the first sentence of a document pays for its title, and a sentence without
a picked neighbour pays for the gap mark.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ScoredSentence", "fill_budget"]

_GAP_TOKENS = 1
_COST_EXPONENT = 0.5
"""0 orders sentences by value alone, 1 by value per token."""
_DEDUPLICATED = 20
"""Characters from which a sentence that occurs in two documents is kept once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredSentence:
    """A sentence that may be kept.

    `at` is its position in the document, `value` what the knapsack maximises, `probability` the
    chance that it contains the answer, `title_tokens` the cost of the document's title.
    """

    document: int
    at: int
    text: str
    value: float
    probability: float
    tokens: int
    title_tokens: int


def fill_budget(sentences: Sequence[ScoredSentence], max_tokens: int) -> list[ScoredSentence]:
    """Return the sentences to keep, in the order they were picked."""
    return _Knapsack(sentences).pick_all(max_tokens)


class _Knapsack:
    """The sentences by document and position, those that are picked, and their texts."""

    def __init__(self, sentences: Sequence[ScoredSentence]) -> None:
        self._sentences: dict[int, dict[int, ScoredSentence]] = defaultdict(dict)
        self._picked: dict[int, dict[int, ScoredSentence]] = defaultdict(dict)
        self._texts: set[str] = set()
        for sentence in sentences:
            self._sentences[sentence.document][sentence.at] = sentence
        self._heap = [self._entry(sentence) for sentence in sentences]
        heapq.heapify(self._heap)

    def pick_all(self, left: int) -> list[ScoredSentence]:
        order: list[ScoredSentence] = []
        while self._heap:
            _, document, at, cost = heapq.heappop(self._heap)
            sentence = self._sentences[document][at]
            # A sentence that became cheaper was pushed again; its old entry has the old cost.
            stale = at in self._picked[document] or cost != self._cost(sentence)
            if not stale and cost <= left and self._is_new(sentence):
                order.append(sentence)
                self._pick(sentence)
                left -= cost
        return order

    def _pick(self, sentence: ScoredSentence) -> None:
        own, picked = self._sentences[sentence.document], self._picked[sentence.document]
        cheaper = (sentence.at - 1, sentence.at + 1) if picked else tuple(own)
        picked[sentence.at] = sentence
        self._texts.add(sentence.text.strip())
        for at in cheaper:
            if at in own and at not in picked:
                heapq.heappush(self._heap, self._entry(own[at]))

    def _is_new(self, sentence: ScoredSentence) -> bool:
        text = sentence.text.strip()
        return len(text) < _DEDUPLICATED or text not in self._texts

    def _entry(self, sentence: ScoredSentence) -> tuple[float, int, int, int]:
        cost = self._cost(sentence)
        return (
            -sentence.value / max(1, cost) ** _COST_EXPONENT,
            sentence.document,
            sentence.at,
            cost,
        )

    def _cost(self, sentence: ScoredSentence) -> int:
        picked = self._picked[sentence.document]
        if not picked:
            return sentence.tokens + sentence.title_tokens
        joined = sentence.at - 1 in picked or sentence.at + 1 in picked
        return sentence.tokens + (0 if joined else _GAP_TOKENS)
