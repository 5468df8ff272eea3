"""What each check of an argument takes, what it refuses, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers import arguments
from llm_optimizers.errors import ConfigurationError

NAN, INFINITY = float("nan"), float("inf")
WHOLE = [1.5, 1.0, NAN, INFINITY, True, "1", None, [1], Decimal(1)]
NUMBER = [NAN, INFINITY, -INFINITY, True, "1", None, [1], Decimal("NaN"), Decimal("sNaN"), 1j]

REFUSED: list[tuple[Callable[[Any], object], list[Any]]] = [
    (lambda v: arguments.whole("x", v), WHOLE),
    (lambda v: arguments.whole("x", v, least=1), [0, -1]),
    (lambda v: arguments.whole("x", v, least=1, most=3), [0, 4]),
    (lambda v: arguments.number("x", v), NUMBER),
    (lambda v: arguments.number("x", v, above=0), [0, -1, -0.0, Decimal(0)]),
    (lambda v: arguments.number("x", v, below=1), [1, 2]),
    (lambda v: arguments.share("x", v), [-0.1, 1.1, NAN, "0.5"]),
    (lambda v: arguments.flag("x", v), ["no", 1, 0, None]),
    (lambda v: arguments.text("x", v), ["", None, 5, b"a"]),
    (lambda v: arguments.one_of("x", v, ("a", "b")), ["c", "", None, ["a"], 5]),
    (lambda v: arguments.one_of("x", v, (1, 2)), [True, 1.0, "1"]),
    (lambda v: arguments.names("x", v, ("a", "b")), ["a", ["c"], [1], None, {"a": 1}, 5]),
    (lambda v: arguments.sequence("x", v, str), ["text", b"bytes", [1], {"a": 1}, None, 5]),
    (lambda v: arguments.mapping("x", v), [[("a", 1)], "a", {1: "a"}, None]),
    (lambda v: arguments.mapping("x", v, int), [{"a": "b"}, {"a": None}]),
    (lambda v: arguments.function("x", v), [5, "print", None, []]),
    (lambda v: arguments.instance("x", v, dict), [[], None, dict, "a"]),
]
CASES = [(check, value) for check, values in REFUSED for value in values]


@pytest.mark.parametrize(("check", "value"), CASES)
def test_refused_by_name(check: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^`x` is .+; give .+") as raised:
        check(value)
    assert len(str(raised.value)) < 200


TAKEN: list[tuple[Callable[[Any], object], Any]] = [
    (lambda v: arguments.whole("x", v, least=1, most=3), 3),
    (lambda v: arguments.number("x", v, least=0, most=1), 1),
    (lambda v: arguments.number("x", v, above=0), Decimal("0.1")),
    (lambda v: arguments.share("x", v), 0.0),
    (lambda v: arguments.flag("x", v), False),
    (lambda v: arguments.text("x", v), "a"),
    (lambda v: arguments.one_of("x", v, ("a", None)), None),
    (lambda v: arguments.names("x", v, ("a", "b")), frozenset({"a"})),
    (lambda v: arguments.sequence("x", v, str), ("a", "b")),
    (lambda v: arguments.mapping("x", v, int), {"a": 1}),
    (lambda v: arguments.function("x", v), math.sqrt),
    (lambda v: arguments.instance("x", v, (dict, list)), []),
    (lambda v: arguments.optional(arguments.whole, "x", v, least=1), None),
    (lambda v: arguments.optional(arguments.whole, "x", v, least=1), 2),
]


@pytest.mark.parametrize(("check", "value"), TAKEN)
def test_given_back(check: Callable[[Any], object], value: Any) -> None:
    assert check(value) == value


def test_messages_say_what_to_give() -> None:
    def said(check: Callable[[], object]) -> str:
        with pytest.raises(ConfigurationError) as raised:
            check()
        return str(raised.value)

    assert said(lambda: arguments.whole("n", 1.5, least=1)) == (
        "`n` is 1.5; give a whole number of 1 or more"
    )
    assert said(lambda: arguments.number("s", NAN, above=0, most=2)) == (
        "`s` is nan; give a number above 0 and of at most 2"
    )
    assert said(lambda: arguments.names("p", {"nope"}, ("a", "b"))) == (
        "`p` is {'nope'}; give only names of 'a' and 'b'"
    )
    assert said(lambda: arguments.sequence("m", "gpt-4o", str)) == (
        "`m` is 'gpt-4o'; give a list of texts"
    )
    assert said(lambda: arguments.instance("m", object(), dict)) == "`m` is an object; give a dict"
    assert said(lambda: arguments.text("t", "")) == "`t` is ''; give a text that is not empty"


def test_a_long_or_foreign_value_is_not_shown_whole() -> None:
    with pytest.raises(ConfigurationError) as raised:
        arguments.whole("n", "secret " * 1_000)
    assert len(str(raised.value)) < 150
