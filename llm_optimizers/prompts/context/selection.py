"""Retrieved context cut to a token budget: passages first, then sentences with neighbours.

Every sentence is worth the probability that it holds the answer (its passage's share times its
own, helped by its neighbours') and costs its tokens; the budget is filled by worth against cost.
One sure passage is so kept whole, several likely ones by their best sentences. What is left out
between two kept sentences is marked by an ellipsis, so the model sees that there was more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts.context.filling import Unit, fill
from llm_optimizers.prompts.context.ranking import Embed, Ranking, Weights, rank
from llm_optimizers.prompts.context.reading import Passage
from llm_optimizers.prompts.counting.tokens import TokenCounter
from llm_optimizers.text.sentences import sentences

__all__ = ["GAP", "Kept", "PassageSelector", "Selection", "render"]

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
class Kept:
    """What is left of one passage: its place in the input, its text, and how likely it helps."""

    index: int
    text: str
    title: str
    whole: bool
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The kept passages in their first order, and the tokens of all before and after."""

    kept: tuple[Kept, ...]
    tokens_before: int
    tokens: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A stretch of one document that is ranked as a passage; `at` is its first sentence there."""

    document: int
    at: int
    cut: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Costs:
    """Tokens of each document's title and of each piece's sentences."""

    titles: Sequence[int]
    sentences: Sequence[Sequence[int]]


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
        weights: Weights | None = None,
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
        wholes = [self._counter.count(render(p.title, p.text), self._model) for p in passages]
        before = sum(w.tokens for w in wholes)
        exact = all(w.exact for w in wholes)
        if before <= max_tokens:
            kept = tuple(
                Kept(index=i, text=p.text, title=p.title, whole=True, probability=1.0)
                for i, p in enumerate(passages)
            )
            return Selection(kept=kept, tokens_before=before, tokens=before, exact=exact)
        pieces = [piece for i, p in enumerate(passages) for piece in _pieces(i, p)]
        ranking = rank(
            question,
            [Passage(title=passages[p.document].title, text="".join(p.cut)) for p in pieces],
            cut=[piece.cut for piece in pieces],
            embed=self._embed,
            weights=self._weights,
        )
        costs = self._costs(passages, pieces, ranking, max_tokens)
        picks = fill(_units(pieces, ranking, costs), max_tokens)
        return self._rendered(picks, passages, pieces, before, exact, max_tokens)

    def _costs(
        self,
        passages: Sequence[Passage],
        pieces: Sequence[_Piece],
        ranking: Ranking,
        max_tokens: int,
    ) -> _Costs:
        """Tokens of titles and sentences, counted where they are likely to be kept."""
        count = self._counter.count
        costs: list[Sequence[int]] = [()] * len(pieces)
        seen = 0
        for at in np.argsort(-ranking.passages, kind="stable"):
            cut = pieces[at].cut
            if seen < _COUNTED * max_tokens:
                costs[at] = [count(" " + s.strip(), self._model).tokens for s in cut]
                seen += sum(costs[at])
            else:
                costs[at] = [1 + len(sentence) // _SHORTEST_TOKEN for sentence in cut]
        titles = [count(p.title + "\n", self._model).tokens if p.title else 0 for p in passages]
        return _Costs(titles=titles, sentences=costs)

    def _rendered(
        self,
        picks: list[Unit],
        passages: Sequence[Passage],
        pieces: Sequence[_Piece],
        before: int,
        exact: bool,
        max_tokens: int,
    ) -> Selection:
        """Write the picks out; give up the last ones while the exact count is over the budget."""
        while True:
            kept = _written(picks, passages, pieces)
            tokens = sum(
                self._counter.count(render(k.title, k.text), self._model).tokens for k in kept
            )
            if tokens <= max_tokens or not picks:
                return Selection(kept=kept, tokens_before=before, tokens=tokens, exact=exact)
            picks = picks[:-1]


def render(title: str, text: str) -> str:
    """A passage as it stands in a prompt, and as it is counted."""
    return f"{title}\n{text}" if title else text


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


def _units(pieces: Sequence[_Piece], ranking: Ranking, costs: _Costs) -> list[Unit]:
    units: list[Unit] = []
    for number, piece in enumerate(pieces):
        own = ranking.sentences[number]
        for at, sentence in enumerate(piece.cut):
            near = (own[at - 1] if at else 0.0) + (own[at + 1] if at + 1 < len(own) else 0.0)
            units.append(
                Unit(
                    document=piece.document,
                    at=piece.at + at,
                    text=sentence,
                    worth=float(ranking.passages[number] * (own[at] + _NEIGHBOUR * near)),
                    probability=float(ranking.passages[number] * own[at]),
                    tokens=costs.sentences[number][at],
                    title=costs.titles[piece.document],
                )
            )
    return units


def _written(
    picks: Sequence[Unit], passages: Sequence[Passage], pieces: Sequence[_Piece]
) -> tuple[Kept, ...]:
    sizes: dict[int, int] = {}
    for piece in pieces:
        sizes[piece.document] = sizes.get(piece.document, 0) + len(piece.cut)
    chosen: dict[int, list[Unit]] = {}
    for unit in sorted(picks, key=lambda u: (u.document, u.at)):
        chosen.setdefault(unit.document, []).append(unit)
    kept = []
    for index, parts in chosen.items():
        whole = len(parts) == sizes[index]
        kept.append(
            Kept(
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
