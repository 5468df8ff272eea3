"""Few-shot examples that are enough, and outputs that are no longer than they need be."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import Example, ExampleSelector, OutputLimits, TokenCounter
from llm_optimizers.prompts.examples import enough_examples, level_off
from llm_optimizers.prompts.outputs import shaped, uncapped
from llm_optimizers.types import ChatRequest, Message

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


def test_diversity_passes_over_a_near_copy() -> None:
    question = "Where is my parcel with the lamp from Lisbon?"
    alike = ExampleSelector(diversity=0).select(question, POOL)
    diverse = ExampleSelector(diversity=0.5).select(question, POOL)
    assert alike == (POOL[0], POOL[1])
    assert diverse == (POOL[0], POOL[2])


def test_without_a_question_every_request_gets_the_same() -> None:
    selector = ExampleSelector(most=3)
    assert selector.select(None, POOL) == selector.select(None, POOL)
    assert len(selector.select(None, POOL)) == 3


def test_an_embedder_sees_what_words_do_not() -> None:
    def embed(texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[float("money" in t or "cash" in t), 0.2] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    assert ExampleSelector(most=1, embed=embed).select("cash", POOL) == (POOL[2],)


@given(st.integers(0, 6), st.integers(0, 60), st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_bounds_hold(most: int, budget: int, question: str) -> None:
    selector = ExampleSelector(most=most, max_tokens=budget, counter=counter)
    chosen = selector.select(question, POOL)
    assert len(chosen) <= most
    tokens = [counter.count(f"{e.input}\n{e.output}", "gpt-4o").tokens for e in chosen]
    assert sum(tokens) <= budget
    assert chosen == selector.select(question, POOL)


def test_an_empty_pool_gives_no_examples_and_bad_bounds_are_refused() -> None:
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
def test_it_stops_where_quality_levels_off(qualities: list[float], best: int, tried: int) -> None:
    found, trials = level_off(lambda n: qualities[n], most=len(qualities) - 1)
    assert found == best
    assert len(trials) == tried


def test_enough_examples_are_found_on_the_users_own() -> None:
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

    best, trials = enough_examples(labelled, answer, selector=ExampleSelector())
    assert best == 1
    assert [(t.examples, t.quality, t.questions) for t in trials[:2]] == [(0, 0.0, 8), (1, 1.0, 8)]
    assert max(shown) <= 3
    with pytest.raises(ConfigurationError):
        enough_examples(labelled[:1], answer, selector=ExampleSelector())


def request(model: str = "gpt-4o", **params: object) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message(role="user", content="Hi"),), params=params)


def test_a_cap_is_learned_from_a_tasks_own_answers() -> None:
    limits = OutputLimits(enough=10)
    for length in range(9):
        limits.observe("label", 4 + length)
    assert limits.cap("label") is None
    limits.observe("label", 20)
    cap = limits.cap("label")
    assert cap is not None
    assert (cap.tokens, cap.answers, cap.truncation_rate) == (30, 10, 0.0)
    assert limits.cap("essay") is None
    assert limits.capped(request(), "label").params == {"max_tokens": 30}
    assert limits.capped(request("o3-mini"), "label").params == {"max_completion_tokens": 30}


def test_a_cap_that_cuts_shows_it_and_rises() -> None:
    limits = OutputLimits(enough=4)
    for _ in range(4):
        limits.observe("t", 100)
    before = limits.cap("t")
    for _ in range(4):
        limits.observe("t", 150, truncated=True)
    after = limits.cap("t")
    assert before is not None
    assert after is not None
    assert after.truncation_rate == 0.5
    assert after.tokens == 2 * 150 * 1.5 > before.tokens


def test_the_users_own_cap_stays() -> None:
    limits = OutputLimits(enough=1)
    limits.observe("t", 5)
    own = request(max_tokens=900)
    assert limits.capped(own, "t") is own
    assert limits.capped(request(), "unknown").params == {}


def test_an_answer_cut_by_our_cap_is_asked_for_again() -> None:
    limits = OutputLimits(enough=1)
    limits.observe("t", 5)
    original = request()
    sent = limits.capped(original, "t")
    assert uncapped(sent, original, "length") is original
    assert uncapped(sent, original, "stop") is None
    own = request(max_tokens=5)
    assert uncapped(own, own, "length") is None


def test_limits_hold_under_threads() -> None:
    limits = OutputLimits(enough=1, window=10_000)

    def work() -> None:
        for _ in range(500):
            limits.observe("t", 10)
            limits.cap("t")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cap = limits.cap("t")
    assert cap is not None
    assert cap.answers == 2_000


def test_forms_and_schemas_are_set_where_the_model_takes_them() -> None:
    schema = {"title": "label", "type": "object", "properties": {}, "additionalProperties": False}
    assert shaped(request(), form="line").params["stop"] == ["\n"]
    assert "stop" not in shaped(request("o3"), form="line").params
    assert shaped(request(stop=["x"]), form="line").params["stop"] == ["x"]
    formatted = shaped(request(), schema=schema).params["response_format"]
    assert formatted["json_schema"]["name"] == "label"
    assert formatted["json_schema"]["strict"] is True
    assert shaped(request(), schema={"type": "object"}).params["response_format"]["json_schema"][
        "strict"
    ] is False  # fmt: skip
    assert "response_format" not in shaped(request("claude-sonnet-4-5"), schema=schema).params
