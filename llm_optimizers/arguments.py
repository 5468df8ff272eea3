"""Checks of arguments: what cannot work is refused where it is given, by name.

Each check returns the value it was given, as its type, so that a constructor checks and keeps it in
one line. Every message has the same form: "`concurrency` is 1.5; give a whole number of 1 or more".

    self._slots = whole("concurrency", concurrency, least=1)
    self._limit = optional(number, "max_cost", max_cost, above=0)
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from llm_optimizers.errors import ConfigurationError

__all__ = [
    "flag",
    "function",
    "instance",
    "mapping",
    "names",
    "number",
    "one_of",
    "optional",
    "refuse",
    "sequence",
    "share",
    "text",
    "whole",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N", float, Decimal)
P = ParamSpec("P")

_SHOWN = 60  # characters of a wrong value in a message
_PLAIN = {str: "text", int: "whole number", float: "number"}
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _SHOWN


def refuse(name: str, value: object, give: str) -> NoReturn:
    """Refuse an argument; `give` says what to give instead.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(f"`{name}` is {_described(value)}; give {give}")


def optional(
    check: Callable[Concatenate[str, Any, P], T],
    name: str,
    value: object,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T | None:
    """Check an argument that may be None."""
    return None if value is None else check(name, value, *args, **kwargs)


def whole(name: str, value: object, *, least: int | None = None, most: int | None = None) -> int:
    """Check a whole number: no bool, no fraction, no text."""
    if isinstance(value, int) and not isinstance(value, bool) and _inside(value, least, most):
        return value
    refuse(name, value, f"a whole number{_range(least, most)}")


def number(
    name: str,
    value: N,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> N:
    """Check a finite number: no bool, no NaN, no infinity, no text."""
    given: object = value  # whatever its type says
    if (
        isinstance(given, int | float | Decimal)
        and not isinstance(given, bool)
        and _is_finite(given)
        and _inside(value, least, most)
        and (above is None or value > above)
        and (below is None or value < below)
    ):
        return value
    refuse(name, value, f"a number{_range(least, most, above, below)}")


def share(name: str, value: float) -> float:
    """Check a number from 0 to 1."""
    return number(name, value, least=0, most=1)


def flag(name: str, value: object) -> bool:
    """Check a bool: a text such as "no" would count as yes."""
    if isinstance(value, bool):
        return value
    refuse(name, value, "True or False")


def text(name: str, value: object) -> str:
    """Check a text that is not empty."""
    if isinstance(value, str) and value:
        return value
    refuse(name, value, "a text" if not isinstance(value, str) else "a text that is not empty")


def one_of(name: str, value: T, known: Iterable[T]) -> T:
    """Check a value that is one of a few."""
    choices = list(known)
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    refuse(name, value, _listed(choices, last="or"))


def names(name: str, value: object, known: Iterable[str]) -> frozenset[str]:
    """Check a set of known names; one name alone is no set."""
    choices = list(known)
    given = sequence(name, value, str)
    unknown = [each for each in given if each not in choices]
    if unknown:
        refuse(name, value, f"only names of {_listed(choices, last='and')}")
    return frozenset(given)


def sequence(name: str, value: object, kind: type[T] | tuple[type, ...]) -> tuple[T, ...]:
    """Check a list, tuple or set whose values are of a kind; a text is no list of its letters."""
    if isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping):
        given = tuple(value)
        if all(isinstance(each, kind) for each in given):
            return given
    refuse(name, value, f"a list of {_kinds(kind, of_many=True)}")


def mapping(
    name: str, value: object, kind: type[T] | tuple[type, ...] | None = None
) -> dict[str, T]:
    """Check a mapping from names to values of a kind (None: any)."""
    if (
        isinstance(value, Mapping)
        and all(isinstance(each, str) for each in value)
        and (kind is None or all(isinstance(each, kind) for each in value.values()))
    ):
        return dict(value)
    refuse(
        name,
        value,
        "a mapping from names" + ("" if kind is None else f" to {_kinds(kind, of_many=True)}"),
    )


def function(name: str, value: F) -> F:
    """Check what is called later."""
    if callable(value):
        return value
    refuse(name, value, "a function")


def instance(
    name: str, value: object, kind: type[T] | tuple[type, ...], *, give: str | None = None
) -> T:
    """Check an object's class; `give` says how to make one, where the class does not."""
    if isinstance(value, kind):
        return value  # type: ignore[return-value]  # a tuple of classes has no one type
    refuse(name, value, give or _kinds(kind))


def _is_finite(value: float | Decimal) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def _inside(value: Any, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _range(
    least: float | None,
    most: float | None,
    above: float | None = None,
    below: float | None = None,
) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    parts = [f"above {above}"] if above is not None else []
    parts += [f"of {least} or more"] if least is not None else []
    parts += [f"below {below}"] if below is not None else []
    parts += [f"of at most {most}"] if most is not None else []
    return "".join(f" {part}" for part in (" and ".join(parts),) if part)


def _described(value: object) -> str:
    """Return a value as it is shown in a message: plain ones whole, others by their class."""
    if value is None or isinstance(value, str | bytes | int | float | Decimal):
        return _short.repr(value)
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        return _short.repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{_article(type(value).__name__)} {type(value).__name__}"


def _kinds(kind: type | tuple[type, ...], *, of_many: bool = False) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    called = [_PLAIN.get(each, each.__name__) for each in kinds]
    return _listed(
        [f"{each}s" if of_many else f"{_article(each)} {each}" for each in called],
        last="or",
        quoted=False,
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiouAEIOU" else "a"


def _listed(choices: list[Any], *, last: str, quoted: bool = True) -> str:
    shown = [repr(each) if quoted else str(each) for each in choices]
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
