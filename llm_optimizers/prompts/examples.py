"""Choose few-shot examples by relevance and diversity, and find out how many are enough.

Examples are chosen by maximal marginal relevance (Carbonell and Goldstein, 1998) and always shown
in the pool's order, so that two questions with the same examples share a cached prefix. Without a
question the choice depends on the pool alone and is the same for every request.
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

__all__ = ["Example", "ExampleCountResult", "ExampleSelector", "enough_examples", "find_plateau"]

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question and its right answer."""

    input: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleCountResult:
    """The mean quality with a number of examples, and how many questions it was measured on."""

    examples: int
    quality: float
    questions: int


class ExampleSelector:
    """Selects at most `most` examples within a token budget.

    `diversity` weighs difference from the examples already selected against similarity to the
    question: 0 is similarity only, 1 difference only.

    Raises:
        ConfigurationError: a bound is negative, or `diversity` is not between 0 and 1.
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
        """Return the examples to show with `question`, in the pool's order.

        `most` replaces the selector's own limit.
        """
        wanted = self._most if most is None else most
        if not pool or not wanted:
            return ()
        texts = [example.input for example in pool]
        if question is not None:
            texts.append(question)
        similarity = _similarities(texts, self._embed)
        among = similarity[: len(pool), : len(pool)]
        relevance = among.mean(axis=0) if question is None else similarity[-1, : len(pool)]

        def marginal_relevance(at: int) -> float:
            redundancy = max((float(among[at, other]) for other in picked), default=0.0)
            return (1 - self._diversity) * float(relevance[at]) - self._diversity * redundancy

        picked: list[int] = []
        left = self._max_tokens
        candidates = list(range(len(pool)))
        while candidates and len(picked) < wanted:
            best = max(candidates, key=lambda at: (marginal_relevance(at), -at))
            candidates.remove(best)
            cost = self._cost(pool[best])
            if left is None or cost <= left:
                picked.append(best)
                left = None if left is None else left - cost
        return tuple(pool[at] for at in sorted(picked))

    def _cost(self, example: Example) -> int:
        return self._counter.count(f"{example.input}\n{example.output}", self._model).tokens


def find_plateau(
    quality: Callable[[int], float], *, most: int = 8, tolerance: float = 0.01
) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Try 0, 1, 2 … examples until two steps in a row gain less than `tolerance`.

    Returns the best number and every (examples, quality) tried. One step is not enough, because
    one bad example proves little.
    """
    tried: list[tuple[int, float]] = []
    best, without_gain = 0, 0
    for count in range(most + 1):
        tried.append((count, quality(count)))
        if count and tried[count][1] < tried[best][1] + tolerance:
            without_gain += 1
        else:
            best, without_gain = count, 0
        if without_gain == 2:
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
    """Measure how many examples are enough on the user's own labelled questions.

    Each question is asked with examples selected from the others. `answer(examples, question)`
    calls the user's model; `score(given, expected)` is 1 for a right answer, by default one with
    the same words as expected.

    Raises:
        ConfigurationError: there are fewer than two labelled examples.
    """
    if len(labelled) < 2:
        raise ConfigurationError("give two or more labelled examples; each is tried with the rest")
    grade = score or same_words

    def quality(count: int) -> float:
        scores = []
        for at, held_out in enumerate(labelled):
            others = [*labelled[:at], *labelled[at + 1 :]]
            shown = selector.select(held_out.input, others, most=count)
            scores.append(grade(answer(shown, held_out.input), held_out.output))
        return sum(scores) / len(scores)

    best, tried = find_plateau(quality, most=min(most, len(labelled) - 1), tolerance=tolerance)
    return best, tuple(
        ExampleCountResult(examples=n, quality=q, questions=len(labelled)) for n, q in tried
    )


def _similarities(texts: Sequence[str], embed: Embed | None) -> Floats:
    """Return the cosine similarity of all pairs, (n, n): of embeddings, or of TF-IDF weights."""
    if embed is not None:
        vectors = np.asarray(embed(texts), dtype=np.float64)
        return np.asarray(vectors @ vectors.T)
    bags = [Counter(topical_terms(text)) for text in texts]
    frequency = Counter(term for bag in bags for term in bag)
    columns = {term: at for at, term in enumerate(sorted(frequency))}
    vectors = np.zeros((len(texts), max(1, len(columns))))
    for row, bag in zip(vectors, bags, strict=True):
        for term, count in bag.items():
            row[columns[term]] = (1 + math.log(count)) * math.log(1 + len(texts) / frequency[term])
    vectors = normalise_rows(vectors)
    return np.asarray(vectors @ vectors.T)
