"""Checks of arguments: what cannot work is refused where it is given, by name.

Each check returns the value it was given, as its type, so that a constructor checks and keeps it in
one line. Every message has the same form: "`concurrency` is 1.5; give a whole number of 1 or more".

    self._slots = whole("concurrency", concurrency, least=1)
    self._limit = optional(number, "max_cost", max_cost, above=0)
"""

from __future__ import annotations

import inspect
import math
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from numbers import Integral, Real
from operator import attrgetter, contains
from pathlib import PurePath
from types import NoneType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NoReturn,
    ParamSpec,
    TypeAlias,
    TypeVar,
    overload,
)

from llm_optimizers.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import BeforeValidator

__all__ = [
    "Kinds",
    "amount",
    "field",
    "fields",
    "fields_check",
    "flag",
    "function",
    "instance",
    "keep",
    "mapping",
    "moment",
    "names",
    "number",
    "numbers",
    "one_of",
    "optional",
    "refuse",
    "scores",
    "sequence",
    "share",
    "shares",
    "string",
    "text",
    "values",
    "whole",
    "with_methods",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
Kinds: TypeAlias = type | tuple[type, ...]

_SHOWN = 60  # characters of a wrong value in a message
_PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    Callable: "function",
    Integral: "whole number",
    Mapping: "mapping",
    dict: "mapping",
    Real: "number",
    Sequence: "list",
    NoneType: "None",
}
_SECRET = re.compile(r"(?<=://)[^/@\s]{1,500}@|\bsk-[\w-]{8,500}")
"""The password of a URL, an API key."""
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
    """Check a whole number, also numpy's: no bool, no fraction, no text."""
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, Integral):
            refuse(name, value, f"a whole number{_range(least, most)}")
        value = int(value)
    if _inside(value, least, most):
        return value
    refuse(name, value, f"a whole number{_range(least, most)}")


def number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """Check a finite number, also numpy's and Decimals: no bool, no NaN, no infinity, no text."""
    given = _as_number(value)
    if (
        given is not None
        and _inside(given, least, most)
        and (above is None or given > above)
        and (below is None or given < below)
    ):
        return given
    refuse(name, value, f"a number{_range(least, most, above, below)}")


def amount(
    name: str, value: object, *, above: float | None = None, least: float | None = None
) -> Decimal:
    """Check a finite Decimal, such as dollars; whole numbers are taken too.

    A float is refused: 0.1 is not a tenth.
    """
    exact = isinstance(value, int) and not isinstance(value, bool)
    given = Decimal(value) if exact else value  # type: ignore[arg-type]  # an int here
    if (
        isinstance(given, Decimal)
        and given.is_finite()
        and _inside(given, least, None)
        and (above is None or given > above)
    ):
        return given
    refuse(name, value, f"a Decimal{_range(least, None, above)}, such as Decimal('0.25')")


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


def string(name: str, value: object) -> str:
    """Check a text that may be empty."""
    if isinstance(value, str):
        return value
    refuse(name, value, "a text")


def moment(name: str, value: object) -> datetime:
    """Check a time with its time zone."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    refuse(name, value, "a datetime with a time zone, such as datetime.now(UTC)")


def one_of(name: str, value: T, known: Iterable[T]) -> T:
    """Check a value that is one of a few."""
    choices = list(known)
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    refuse(name, value, _listed(choices, last="or"))


def names(name: str, value: object, known: Iterable[str]) -> frozenset[Any]:
    """Check a set of known names; one name alone is no set."""
    choices = list(known)
    given = sequence(name, value, str)
    unknown = [each for each in given if each not in choices]
    if unknown:
        refuse(name, value, f"only names of {_listed(choices, last='and')}")
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
    refuse(name, value, f"a list of {many}{_kinds(kind, of_many=True)}")


def numbers(name: str, value: object, *, least: int = 0) -> tuple[float, ...]:
    """Check a list or a numpy array of finite numbers; `least` is how many it must have."""
    given = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(given, Collection) and not isinstance(given, str | bytes | Mapping):
        found = tuple(number(f"{name}[{at}]", each) for at, each in enumerate(given))
        if len(found) >= least:
            return found
    refuse(name, value, f"a list of {f'{least} or more ' if least else ''}numbers")


def values(name: str, value: Iterable[T], of: str) -> Iterable[T]:
    """Check what is only iterated, such as a generator; `of` says what it holds."""
    given: object = value  # whatever its type says
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        return value
    refuse(name, value, f"a list of {of}")


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
        + ("" if kind is None else f" to {_kinds(kind, of_many=True)}"),
    )


def function(name: str, value: F, *, or_async: bool = False) -> F:
    """Check what is called later; no async function where its result is used at once."""
    if not callable(value):
        refuse(name, value, "a function")
    if not or_async and _is_async(value):
        refuse(name, value, "a function that is not async")
    return value


def with_methods(name: str, value: object, *methods: str, give: str) -> Any:
    """Check an object that is known by its methods, whatever its class."""
    if not isinstance(value, type) and all(callable(getattr(value, m, None)) for m in methods):
        return value
    refuse(name, value, give)


def instance(
    name: str, value: object, kind: type[T] | tuple[type, ...], *, give: str | None = None
) -> T:
    """Check an object's class; `give` says how to make one, where the class does not."""
    if isinstance(value, kind):
        return value  # type: ignore[return-value]  # a tuple of classes has no one type
    refuse(name, value, give or _kinds(kind))


def field(
    check: Callable[..., object], *args: object, none: bool = False, **limits: object
) -> BeforeValidator:
    """Return a check for a field of a pydantic class; `none` if it may be None.

    max_size: Annotated[int | None, field(whole, least=1, none=True)] = None
    """
    from pydantic import BeforeValidator, ValidationInfo

    def checked(value: object, info: ValidationInfo) -> object:
        if none and value is None:
            return None
        return check(info.field_name, value, *args, **limits)

    return BeforeValidator(checked)


def keep(owner: object, name: str, value: object) -> None:
    """Keep a checked value in a frozen object, as Python's own number, say."""
    object.__setattr__(owner, name, value)


def fields(owner: object, kinds: Mapping[str, Kinds]) -> None:
    """Check the classes of an object's fields; for objects that every request makes several of."""
    for name, kind in kinds.items():
        value = getattr(owner, name)
        if type(value) is kind or (type(kind) is tuple and type(value) in kind):
            continue
        # A bool is an int; where numbers are wanted it is a mistake.
        if not isinstance(value, kind) or ((value is True or value is False) and not _bools(kind)):
            refuse(name, value, _kinds(kind))


def fields_check(kinds: Mapping[str, Kinds]) -> Callable[[object], None]:
    """Return `fields` for these (two or more) fields, several times as fast where all are right."""
    read = attrgetter(*kinds)
    exact = [kind if isinstance(kind, tuple) else (kind,) for kind in kinds.values()]

    def check(owner: object) -> None:
        if not all(map(contains, exact, map(type, read(owner)))):
            fields(owner, kinds)

    return check


def _as_number(value: object) -> float | None:
    """Return a finite number as Python's own; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Real | Decimal):
        return None
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    try:
        given: Any = value if isinstance(value, int | float) else float(value)
        return given if math.isfinite(given) else None
    except OverflowError:  # a whole number of over 308 digits
        return None


def _bools(kind: Kinds) -> bool:
    return bool in (kind if isinstance(kind, tuple) else (kind,))


def _is_async(value: object) -> bool:
    while isinstance(value, partial):
        value = value.func
    called = value if inspect.isroutine(value) else getattr(type(value), "__call__", value)  # noqa: B004 - it is called
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)


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
    if isinstance(value, str):
        return _short.repr(_SECRET.sub("…", value))
    if value is None or isinstance(value, bytes | int | float | Decimal | PurePath | timedelta):
        return _short.repr(value)
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        return _SECRET.sub("…", _short.repr(value))
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{_article(type(value).__name__)} {type(value).__name__}"


def _kinds(kind: type | tuple[type, ...], *, of_many: bool = False) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    called = dict.fromkeys(_PLAIN.get(each, each.__name__) for each in kinds)
    return _listed(
        [
            each if each == "None" else f"{each}s" if of_many else f"{_article(each)} {each}"
            for each in called
        ],
        last="or",
        quoted=False,
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiouAEIO" or word.startswith("LLM") else "a"


def _listed(choices: list[Any], *, last: str, quoted: bool = True) -> str:
    shown = [repr(each) if quoted else str(each) for each in choices]
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
