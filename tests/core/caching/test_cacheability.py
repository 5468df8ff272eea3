"""Which answers are worth keeping."""

from __future__ import annotations

import pytest

from llm_optimizers.caching import Traits, refuses
from llm_optimizers.caching.cacheability import worst


@pytest.mark.parametrize("reason", ["", "stop", "STOP", "tool_calls", "end_turn", "completed"])
def test_complete_answers_are_kept(reason: str) -> None:
    assert refuses(Traits(finish_reason=reason)) is None


@pytest.mark.parametrize(
    "traits",
    [
        Traits(finish_reason="length"),
        Traits(finish_reason="content_filter"),
        Traits(finish_reason="incomplete"),
        Traits(finish_reason="something new"),
        Traits(refusal=True, finish_reason="stop"),
        Traits(empty=True),
    ],
)
def test_anything_else_is_not(traits: Traits) -> None:
    assert refuses(traits)


def test_an_answer_without_the_reason_that_its_provider_gives_broke_off() -> None:
    assert refuses(Traits(gives_reasons=True))
    assert refuses(Traits(gives_reasons=True, finish_reason="stop")) is None
    assert refuses(Traits(gives_reasons=False)) is None


def test_one_bad_answer_of_several_spoils_the_call() -> None:
    good, cut = Traits(model="m", finish_reason="stop"), Traits(finish_reason="length")
    assert worst([good, cut]) is cut
    assert worst([good, good]) is good
    assert refuses(worst([])) == "empty"
