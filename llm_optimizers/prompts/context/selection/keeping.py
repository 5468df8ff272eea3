"""Decide how far a context is cut: to its budget, less, or not at all.

The selection estimates the probability that the answer is in what it keeps. Where that is too low
more is kept, and where no selection can hold the answer everything is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from llm_optimizers.prompts.context.ranking.analysis import Passage
from llm_optimizers.prompts.context.report import ContextCut, DocumentCut
from llm_optimizers.prompts.context.selection.kept import KeptPassage, Selection, render, whole
from llm_optimizers.prompts.context.selection.tasks import Asked, read_request

__all__ = ["MIN_PROBABILITY", "Keeping", "Shown"]

MIN_PROBABILITY = 0.3
"""The highest, in steps of .05, at which 98 % of questions in English are cut in full."""
_GROWTH, _STEPS = 1.5, 4
"""The least factor by which a budget is raised until what it keeps is likely enough, and how often
it is at most, so that a small budget for a long context takes no longer."""
_NO_WORDS = "the request has no words to look for"
_NEEDS_ALL = "the request needs all of the documents"
_UNLIKE = "the request has too little in common with the documents"
_SPREAD = "the answer may be in too many of the documents"
_RAISED = "more was kept, because less may not have held the answer"
_NO_ROOM = "no part of the documents fits"

Shown: TypeAlias = Callable[[Sequence[KeptPassage]], int]
"""Counts the tokens that the model gets for kept passages."""


class _Decision(NamedTuple):
    """The selection to use, None to keep everything, and why it is not within the budget."""

    chosen: Selection | None
    probability: float | None
    reason: str = ""


class Keeping:
    """Some passages, with the ways to select and to count them.

    Args:
        select: Returns a selection for a question, passages and a budget.
        count: Counts the tokens of a text.
        shown: Counts what the model gets for kept passages; by default their titles and texts.
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        select: Callable[[str, Sequence[Passage], int], Selection],
        count: Callable[[str], int],
        shown: Shown | None,
    ) -> None:
        self._passages = passages
        self._select = select
        self._shown = shown
        self._count = count
        self._texts = [at for at, passage in enumerate(passages) if passage.text.strip()]
        self._sizes = {
            at: count(render(passages[at].title, passages[at].text)) for at in self._texts
        }

    def fits(self, max_tokens: int) -> bool:
        """Return whether the passages are within a budget."""
        if self._shown is None:
            return sum(self._sizes.values()) <= max_tokens
        return (
            self._shown([whole(at, each) for at, each in enumerate(self._passages)]) <= max_tokens
        )

    def keep(
        self, request: str, max_tokens: int, min_probability: float | None
    ) -> tuple[tuple[KeptPassage, ...] | None, ContextCut]:
        """Return the passages to keep, None for all as they are, and the report of it."""
        chosen, probability, reason = self._decide(
            read_request(request), max_tokens, min_probability
        )
        kept = () if chosen is None else chosen.kept
        if len(kept) == len(self._passages) and all(each.whole for each in kept):
            kept = ()
        cut = ContextCut(
            documents=self._documents(kept),
            budget=max_tokens,
            probability=probability,
            reason=reason,
        )
        return kept or None, cut

    def _decide(self, asked: Asked, max_tokens: int, min_probability: float | None) -> _Decision:
        if not any(map(str.isalnum, asked.question)):
            return _Decision(None, None, _NO_WORDS)
        if min_probability is None:
            chosen = self._fitting(asked.question, max_tokens)
            return _Decision(chosen, chosen.probability, "" if chosen.kept else _NO_ROOM)
        if asked.needs_all or asked.names_nothing:
            return _Decision(None, None, _NEEDS_ALL if asked.needs_all else _NO_WORDS)
        readings = [asked.question, *asked.shorter]
        tried = [(each, self._fitting(each, max_tokens)) for each in readings[:1]]
        if not tried[0][1].kept:
            return _Decision(None, None, _NO_ROOM)
        while tried[-1][1].probability < min_probability and len(tried) < len(readings):
            shorter = readings[len(tried)]
            tried.append((shorter, self._fitting(shorter, max_tokens)))
        question, best = max(tried, key=lambda pair: pair[1].probability)
        if best.probability >= min_probability:
            return _Decision(best, best.probability)
        return self._with_more(question, best, max_tokens, min_probability)

    def _with_more(
        self, question: str, chosen: Selection, max_tokens: int, min_probability: float
    ) -> _Decision:
        """Raise the budget until what it keeps is likely enough; keep everything if none is."""
        if chosen.found < min_probability:
            return _Decision(None, chosen.found, _UNLIKE)
        budget, total = max_tokens, sum(self._sizes.values())
        growth = max(_GROWTH, (total / max_tokens) ** (1 / _STEPS))
        while (budget := math.ceil(growth * budget)) < total:
            more = self._fitting(question, budget)
            if more.probability >= min_probability:
                return _Decision(more, more.probability, _RAISED)
        return _Decision(None, chosen.found, _SPREAD)

    def _fitting(self, question: str, max_tokens: int) -> Selection:
        """Return a selection that fits as shown, or the smallest there is.

        The budget is lowered until it leaves room for the text that the framework adds.
        """
        blank = [whole(at, p) for at, p in enumerate(self._passages) if not p.text.strip()]
        texts = [self._passages[at] for at in self._texts]
        budget = max_tokens
        found = Selection(kept=(), tokens_before=0, tokens=0, exact=True, probability=0.0)
        while budget >= 1:
            chosen = self._select(question, texts, budget)
            if not chosen.kept:
                break
            placed = [replace(kept, index=self._texts[kept.index]) for kept in chosen.kept]
            kept = tuple(sorted([*blank, *placed], key=lambda each: each.index))
            found = replace(chosen, kept=kept)
            tokens = self._shown(kept) if self._shown is not None else chosen.tokens
            if tokens <= max_tokens:
                break
            budget = min(budget - 1, budget * max_tokens // tokens)
        return found

    def _documents(self, kept: Sequence[KeptPassage]) -> tuple[DocumentCut, ...]:
        """Return what was kept of each passage with text; everything if nothing was chosen."""
        left = {each.index: each for each in kept}
        documents = []
        for at, size in self._sizes.items():
            part = left.get(at)
            if part is None:
                tokens = 0 if kept else size
            else:
                tokens = size if part.whole else self._count(render(part.title, part.text))
            documents.append(
                DocumentCut(
                    number=at + 1,
                    title=self._passages[at].title,
                    kept="dropped" if not tokens else "cut" if part and not part.whole else "whole",
                    tokens_before=size,
                    tokens=tokens,
                )
            )
        return tuple(documents)
