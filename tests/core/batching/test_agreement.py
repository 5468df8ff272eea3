"""When the gate of combined prompts opens, at the edges of its settings."""

from __future__ import annotations

import json
from typing import Any

from llm_optimizers.batching.combining.agreement import compare_combined
from llm_optimizers.batching.combining.ask import BilledAnswer
from llm_optimizers.costs import Usage
from llm_optimizers.evidence import rate_upper_bound
from llm_optimizers.types import ChatRequest, Message


def ask_for(text: str, *, system: str = "Be brief.", **params: Any) -> ChatRequest:
    messages = (Message(role="system", content=system), Message(role="user", content=text))
    return ChatRequest(messages=messages, model="fake", params=params)


def sample(count: int, **params: Any) -> list[ChatRequest]:
    return [ask_for(f"question {n}", **params) for n in range(count)]


class Model:
    """Answers with the question; keeps how many questions each call held."""

    def __init__(self, differs_on: frozenset[str] = frozenset()) -> None:
        self.sizes: list[int] = []
        self.systems: list[str] = []
        self._differs_on = differs_on

    def __call__(self, request: ChatRequest) -> BilledAnswer:
        text = request.messages[-1].text
        usage = Usage(input_tokens=10, output_tokens=10)
        if "response_format" not in request.params:
            self.sizes.append(1)
            return BilledAnswer(text=text, usage=usage)
        asked = json.loads(text.split("\n\n")[1])
        self.sizes.append(len(asked))
        answers = [
            {
                "id": question["id"],
                "answer": "?" if question["request"] in self._differs_on else question["request"],
            }
            for question in asked
        ]
        return BilledAnswer(text=json.dumps({"answers": answers}), usage=usage)


def test_only_requests_that_may_share_a_prompt_are_combined() -> None:
    model = Model()
    mixed = [ask_for(f"question {n}", system=f"Be {n % 2}.") for n in range(8)]
    compare_combined(mixed, model, tolerance=0.5)
    assert [size for size in model.sizes if size > 1] == [4, 4]


def test_groups_have_the_size_that_was_asked_for() -> None:
    model = Model()
    compare_combined(sample(7), model, size=3, tolerance=0.5)
    assert [size for size in model.sizes if size > 1] == [3, 3]
    assert model.sizes.count(1) == 7 + 1


def test_a_bound_equal_to_the_tolerance_opens_the_gate() -> None:
    bound = rate_upper_bound(0, 12, confidence=0.9)
    report = compare_combined(sample(12), Model(), tolerance=bound)
    assert report.passed
    assert "within the" in report.reason
    assert not compare_combined(sample(12), Model(), tolerance=bound - 1e-6).passed


def test_a_share_of_differing_answers_equal_to_the_tolerance_is_not_called_too_many() -> None:
    model = Model(differs_on=frozenset({"question 3"}))
    report = compare_combined(sample(10), model, tolerance=0.1)
    assert not report.passed
    assert report.reason.startswith("10 samples with 1 differing show only")


def test_few_differing_answers_in_a_large_sample_are_not_called_too_many() -> None:
    model = Model(differs_on=frozenset({"question 3"}))
    report = compare_combined(sample(24), model, tolerance=0.05, confidence=0.99)
    assert not report.passed
    assert report.reason.startswith("24 samples with 1 differing show only")
