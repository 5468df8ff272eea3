"""How many answers a call asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llm_optimizers.settings.choices import CHOICE_SETTINGS, choices_of, stated_choices


@pytest.mark.parametrize(
    ("sources", "choices"),
    [
        (({},), None),
        (({"n": 3},), 3),
        (({"n": None},), None),
        (({"n": 0},), None),
        (({"n": True},), None),
        (({"n": "3"},), None),
        (({"candidate_count": 2},), 2),
        (({"extra_body": {"n": 4}, "n": 1},), 4),
        (({"model_kwargs": {"generation_config": {"candidateCount": 2}}},), 2),
        (({"generationConfig": {"candidateCount": 3}},), 3),
        ((SimpleNamespace(pipeline_kwargs={"num_return_sequences": 2}),), 2),
        (({"best_of": 5},), None),
        (({}, SimpleNamespace(n=3)), 3),
        (({"n": 1}, SimpleNamespace(n=3)), 1),
        ((SimpleNamespace(n=None, additional_kwargs={"n": 2}),), 2),
        ((SimpleNamespace(), SimpleNamespace(num_generations=2)), 2),
    ],
)
def test_the_first_source_that_says_so_decides(sources: Any, choices: int | None) -> None:
    assert stated_choices(*sources) == choices
    assert choices_of(*sources) == (choices or 1)


@pytest.mark.parametrize("name", CHOICE_SETTINGS)
def test_every_name_of_the_setting_is_read(name: str) -> None:
    assert choices_of({name: 2}) == 2
