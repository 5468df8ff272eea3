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

from llm_optimizers.arguments import (
    fields,
    function,
    instance,
    number,
    optional,
    sequence,
    share,
    string,
    text,
    whole,
)
from llm_optimizers.embeddings import Embed
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

    def __post_init__(self) -> None:
        fields(self, {"input": str, "output": str})


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
        self._most = whole("most", most, least=0)
        self._max_tokens = optional(whole, "max_tokens", max_tokens, least=0)
        self._diversity = share("diversity", diversity)
        self._model = text("model", model)
        self._counter = optional(instance, "counter", counter, TokenCounter) or TokenCounter()
        self._embed = optional(function, "embed", embed)

    def select(
        self, question: str | None, pool: Sequence[Example], *, most: int | None = None
    ) -> tuple[Example, ...]:
        """Return the examples to show with `question`, in the pool's order.

        `most` replaces the selector's own limit.
        """
        wanted = self._most if most is None else whole("most", most, least=0)
        pool = sequence("pool", pool, Example)
        optional(string, "question", question)
        if not pool or not wanted:
            return ()
        texts = [example.input for example in pool]
        if question is not None:
            texts.append(question)
        likeness = _likeness(texts, self._embed)
        relevance = likeness(None if question is None else len(pool))
        redundancy = np.zeros(len(texts))
        left = self._max_tokens
        costs = None if left is None else [self._cost(example) for example in pool]
        candidates = list(range(len(pool)))
        picked: list[int] = []
        while len(picked) < wanted:
            if costs is not None and left is not None:
                candidates = [at for at in candidates if costs[at] <= left]
            if not candidates:
                break
            marginal = (1 - self._diversity) * relevance - self._diversity * redundancy
            best = max(candidates, key=lambda at: (float(marginal[at]), -at))
            candidates.remove(best)
            similar = likeness(best)
            redundancy = np.maximum(redundancy, similar) if picked else similar
            picked.append(best)
            if costs is not None and left is not None:
                left -= costs[best]
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
    labelled = sequence("labelled", labelled, Example, least=2)  # each is tried with the rest
    function("answer", answer)
    instance("selector", selector, ExampleSelector)
    whole("most", most, least=1)
    number("tolerance", tolerance, least=0)
    optional(function, "score", score)
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


def _likeness(texts: Sequence[str], embed: Embed | None) -> Callable[[int | None], Floats]:
    """Return a function from a text's place to all texts' cosine similarity to it, (n,).

    Of embeddings, or of TF-IDF weights. None stands for the mean of all texts. The similarities of
    all pairs are never made: a pool of 10,000 examples would need a gigabyte.
    """
    if embed is not None:
        vectors = np.asarray(embed(texts), dtype=np.float64)
        return lambda at: np.asarray(
            vectors @ (vectors.mean(axis=0) if at is None else vectors[at])
        )
    bags = [Counter(topical_terms(text)) for text in texts]
    frequency = Counter(term for bag in bags for term in bag)
    columns = {term: at for at, term in enumerate(sorted(frequency))}
    rows = np.array([at for at, bag in enumerate(bags) for _ in bag], dtype=np.intp)
    terms = np.array([columns[term] for bag in bags for term in bag], dtype=np.intp)
    weights = np.array(
        [
            (1 + math.log(count)) * math.log(1 + len(texts) / frequency[term])
            for bag in bags
            for term, count in bag.items()
        ],
        dtype=np.float64,
    )
    weights /= np.sqrt(np.bincount(rows, weights**2, len(texts)))[rows]

    def likeness(at: int | None) -> Floats:
        of = slice(None) if at is None else rows == at
        other = np.bincount(terms[of], weights[of], len(columns)).astype(np.float64)
        if at is None:
            other = other / len(texts)
        return np.bincount(rows, weights * other[terms], len(texts)).astype(np.float64)

    return likeness
