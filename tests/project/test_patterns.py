"""No pattern of the package takes time that grows with the square of a text."""

from __future__ import annotations

import re

import pytest

from support.patterns import Shape, Use, grows_too_fast, hostile, text_of, uses

PACKAGES = ("llm_optimizers", "langchain_llm_optimizers", "llama_index_llm_optimizers")
ONLY_MATCHED = frozenset({"llm_optimizers.prompts.context.parts.data_blocks._CLOSES"})


def slow_shape(use: Use) -> Shape | None:
    return next((s for s in hostile(use.pattern) if grows_too_fast(use.run, s)), None)


@pytest.fixture(scope="module")
def found() -> list[Use]:
    return list(uses(PACKAGES, matched=ONLY_MATCHED))


def test_every_pattern_is_linear(found: list[Use]) -> None:
    assert len(found) > 150
    judged = [(use.name, use.pattern.pattern, slow_shape(use)) for use in found]
    assert [each for each in judged if each[-1] is not None] == []


def test_the_exceptions_exist(found: list[Use]) -> None:
    assert {use.name for use in found if use.anchored} >= ONLY_MATCHED


@pytest.mark.parametrize(
    "planted",
    [
        r"\s+$",
        r"(?:[\s,]+(?:please|always))+\W*$",
        r"(\w+)\W*\Z",
        r"\w++\W",
        r"\[[ \t]*\d[ \t]*:?[ \t]*\]",
        r"<a[^>]*x",
    ],
)
def test_a_quadratic_pattern_is_found(planted: str) -> None:
    assert slow_shape(Use(name="planted", pattern=re.compile(planted), anchored=False))


@pytest.mark.parametrize("planted", [r"^\w*\w*$", r"[ \t]*\n?(?:[ \t]+\S|-[ \t])"])
def test_one_that_is_only_matched_is_found(planted: str) -> None:
    assert slow_shape(Use(name="planted", pattern=re.compile(planted), anchored=True))


@pytest.mark.parametrize("linear", [r"(?<!\s)\s++$", r"[a-z]{1,200}x", r"a|b|c"])
def test_a_linear_pattern_is_not(linear: str) -> None:
    assert not slow_shape(Use(name="linear", pattern=re.compile(linear), anchored=False))


def test_a_shape_is_as_long_as_it_should_be() -> None:
    assert text_of(("<", "ab", ">"), 10) == "<ababababab>"
