"""Retrieved context cut to a token budget: passages first, then sentences with neighbours.

Every sentence is worth the probability that it holds the answer (its passage's share times its
own, helped by its neighbours') and costs its tokens; the budget is filled by worth against cost.
One sure passage is so kept whole, several likely ones by their best sentences. What is left out
between two kept sentences is marked by an ellipsis, so the model sees that there was more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from llm_optimizers.embeddings import Embed
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.failures import FailOpen
from llm_optimizers.prompts.context.analysis import Passage
from llm_optimizers.prompts.context.knapsack import Unit, fill
from llm_optimizers.prompts.context.ranking import Ranking, RankingWeights, rank
from llm_optimizers.prompts.counting import TokenCount, TokenCounter
from llm_optimizers.text import sentences

__all__ = ["GAP", "KeptPassage", "PassageSelector", "Selection", "render"]

_log = logging.getLogger(__name__)

GAP = " \u2026 "
_CHUNK = 1_200
"""Characters of a passage ranked as one; a longer document is ranked piece by piece."""
_COUNTED = 2
"""Budgets' worth of the likeliest sentences that are counted exactly."""
_SHORTEST_TOKEN = 3
"""Characters a token has at the least, nearly always: the others' cost is not underrated."""
_NEIGHBOUR = 0.2
"""How much of a neighbour's probability a sentence shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPassage:
    """What is left of one passage: its place in the input, its text, and how likely it helps."""

    index: int
    text: str
    title: str
    whole: bool
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The kept passages in their first order, and the tokens of all before and after."""

    kept: tuple[KeptPassage, ...]
    tokens_before: int
    tokens: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A stretch of one document that is ranked as a passage; `at` is its first sentence there."""

    document: int
    at: int
    cut: tuple[str, ...]


class PassageSelector:
    """Keeps what is likely to answer a question, within a budget of tokens.

    `embed` adds likeness in meaning to likeness in words; `weights` are the shipped ones unless
    you have fitted your own. The same input always gives the same output.
    """

    def __init__(
        self,
        *,
        model: str = "gpt-4o",
        counter: TokenCounter | None = None,
        embed: Embed | None = None,
        weights: RankingWeights | None = None,
    ) -> None:
        self._model = model
        self._counter = counter or TokenCounter()
        self._embed = embed
        self._weights = weights

    def select(self, question: str, passages: Sequence[Passage], *, max_tokens: int) -> Selection:
        """Keep at most `max_tokens` of the passages, titles included.

        Raises:
            ConfigurationError: the budget is below one token.
        """
        if max_tokens < 1:
            raise ConfigurationError(
                f"a budget of {max_tokens} tokens keeps nothing; give 1 or more"
            )
        before = self._size([render(p.title, p.text) for p in passages])
        if before.tokens <= max_tokens:
            kept = tuple(_whole(at, passage) for at, passage in enumerate(passages))
            return Selection(
                kept=kept, tokens_before=before.tokens, tokens=before.tokens, exact=before.exact
            )
        pieces = [piece for at, passage in enumerate(passages) for piece in _pieces(at, passage)]
        picks = fill(self._units(question, passages, pieces, max_tokens), max_tokens)
        # Sentences cost a little more or less together than alone: the last picks may have to go.
        while True:
            kept = _written(picks, passages, pieces)
            after = self._size([render(k.title, k.text) for k in kept])
            if after.tokens <= max_tokens or not picks:
                return Selection(
                    kept=kept, tokens_before=before.tokens, tokens=after.tokens, exact=before.exact
                )
            picks = picks[:-1]

    def keep(
        self,
        question: str,
        passages: Sequence[Passage],
        *,
        max_tokens: int,
        shown: Callable[[Sequence[KeptPassage]], int] | None = None,
    ) -> tuple[KeptPassage, ...] | None:
        """What an app should keep of its passages, in order; None when all stay as they are.

        They stay when they fit, when the question has no word to choose by, when not one sentence
        fits (without any context it would be another prompt), and when choosing fails, with a
        warning. Passages without text, such as images, always stay. `shown` counts the tokens
        that the model is shown of what is kept, for frameworks that add something to it: then
        that count keeps the budget.
        """
        if not any(map(str.isalnum, question)):
            return None
        with FailOpen(_log, "Retrieved context could not be cut; it is sent as it is"):
            kept = self._fitting(question, passages, max_tokens, shown)
            cut = len(kept) < len(passages) or not all(each.whole for each in kept)
            return kept if kept and cut else None
        return None

    def _fitting(
        self,
        question: str,
        passages: Sequence[Passage],
        max_tokens: int,
        shown: Callable[[Sequence[KeptPassage]], int] | None,
    ) -> tuple[KeptPassage, ...]:
        """What fits, or the least there is: what is added to a passage costs what it then lacks."""
        filled = [at for at, passage in enumerate(passages) if passage.text.strip()]
        blank = [_whole(at, p) for at, p in enumerate(passages) if not p.text.strip()]
        budget = max_tokens
        found: tuple[KeptPassage, ...] = ()
        while budget >= 1:
            chosen = self.select(question, [passages[at] for at in filled], max_tokens=budget)
            if not chosen.kept:
                break
            texts = [replace(kept, index=filled[kept.index]) for kept in chosen.kept]
            found = tuple(sorted([*blank, *texts], key=lambda kept: kept.index))
            tokens = shown(found) if shown is not None else chosen.tokens
            if tokens <= max_tokens:
                break
            budget = min(budget - 1, budget * max_tokens // tokens)
        return found

    def _units(
        self,
        question: str,
        passages: Sequence[Passage],
        pieces: Sequence[_Piece],
        max_tokens: int,
    ) -> list[Unit]:
        """Every sentence of every piece, with its worth and its cost."""
        ranking = rank(
            question,
            [Passage(title=passages[p.document].title, text="".join(p.cut)) for p in pieces],
            cut=[piece.cut for piece in pieces],
            embed=self._embed,
            weights=self._weights,
        )
        costs = self._costs(pieces, ranking, max_tokens)
        titles = [self._size([p.title + "\n"]).tokens if p.title else 0 for p in passages]
        units: list[Unit] = []
        for piece, cost, share, own in zip(
            pieces, costs, ranking.passages, ranking.sentences, strict=True
        ):
            worth = share * (own + _NEIGHBOUR * _beside(own))
            units += [
                Unit(
                    document=piece.document,
                    at=piece.at + at,
                    text=sentence,
                    worth=float(worth[at]),
                    probability=float(share * own[at]),
                    tokens=cost[at],
                    title=titles[piece.document],
                )
                for at, sentence in enumerate(piece.cut)
            ]
        return units

    def _costs(
        self, pieces: Sequence[_Piece], ranking: Ranking, max_tokens: int
    ) -> list[Sequence[int]]:
        """Tokens of each piece's sentences, counted where they are likely to be kept."""
        costs: list[Sequence[int]] = [()] * len(pieces)
        seen = 0
        for at in np.argsort(-ranking.passages, kind="stable"):
            cut = pieces[at].cut
            if seen < _COUNTED * max_tokens:
                costs[at] = [self._size([" " + sentence.strip()]).tokens for sentence in cut]
                seen += sum(costs[at])
            else:
                costs[at] = [1 + len(sentence) // _SHORTEST_TOKEN for sentence in cut]
        return costs

    def _size(self, texts: Sequence[str]) -> TokenCount:
        counts = [self._counter.count(text, self._model) for text in texts]
        return sum(counts, TokenCount(tokens=0, exact=True))


def render(title: str, text: str) -> str:
    """A passage as it stands in a prompt, and as it is counted."""
    return f"{title}\n{text}" if title else text


def _whole(index: int, passage: Passage) -> KeptPassage:
    return KeptPassage(
        index=index, text=passage.text, title=passage.title, whole=True, probability=1.0
    )


def _pieces(document: int, passage: Passage) -> list[_Piece]:
    """A passage's sentences in stretches of at most about `_CHUNK` characters."""
    pieces: list[_Piece] = []
    pending: list[str] = []
    size = start = 0
    cut = sentences(passage.text) or [passage.text]
    for at, sentence in enumerate(cut):
        if pending and size + len(sentence) > _CHUNK and len(passage.text) > 2 * _CHUNK:
            pieces.append(_Piece(document=document, at=start, cut=tuple(pending)))
            pending, size, start = [], 0, at
        pending.append(sentence)
        size += len(sentence)
    pieces.append(_Piece(document=document, at=start, cut=tuple(pending)))
    return pieces


def _beside(own: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each sentence the probabilities of the ones before and after it, added."""
    near = np.zeros_like(own)
    near[1:] += own[:-1]
    near[:-1] += own[1:]
    return near


def _written(
    picks: Sequence[Unit], passages: Sequence[Passage], pieces: Sequence[_Piece]
) -> tuple[KeptPassage, ...]:
    """The picked sentences put together again, document by document."""
    sizes = [0] * len(passages)
    for piece in pieces:
        sizes[piece.document] += len(piece.cut)
    in_order = sorted(picks, key=lambda unit: (unit.document, unit.at))
    kept = []
    for index, units in groupby(in_order, key=lambda unit: unit.document):
        parts = list(units)
        whole = len(parts) == sizes[index]
        kept.append(
            KeptPassage(
                index=index,
                title=passages[index].title,
                text=passages[index].text if whole else _joined(parts),
                whole=whole,
                probability=sum(part.probability for part in parts),
            )
        )
    return tuple(kept)


def _joined(parts: Sequence[Unit]) -> str:
    text = parts[0].text
    for before, part in pairwise(parts):
        text = text + part.text if part.at == before.at + 1 else text.rstrip() + GAP + part.text
    return text.strip()
