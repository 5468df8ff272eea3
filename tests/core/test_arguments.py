"""What each check of an argument takes, what it refuses, and what it says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import numpy
import pytest
from pydantic import BaseModel, ValidationError

from llm_optimizers import arguments
from llm_optimizers.errors import ConfigurationError

NAN, INFINITY = float("nan"), float("inf")
WHOLE = [1.5, 1.0, NAN, INFINITY, True, "1", None, [1], Decimal(1)]
NUMBER = [NAN, INFINITY, -INFINITY, True, "1", None, [1], Decimal("NaN"), Decimal("sNaN"), 1j]


async def later() -> None: ...


class Later:
    async def __call__(self) -> None: ...


class Holder:
    def __init__(self, x: Any) -> None:
        self.x = x


class Settings(BaseModel):
    size: Annotated[int | None, arguments.field(arguments.whole, least=1, none=True)] = None


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
    (lambda v: arguments.function("x", v), [later, Later(), partial(later)]),
    (lambda v: arguments.string("x", v), [None, 5, b"a"]),
    (lambda v: arguments.amount("x", v), [0.1, True, "1", None, Decimal("NaN"), Decimal("Inf")]),
    (lambda v: arguments.amount("x", v, least=0), [-1, Decimal("-0.1")]),
    (lambda v: arguments.moment("x", v), [datetime(2026, 1, 1), "2026-01-01", 0, None]),  # noqa: DTZ001
    (lambda v: arguments.numbers("x", v), ["12", [NAN], [True], ["1"], {"a": 1}, None]),
    (lambda v: arguments.numbers("x", v, least=2), [[], [1]]),
    (lambda v: arguments.scores("x", v), [{"a": NAN}, {"a": "1"}, [1], None]),
    (lambda v: arguments.shares("x", v), [{}, {"a": -1}, {"a": 0}, {"": 1}, {"a": NAN}]),
    (lambda v: arguments.values("x", v, "texts"), ["text", b"bytes", {"a": 1}, None, 5]),
    (lambda v: arguments.with_methods("x", v, "upper", give="a text"), [None, 5, str]),
    (lambda v: arguments.sequence("x", v, str, least=1), [[]]),
    (lambda v: arguments.mapping("x", v, least=1), [{}]),
    (lambda v: arguments.fields(Holder(v), {"x": int}), [True, 1.0, "1", None]),
]


CASES = [(check, value) for check, values in REFUSED for value in values]


@pytest.mark.parametrize(("check", "value"), CASES)
def test_refused_by_name(check: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^`x(\[.+\])?` is .+; give .+") as raised:
        check(value)
    assert len(str(raised.value)) < 200


TAKEN: list[tuple[Callable[[Any], object], Any]] = [
    (lambda v: arguments.whole("x", v, least=1, most=3), 3),
    (lambda v: arguments.number("x", v, least=0, most=1), 1),
    (lambda v: arguments.number("x", v, above=0), Decimal("0.5")),
    (lambda v: arguments.number("x", v), numpy.float32(0.5)),
    (lambda v: arguments.whole("x", v), numpy.int64(3)),
    (lambda v: arguments.amount("x", v), 3),
    (lambda v: arguments.amount("x", v, least=0), Decimal("0.1")),
    (lambda v: arguments.moment("x", v), datetime(2026, 1, 1, tzinfo=UTC)),
    (lambda v: arguments.string("x", v), ""),
    (lambda v: arguments.numbers("x", v), (1, 2.5)),
    (lambda v: arguments.scores("x", v), {"a": -1.5}),
    (lambda v: arguments.shares("x", v), {"a": 0, "b": 2}),
    (lambda v: arguments.with_methods("x", v, "upper", give="a text"), "a"),
    (lambda v: arguments.mapping("x", v), {"": 1}),
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


def test_numbers_of_numpy_become_pythons_own() -> None:
    assert type(arguments.whole("x", numpy.int64(3))) is int
    assert type(arguments.number("x", numpy.float32(0.5))) is float
    assert arguments.numbers("x", numpy.array([1.0, 2.0])) == (1.0, 2.0)


def test_a_generator_is_not_read_before_it_is_used() -> None:
    given = iter(["a"])
    assert list(arguments.values("x", given, "texts")) == ["a"]


def test_a_field_of_a_pydantic_class_is_checked_by_its_name() -> None:
    assert Settings().size is None
    assert Settings(size=numpy.int64(3)).size == 3
    for wrong in (0, True, "3", 1.5):
        with pytest.raises(ValidationError, match="`size` is"):
            Settings(size=wrong)  # type: ignore[arg-type]


def test_a_secret_is_not_shown() -> None:
    given = ("redis://me:s3cret@host/0", "sk-proj-0123456789abcdef")
    for secret in (*given, list(given)):
        with pytest.raises(ConfigurationError) as raised:
            arguments.whole("n", secret)
        assert not {"s3cret", "0123456789"} & set(re.split(r"[^a-z0-9]", str(raised.value)))


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
    assert (
        said(lambda: arguments.instance("m", object(), dict)) == "`m` is an object; give a mapping"
    )
    assert said(lambda: arguments.text("t", "")) == "`t` is ''; give a text that is not empty"


def test_a_long_or_foreign_value_is_not_shown_whole() -> None:
    with pytest.raises(ConfigurationError) as raised:
        arguments.whole("n", "secret " * 1_000)
    assert len(str(raised.value)) < 150
