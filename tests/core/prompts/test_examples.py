"""Few-shot examples: which ones, and how many are enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import Example, ExampleSelector, TokenCounter
from llm_optimizers.prompts.examples import enough_examples, find_plateau

counter = TokenCounter()
POOL = [
    Example(input="Where is my parcel from Lisbon?", output="shipping"),
    Example(input="Where is my parcel from Porto?", output="shipping"),
    Example(input="I want my money back for the broken lamp", output="refund"),
    Example(input="How do I reset the password of my account?", output="account"),
    Example(input="The invoice shows the wrong tax", output="billing"),
]


def test_the_most_relevant_examples_come_in_the_pools_order() -> None:
    chosen = ExampleSelector().select("my password and my account, and a parcel", POOL)
    assert len(chosen) == 2
    assert POOL[3] in chosen
    assert list(chosen) == sorted(chosen, key=POOL.index)


def test_diversity_skips_a_near_copy() -> None:
    question = "Where is my parcel with the lamp from Lisbon?"
    similar = ExampleSelector(diversity=0).select(question, POOL)
    diverse = ExampleSelector(diversity=0.5).select(question, POOL)
    assert similar == (POOL[0], POOL[1])
    assert diverse == (POOL[0], POOL[2])


def test_without_a_question_every_request_gets_the_same_examples() -> None:
    selector = ExampleSelector(most=3)
    assert selector.select(None, POOL) == selector.select(None, POOL)
    assert len(selector.select(None, POOL)) == 3


def test_an_embedder_finds_examples_without_shared_words() -> None:
    def embed(texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[float("money" in t or "cash" in t), 0.2] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    assert ExampleSelector(most=1, embed=embed).select("cash", POOL) == (POOL[2],)


@given(st.integers(0, 6), st.integers(0, 60), st.text(max_size=30))
def test_selection_keeps_its_bounds_and_is_deterministic(
    most: int, budget: int, question: str
) -> None:
    selector = ExampleSelector(most=most, max_tokens=budget, counter=counter)
    chosen = selector.select(question, POOL)
    assert len(chosen) <= most
    tokens = [counter.count(f"{e.input}\n{e.output}", "gpt-4o").tokens for e in chosen]
    assert sum(tokens) <= budget
    assert chosen == selector.select(question, POOL)


def test_an_empty_pool_gives_no_examples_and_bad_bounds_are_rejected() -> None:
    assert ExampleSelector().select("q", []) == ()
    for bad in ({"most": -1}, {"max_tokens": -1}, {"diversity": 2.0}):
        with pytest.raises(ConfigurationError):
            ExampleSelector(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("qualities", "best", "tried"),
    [
        ([0.5, 0.7, 0.9, 0.901, 0.902, 1.0], 2, 5),
        ([0.5, 0.5, 0.9, 0.9, 0.9], 2, 5),  # one step without gain is not the end
        ([0.9, 0.9, 0.9, 1.0], 0, 3),
        ([0.1, 0.2, 0.3], 2, 3),
    ],
)
def test_trials_stop_when_quality_levels_off(qualities: list[float], best: int, tried: int) -> None:
    found, results = find_plateau(lambda n: qualities[n], most=len(qualities) - 1)
    assert found == best
    assert len(results) == tried


def test_enough_examples_measures_on_the_users_own_labels() -> None:
    labelled = [
        Example(input=f"{word}, the {word} of day {n}", output=label)
        for n in range(4)
        for word, label in (("parcel", "shipping"), ("refund", "money"))
    ]
    shown: list[int] = []

    def answer(examples: Sequence[Example], question: str) -> str:
        shown.append(len(examples))
        word = question.split(",")[0]
        return next((e.output for e in examples if e.input.startswith(word)), "unknown")

    best, results = enough_examples(labelled, answer, selector=ExampleSelector())
    assert best == 1
    assert [(t.examples, t.quality, t.questions) for t in results[:2]] == [(0, 0.0, 8), (1, 1.0, 8)]
    assert max(shown) <= 3
    with pytest.raises(ConfigurationError):
        enough_examples(labelled[:1], answer, selector=ExampleSelector())
