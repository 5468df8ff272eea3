"""Checks of texts, lists and mappings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar, overload

from llm_optimizers.arguments.numbers import number
from llm_optimizers.arguments.refusal import kinds_named, listed, refuse

__all__ = [
    "mapping",
    "names",
    "one_of",
    "scores",
    "sequence",
    "shares",
    "string",
    "text",
    "values",
]

T = TypeVar("T")


def text(name: str, value: object) -> str:
    """Check a text that is not empty."""
    if isinstance(value, str) and value:
        return value
    refuse(name, value, "a text" if not isinstance(value, str) else "a text that is not empty")


def string(name: str, value: object) -> str:
    """Check a text that may be empty."""
    if isinstance(value, str):
        return value
    refuse(name, value, "a text")


def one_of(name: str, value: T, known: Iterable[T]) -> T:
    """Check a value that is one of a few."""
    choices = list(known)
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return value
    refuse(name, value, listed(choices, last="or"))


def names(name: str, value: object, known: Iterable[str]) -> frozenset[Any]:
    """Check a set of known names; one name alone is no set."""
    choices = list(known)
    given = sequence(name, value, str)
    unknown = [each for each in given if each not in choices]
    if unknown:
        refuse(name, value, f"only names of {listed(choices, last='and')}")
    return frozenset(given)


def sequence(
    name: str, value: object, kind: type[T] | tuple[type, ...], *, least: int = 0
) -> tuple[T, ...]:
    """Check a list, tuple or set whose values are of a kind; a text is no list of its letters."""
    if isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping):
        given = tuple(value)
        if len(given) >= least and all(isinstance(each, kind) for each in given):
            return given
    many = f"{least} or more " if least else ""
    refuse(name, value, f"a list of {many}{kinds_named(kind, of_many=True)}")


def values(name: str, value: Iterable[T], of: str) -> Iterable[T]:
    """Check what is only iterated, such as a generator; `of` says what it holds."""
    given: object = value  # whatever its type says
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        return value
    refuse(name, value, f"a list of {of}")


@overload
def mapping(
    name: str, value: object, kind: None = None, *, least: int = 0, blank: bool = True
) -> dict[str, Any]: ...
@overload
def mapping(
    name: str, value: object, kind: type[T], *, least: int = 0, blank: bool = True
) -> dict[str, T]: ...
def mapping(
    name: str,
    value: object,
    kind: type[Any] | None = None,
    *,
    least: int = 0,
    blank: bool = True,
) -> dict[str, Any]:
    """Check a mapping from names (`blank`: also "") to values of a kind (None: any)."""
    if (
        isinstance(value, Mapping)
        and len(value) >= least
        and all(isinstance(each, str) and (each or blank) for each in value)
        and (kind is None or all(isinstance(each, kind) for each in value.values()))
    ):
        return dict(value)
    refuse(
        name,
        value,
        f"a mapping from {f'{least} or more ' if least else ''}names"
        + ("" if kind is None else f" to {kinds_named(kind, of_many=True)}"),
    )


def scores(name: str, value: object) -> dict[str, float]:
    """Check a mapping from names to finite numbers; a grade may be True or False."""
    return {
        each: float(score) if isinstance(score, bool) else number(f"{name}[{each!r}]", score)
        for each, score in mapping(name, value).items()
    }


def shares(name: str, value: object) -> dict[str, float]:
    """Check a mapping from names to numbers of 0 or more, one of them above 0."""
    found = {
        each: number(f"{name}[{each!r}]", share, least=0)
        for each, share in mapping(name, value, least=1, blank=False).items()
    }
    if sum(found.values()) > 0:
        return found
    refuse(name, value, "at least one number above 0")
