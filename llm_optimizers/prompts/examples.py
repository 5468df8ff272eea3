"""Few-shot examples: as many as help, chosen by relevance and diversity, in a steady order.

Chosen by maximal marginal relevance (Carbonell and Goldstein, 1998) and always shown in the
pool's own order, so that two questions which pick the same examples share a cached prefix.
Without a question the choice depends on the pool alone and is the same for every request.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from llm_optimizers.embeddings import Embed, normalise_rows
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.comparison import same_words
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.text import topical_terms

__all__ = ["Example", "ExampleCountResult", "ExampleSelector", "enough_examples", "level_off"]

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question and the answer it should get."""

    input: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleCountResult:
    """Mean quality with a number of examples, and how many questions it was measured on."""

    examples: int
    quality: float
    questions: int


class ExampleSelector:
    """Picks at most `most` examples within a token budget.

    `diversity` weighs unlikeness to the examples already picked against likeness to the question:
    0 is likeness alone, 1 unlikeness alone.

    Raises:
        ConfigurationError: a bound is negative or `diversity` outside 0 to 1.
    """

    def __init__(
        self,
        *,
        most: int = 2,
        max_tokens: int | None = None,
        diversity: float = 0.3,
        model: str = "gpt-4o",
        counter: TokenCounter | None = None,
        embed: Embed | None = None,
    ) -> None:
        if most < 0 or (max_tokens is not None and max_tokens < 0):
            raise ConfigurationError("`most` and `max_tokens` must be 0 or more")
        if not 0 <= diversity <= 1:
            raise ConfigurationError(f"`diversity` is {diversity}; give a number from 0 to 1")
        self._most = most
        self._max_tokens = max_tokens
        self._diversity = diversity
        self._model = model
        self._counter = counter or TokenCounter()
        self._embed = embed

    def select(
        self, question: str | None, pool: Sequence[Example], *, most: int | None = None
    ) -> tuple[Example, ...]:
        """The examples to show with `question`, in the pool's order; `most` overrides the bound."""
        wanted = self._most if most is None else most
        if not pool or not wanted:
            return ()
        texts = [example.input for example in pool]
        likeness = _likeness([*texts, question] if question is not None else texts, self._embed)
        among = likeness[: len(pool), : len(pool)]
        relevance = likeness[len(pool), : len(pool)] if question is not None else among.mean(axis=0)
        picked: list[int] = []
        left = self._max_tokens
        candidates = list(range(len(pool)))
        while candidates and len(picked) < wanted:
            best = max(candidates, key=lambda at: (self._merit(at, picked, relevance, among), -at))
            candidates.remove(best)
            cost = self._cost(pool[best])
            if left is None or cost <= left:
                picked.append(best)
                left = None if left is None else left - cost
        return tuple(pool[at] for at in sorted(picked))

    def _merit(self, at: int, picked: Sequence[int], relevance: Floats, among: Floats) -> float:
        alike = max((float(among[at, other]) for other in picked), default=0.0)
        return (1 - self._diversity) * float(relevance[at]) - self._diversity * alike

    def _cost(self, example: Example) -> int:
        return self._counter.count(f"{example.input}\n{example.output}", self._model).tokens


def level_off(
    quality: Callable[[int], float], *, most: int = 8, tolerance: float = 0.01
) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Try 0, 1, 2 … examples; the number after which two more steps gain no `tolerance`.

    Returns the number and every (examples, quality) tried. Two steps, because one unlucky
    example says little.
    """
    tried: list[tuple[int, float]] = []
    best, held = 0, 0
    for count in range(most + 1):
        tried.append((count, quality(count)))
        if count and tried[count][1] < tried[best][1] + tolerance:
            held += 1
        else:
            best, held = count, 0
        if held == 2:
            break
    return best, tuple(tried)


def enough_examples(
    labelled: Sequence[Example],
    answer: Callable[[Sequence[Example], str], str],
    *,
    selector: ExampleSelector,
    score: Callable[[str, str], float] | None = None,
    most: int = 8,
    tolerance: float = 0.01,
) -> tuple[int, tuple[ExampleCountResult, ...]]:
    """How many examples are enough on the user's own labelled questions.

    Each question is asked with examples picked from the others. `answer(examples, question)` calls
    the user's model; `score(given, wanted)` is 1 for a right answer, by default when both say the
    same words.

    Raises:
        ConfigurationError: fewer than two labelled examples.
    """
    if len(labelled) < 2:
        raise ConfigurationError("give two or more labelled examples; each is tried with the rest")
    judge = score or same_words

    def quality(count: int) -> float:
        marks = []
        for at, asked in enumerate(labelled):
            others = [*labelled[:at], *labelled[at + 1 :]]
            shown = selector.select(asked.input, others, most=count)
            marks.append(judge(answer(shown, asked.input), asked.output))
        return sum(marks) / len(marks)

    best, tried = level_off(quality, most=min(most, len(labelled) - 1), tolerance=tolerance)
    return best, tuple(
        ExampleCountResult(examples=n, quality=q, questions=len(labelled)) for n, q in tried
    )


def _likeness(texts: Sequence[str], embed: Embed | None) -> Floats:
    """Cosines of all pairs, by the embedder or by rare words in common."""
    if embed is not None:
        vectors = np.asarray(embed(texts), dtype=np.float64)
        return np.asarray(vectors @ vectors.T)
    bags = [Counter(topical_terms(text)) for text in texts]
    held = Counter(term for bag in bags for term in bag)
    places = {term: at for at, term in enumerate(sorted(held))}
    vectors = np.zeros((len(texts), max(1, len(places))))
    for row, bag in zip(vectors, bags, strict=True):
        for term, count in bag.items():
            row[places[term]] = (1 + math.log(count)) * math.log(1 + len(texts) / held[term])
    vectors = normalise_rows(vectors)
    return np.asarray(vectors @ vectors.T)
