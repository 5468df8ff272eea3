"""Select the passages and sentences that are likely to answer a question, within a token budget.

A sentence's value is the probability that it contains the answer (its passage's times its own,
raised by its neighbours'), its cost its tokens; the budget is filled by value against cost. So
one certain passage is kept whole, and several likely ones by their best sentences. An ellipsis
marks a gap between two kept sentences, so the model sees that text is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from llm_optimizers.embeddings import Embed
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.failures import FailOpen
from llm_optimizers.prompts.context.analysis import Passage
from llm_optimizers.prompts.context.keeping import MIN_PROBABILITY, Keeping, Shown
from llm_optimizers.prompts.context.kept import KeptPassage, Selection, render, whole
from llm_optimizers.prompts.context.knapsack import ScoredSentence, fill_budget
from llm_optimizers.prompts.context.ranking import Ranking, RankingWeights, rank
from llm_optimizers.prompts.context.report import ReportCut, log_cut
from llm_optimizers.prompts.counting import TokenCount, TokenCounter
from llm_optimizers.text import sentences

__all__ = ["GAP", "PassageSelector"]

_log = logging.getLogger(__name__)

GAP = " \u2026 "
_CHUNK = 1_200
"""Characters of text ranked as one passage; a longer document is ranked piece by piece."""
_EXACT_BUDGETS = 2
"""The likeliest sentences are counted exactly until they fill this many budgets."""
_SHORTEST_TOKEN = 3
"""Characters of the shortest usual token, so that other sentences' cost is not underestimated."""
_NEIGHBOUR = 0.2
"""How much of a neighbour's probability a sentence gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Sentences of one document, ranked as a passage; `at` is the index of the first."""

    document: int
    at: int
    sentences: tuple[str, ...]


class PassageSelector:
    """Selects passages and sentences that are likely to answer a question, within a token budget.

    `embed` adds similarity in meaning to similarity in words; `weights` replaces the shipped
    weights by your own. `min_probability` and `report` are for `keep`: the first is described at
    `ContextBudget`, the second gets a `ContextCut` for each context that is over its budget and
    by default logs it. The same input always gives the same output.
    """

    def __init__(
        self,
        *,
        model: str = "gpt-4o",
        counter: TokenCounter | None = None,
        embed: Embed | None = None,
        weights: RankingWeights | None = None,
        min_probability: float | None = MIN_PROBABILITY,
        report: ReportCut = log_cut,
    ) -> None:
        self._model = model
        self._counter = counter or TokenCounter()
        self._embed = embed
        self._weights = weights
        self._min_probability = min_probability
        self._report = report

    def select(self, question: str, passages: Sequence[Passage], *, max_tokens: int) -> Selection:
        """Select at most `max_tokens` of the passages, including titles.

        Raises:
            ConfigurationError: the budget is below one token.
        """
        if max_tokens < 1:
            raise ConfigurationError(
                f"a budget of {max_tokens} tokens keeps nothing; give 1 or more"
            )
        before = self._size([render(p.title, p.text) for p in passages])
        if before.tokens <= max_tokens:
            kept = tuple(whole(at, passage) for at, passage in enumerate(passages))
            return Selection(
                kept=kept, tokens_before=before.tokens, tokens=before.tokens, exact=before.exact
            )
        pieces = [piece for at, passage in enumerate(passages) for piece in _pieces(at, passage)]
        scored = self._scored(question, passages, pieces, max_tokens)
        picks = fill_budget(scored, max_tokens)
        # Joined sentences may cost a few tokens more than apart: then the last picks are dropped.
        while True:
            kept = _assembled(picks, passages, pieces)
            after = self._size([render(k.title, k.text) for k in kept])
            if after.tokens <= max_tokens or not picks:
                return Selection(
                    kept=kept,
                    tokens_before=before.tokens,
                    tokens=after.tokens,
                    exact=before.exact,
                    probability=_kept_probability(scored, picks),
                    found=min(1.0, sum(sentence.probability for sentence in scored)),
                )
            picks = picks[:-1]

    def keep(
        self,
        question: str,
        passages: Sequence[Passage],
        *,
        max_tokens: int,
        shown: Shown | None = None,
    ) -> tuple[KeptPassage, ...] | None:
        """Return what to keep of an app's passages, in order; None if all stay unchanged.

        They stay unchanged if they fit, if not one sentence fits (a prompt without context would
        be a different one), or if the selection fails, with a warning. More than `max_tokens` is
        kept, or everything, if less is unlikely to hold the answer: `keeping` decides. Passages
        without text, such as images, always stay. `shown` counts the tokens that the model gets
        for the kept passages, for frameworks that add text to them; the budget then limits that
        count.
        """
        with FailOpen(_log, "Retrieved context could not be cut; it is sent unchanged"):
            keeping = Keeping(passages, self._selected, self._count, shown)
            if keeping.fits(max_tokens):
                return None
            kept, cut = keeping.keep(question, max_tokens, self._min_probability)
            with FailOpen(_log, "`report` failed; the context is cut all the same"):
                self._report(cut)
            return kept
        return None

    def _selected(self, question: str, passages: Sequence[Passage], max_tokens: int) -> Selection:
        return self.select(question, passages, max_tokens=max_tokens)

    def _count(self, text: str) -> int:
        return self._counter.count(text, self._model).tokens

    def _scored(
        self,
        question: str,
        passages: Sequence[Passage],
        pieces: Sequence[_Piece],
        max_tokens: int,
    ) -> list[ScoredSentence]:
        """Return every sentence of every piece, with its value and its cost."""
        ranking = rank(
            question,
            [Passage(title=passages[p.document].title, text="".join(p.sentences)) for p in pieces],
            parts=[piece.sentences for piece in pieces],
            embed=self._embed,
            weights=self._weights,
        )
        costs = self._costs(pieces, ranking, max_tokens)
        titles = [self._size([p.title + "\n"]).tokens if p.title else 0 for p in passages]
        scored: list[ScoredSentence] = []
        for piece, cost, passage_share, own in zip(
            pieces, costs, ranking.passages, ranking.sentences, strict=True
        ):
            value = passage_share * (own + _NEIGHBOUR * _neighbours(own))
            scored += [
                ScoredSentence(
                    document=piece.document,
                    at=piece.at + at,
                    text=sentence,
                    value=float(value[at]),
                    probability=float(passage_share * own[at]),
                    tokens=cost[at],
                    title_tokens=titles[piece.document],
                )
                for at, sentence in enumerate(piece.sentences)
            ]
        return scored

    def _costs(
        self, pieces: Sequence[_Piece], ranking: Ranking, max_tokens: int
    ) -> list[Sequence[int]]:
        """Return the tokens of each piece's sentences, exact if they are likely to be kept."""
        costs: list[Sequence[int]] = [()] * len(pieces)
        counted = 0
        for at in np.argsort(-ranking.passages, kind="stable"):
            parts = pieces[at].sentences
            if counted < _EXACT_BUDGETS * max_tokens:
                costs[at] = [self._size([" " + sentence.strip()]).tokens for sentence in parts]
                counted += sum(costs[at])
            else:
                costs[at] = [1 + len(sentence) // _SHORTEST_TOKEN for sentence in parts]
        return costs

    def _size(self, texts: Sequence[str]) -> TokenCount:
        counts = [self._counter.count(text, self._model) for text in texts]
        return sum(counts, TokenCount(tokens=0, exact=True))


def _pieces(document: int, passage: Passage) -> list[_Piece]:
    """Split a long passage into pieces of about `_CHUNK` characters, at sentence ends."""
    pieces: list[_Piece] = []
    pending: list[str] = []
    size = start = 0
    for at, sentence in enumerate(sentences(passage.text) or [passage.text]):
        if pending and size + len(sentence) > _CHUNK and len(passage.text) > 2 * _CHUNK:
            pieces.append(_Piece(document=document, at=start, sentences=tuple(pending)))
            pending, size, start = [], 0, at
        pending.append(sentence)
        size += len(sentence)
    pieces.append(_Piece(document=document, at=start, sentences=tuple(pending)))
    return pieces


def _kept_probability(scored: Sequence[ScoredSentence], picks: Sequence[ScoredSentence]) -> float:
    """Return the probability that the answer is kept; a sentence in two documents is kept once."""
    texts = {picked.text.strip() for picked in picks}
    return min(1.0, sum(each.probability for each in scored if each.text.strip() in texts))


def _neighbours(own: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each sentence the sum of the probabilities before and after it, shape (m,)."""
    near = np.zeros_like(own)
    near[1:] += own[:-1]
    near[:-1] += own[1:]
    return near


def _assembled(
    picks: Sequence[ScoredSentence], passages: Sequence[Passage], pieces: Sequence[_Piece]
) -> tuple[KeptPassage, ...]:
    """Join the picked sentences, document by document."""
    sizes = [0] * len(passages)
    for piece in pieces:
        sizes[piece.document] += len(piece.sentences)
    in_order = sorted(picks, key=lambda picked: (picked.document, picked.at))
    kept = []
    for index, picked in groupby(in_order, key=lambda sentence: sentence.document):
        parts = list(picked)
        complete = len(parts) == sizes[index]
        kept.append(
            KeptPassage(
                index=index,
                title=passages[index].title,
                text=passages[index].text if complete else _joined(parts),
                whole=complete,
                probability=sum(part.probability for part in parts),
            )
        )
    return tuple(kept)


def _joined(parts: Sequence[ScoredSentence]) -> str:
    text = parts[0].text
    for before, part in pairwise(parts):
        text = text + part.text if part.at == before.at + 1 else text.rstrip() + GAP + part.text
    return text.strip()
