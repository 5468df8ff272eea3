"""Select the passages and their parts that are likely to answer a question, within a token budget.

Parts are sentences, rows, statements, members: the least that can be kept alone. A part's value
is the probability that it contains the answer (its passage's times its own, raised by its
neighbours'), its cost its tokens and those of its header; the budget is filled by value against
cost. So one certain passage is kept whole, and several likely ones by their best parts. An
ellipsis marks all that is left out, so the model sees that text is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_optimizers.arguments import function, instance, optional, sequence, share, string
from llm_optimizers.arguments import whole as at_least_1
from llm_optimizers.embeddings import Embed
from llm_optimizers.failures import FailOpen
from llm_optimizers.prompts.context.parts.chunks import Chunk, chunks, headers, neighbours
from llm_optimizers.prompts.context.parts.part import GAP, Part, joined
from llm_optimizers.prompts.context.parts.splitting import split_parts
from llm_optimizers.prompts.context.ranking.analysis import Passage
from llm_optimizers.prompts.context.ranking.model import RankingWeights, rank
from llm_optimizers.prompts.context.ranking.rankings import Ranking
from llm_optimizers.prompts.context.report import ReportCut, log_cut
from llm_optimizers.prompts.context.selection.keeping import MIN_PROBABILITY, Keeping, Shown
from llm_optimizers.prompts.context.selection.kept import KeptPassage, Selection, render, whole
from llm_optimizers.prompts.context.selection.knapsack import (
    Pick,
    ScoredPart,
    fill_budget,
    kept_probability,
)
from llm_optimizers.prompts.counting import TokenCount, TokenCounter

__all__ = ["GAP", "PassageSelector"]


_EXACT_BUDGETS = 2
"""The likeliest parts are counted exactly until they fill this many budgets."""
_SHORTEST_TOKEN = 3
"""Characters of the shortest usual token, so that other parts' cost is not underestimated."""
_NEIGHBOUR = 0.2
"""How much of a neighbour's probability a part gets."""
_HEADER = 2.0
"""How much of its header's probability a part gets."""
_MARK_TOKENS = {"sentence": 1, "line": 2, "block": 3}


class PassageSelector:
    """Selects passages and parts of them that are likely to answer a question, within a budget.

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
        self._model = string("model", model)
        self._counter = optional(instance, "counter", counter, TokenCounter) or TokenCounter()
        self._embed = optional(function, "embed", embed)
        self._weights = optional(instance, "weights", weights, RankingWeights)
        self._min_probability = optional(share, "min_probability", min_probability)
        self._report = function("report", report)

    def select(self, question: str, passages: Sequence[Passage], *, max_tokens: int) -> Selection:
        """Select at most `max_tokens` of the passages, including titles.

        Raises:
            ConfigurationError: the budget is below one token.
        """
        at_least_1("max_tokens", max_tokens, least=1)
        string("question", question)
        sequence("passages", passages, Passage)
        before = self._size([render(p.title, p.text) for p in passages])
        if before.tokens <= max_tokens:
            kept = tuple(whole(at, passage) for at, passage in enumerate(passages))
            return Selection(
                kept=kept, tokens_before=before.tokens, tokens=before.tokens, exact=before.exact
            )
        documents = [split_parts(passage.text, max_tokens) for passage in passages]
        ranked = [chunk for at, parts in enumerate(documents) for chunk in chunks(at, parts)]
        scored = self._scored(question, passages, ranked, max_tokens)
        picks = fill_budget(scored, max_tokens)
        # Joined parts may cost a few tokens more than apart: then the last picks are dropped.
        while True:
            kept = _assembled(picks, passages, documents)
            after = self._size([render(k.title, k.text) for k in kept])
            over = after.tokens - max_tokens
            if over <= 0 or not picks:
                return Selection(
                    kept=kept,
                    tokens_before=before.tokens,
                    tokens=after.tokens,
                    exact=before.exact,
                    probability=kept_probability(scored, picks),
                    found=min(1.0, sum(part.probability for part in scored)),
                )
            while over > 0 and picks:
                over -= max(1, picks.pop().tokens)

    def keep(
        self,
        question: str,
        passages: Sequence[Passage],
        *,
        max_tokens: int,
        shown: Shown | None = None,
    ) -> tuple[KeptPassage, ...] | None:
        """Return what to keep of an app's passages, in order; None if all stay unchanged.

        They stay unchanged if they fit, if not one part fits (a prompt without context would
        be a different one), or if the selection fails, with a warning. More than `max_tokens` is
        kept, or everything, if less is unlikely to hold the answer: `keeping` decides. Passages
        without text, such as images, always stay. `shown` counts the tokens that the model gets
        for the kept passages, for frameworks that add text to them; the budget then limits that
        count.
        """
        with FailOpen(__name__, "Retrieved context could not be cut; it is sent unchanged"):
            keeping = Keeping(passages, self._selected, self._count, shown)
            if keeping.fits(max_tokens):
                return None
            kept, cut = keeping.keep(question, max_tokens, self._min_probability)
            with FailOpen(__name__, "`report` failed; the context is cut all the same"):
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
        ranked: Sequence[Chunk],
        max_tokens: int,
    ) -> list[ScoredPart]:
        """Return every part of every chunk, with its value and its cost."""
        ranking = self._ranked(question, passages, ranked)
        costs = self._costs(ranked, ranking, max_tokens)
        titles = [self._size([p.title + "\n"]).tokens if p.title else 0 for p in passages]
        scored: list[ScoredPart] = []
        for number, (chunk, cost, passage_share, own) in enumerate(
            zip(ranked, costs, ranking.passages, ranking.sentences, strict=True)
        ):
            clauses = [each.passages[number] * each.sentences[number] for each in ranking.clauses]
            near = _NEIGHBOUR * neighbours(own) + _HEADER * headers(chunk, own)
            value = passage_share * (own + near)
            scored += [
                ScoredPart(
                    document=chunk.document,
                    at=chunk.at + at,
                    text=part.text,
                    value=float(value[at]),
                    probability=float(passage_share * own[at]),
                    by_clause=tuple(float(each[at]) for each in clauses),
                    tokens=cost[at],
                    title_tokens=titles[chunk.document],
                    mark_tokens=_MARK_TOKENS[part.style],
                    needs=part.needs,
                    alone=part.alone,
                )
                for at, part in enumerate(chunk.parts)
            ]
        return scored

    def _ranked(
        self, question: str, passages: Sequence[Passage], ranked: Sequence[Chunk]
    ) -> Ranking:
        """Rank the chunks; if only some passages have a title, it is ranked as their text.

        Title and text weigh differently, which would set those with a title apart from the others.
        """
        titled = all(passage.title for passage in passages)
        texts = []
        for chunk in ranked:
            first, *others = (part.text for part in chunk.parts)
            title = passages[chunk.document].title
            texts.append((first if titled or not title else f"{title}\n{first}", *others))
        return rank(
            question,
            [
                Passage(title=passages[chunk.document].title if titled else "", text=" ".join(own))
                for chunk, own in zip(ranked, texts, strict=True)
            ],
            parts=texts,
            embed=self._embed,
            weights=self._weights,
        )

    def _costs(
        self, ranked: Sequence[Chunk], ranking: Ranking, max_tokens: int
    ) -> list[Sequence[int]]:
        """Return the tokens of each chunk's parts, exact if they are likely to be kept."""
        costs: list[Sequence[int]] = [()] * len(ranked)
        counted = 0
        for at in np.argsort(-ranking.passages, kind="stable"):
            parts = ranked[at].parts
            if counted < _EXACT_BUDGETS * max_tokens:
                costs[at] = [self._size([_counted(part)]).tokens for part in parts]
                counted += sum(costs[at])
            else:
                costs[at] = [1 + len(part.text) // _SHORTEST_TOKEN for part in parts]
        return costs

    def _size(self, texts: Sequence[str]) -> TokenCount:
        counts = [self._counter.count(text, self._model) for text in texts]
        return sum(counts, TokenCount(tokens=0, exact=True))


def _counted(part: Part) -> str:
    """Return a part as its tokens are counted: a sentence with a blank, a line with its end."""
    return " " + part.text if part.style == "sentence" else part.text + part.tail


def _assembled(
    picks: Sequence[Pick], passages: Sequence[Passage], documents: Sequence[Sequence[Part]]
) -> tuple[KeptPassage, ...]:
    """Join the picked parts, document by document."""
    chosen: dict[int, dict[int, float]] = {}
    for pick in picks:
        for scored in pick.parts:
            chosen.setdefault(scored.document, {})[scored.at] = scored.probability
    kept = []
    for index, own in sorted(chosen.items()):
        parts = documents[index]
        complete = all(at in own or not part.alone for at, part in enumerate(parts))
        kept.append(
            KeptPassage(
                index=index,
                title=passages[index].title,
                text=passages[index].text if complete else joined(parts, own),
                whole=complete,
                probability=sum(own.values()),
            )
        )
    return tuple(kept)
