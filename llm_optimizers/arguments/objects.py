"""Checks of functions, objects and the fields of objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter, contains
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from llm_optimizers.arguments.refusal import kinds_named, refuse

if TYPE_CHECKING:
    from pydantic import BeforeValidator

__all__ = [
    "Kinds",
    "field",
    "fields",
    "fields_check",
    "function",
    "instance",
    "keep",
    "with_methods",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Kinds: TypeAlias = type | tuple[type, ...]


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
    refuse(name, value, give or kinds_named(kind))


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
            refuse(name, value, kinds_named(kind))


def fields_check(kinds: Mapping[str, Kinds]) -> Callable[[object], None]:
    """Return `fields` for these (two or more) fields, several times as fast where all are right."""
    read = attrgetter(*kinds)
    exact = [kind if isinstance(kind, tuple) else (kind,) for kind in kinds.values()]

    def check(owner: object) -> None:
        if not all(map(contains, exact, map(type, read(owner)))):
            fields(owner, kinds)

    return check


def _bools(kind: Kinds) -> bool:
    return bool in (kind if isinstance(kind, tuple) else (kind,))


def _is_async(value: object) -> bool:
    while isinstance(value, partial):
        value = value.func
    called = value if inspect.isroutine(value) else getattr(type(value), "__call__", value)  # noqa: B004 - it is called
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)
