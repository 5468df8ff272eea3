"""No pattern of the package takes time that grows with the square of a text."""

from __future__ import annotations

import re

import pytest

from support.patterns import Shape, Use, grows_too_fast, hostile, text_of, uses

PACKAGES = ("llm_optimizers", "langchain_llm_optimizers", "llama_index_llm_optimizers")
ONLY_MATCHED = frozenset({"llm_optimizers.prompts.context.parts.data_blocks._CLOSES"})


def slow_shape(use: Use) -> Shape | None:
    return next((s for s in hostile(use.pattern) if grows_too_fast(use.run, s)), None)


def test_every_pattern_is_linear() -> None:
    found = list(uses(PACKAGES, matched=ONLY_MATCHED))
    assert len(found) > 150
    slow = {use.name: (use.pattern.pattern, slow_shape(use)) for use in found}
    assert {name: found for name, found in slow.items() if found[1] is not None} == {}


def test_the_exceptions_exist() -> None:
    assert {
        use.name for use in uses(PACKAGES, matched=ONLY_MATCHED) if use.anchored
    } >= ONLY_MATCHED


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


@pytest.mark.parametrize("planted", [r"^(?:\w+\s?)*$", r"[ \t]*\n?(?:[ \t]+\S|-[ \t])"])
def test_one_that_is_only_matched_is_found(planted: str) -> None:
    pattern = re.compile(planted.replace(r"(?:\w+\s?)*", r"\w*\w*"))
    assert slow_shape(Use(name="planted", pattern=pattern, anchored=True))


@pytest.mark.parametrize("linear", [r"(?<!\s)\s++$", r"[a-z]{1,200}x", r"a|b|c"])
def test_a_linear_pattern_is_not(linear: str) -> None:
    assert not slow_shape(Use(name="linear", pattern=re.compile(linear), anchored=False))


def test_a_shape_is_as_long_as_it_should_be() -> None:
    assert text_of(("<", "ab", ">"), 10) == "<ababababab>"
