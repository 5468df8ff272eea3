"""Everything that an object holds, as plain data that can be compared."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

__all__ = ["portrait"]

_PLAIN = (type(None), bool, int, float, str, bytes, Decimal, Path)
_LEFT_OUT = {
    "__annotations__": "Python adds it to some functions when it is read",
    "_given_arguments": "what a copy is made of would be the same in any copy",
    "_bound": "the calls in flight of a batching wrapper, made again by its next call",
    "_due_at": "when a ledger next deletes old calls",
    "_logged_at": "when an outage was last said",
    "_sources": "the handlers that write to a ledger, each of which adds itself",
    "_meter": "the listener of a query engine, with a name of its own",
}


def portrait(value: Any, *, seeds: bool = False) -> Any:
    """Return what an object holds at any depth: settings as they are, locks by their class.

    Random generators are compared only with `seeds`: those that nobody gave differ.
    """
    return _portrait(value, seeds, {})


def _portrait(value: Any, seeds: bool, seen: dict[int, tuple[int, Any]]) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    if id(value) in seen:
        return f"number {seen[id(value)][0]} again"
    seen[id(value)] = len(seen), value

    def part(each: Any) -> Any:
        return _portrait(each, seeds, seen)

    if type(value).__module__.partition(".")[0] == "sqlalchemy":
        return type(value).__qualname__  # of a server, whose URL is compared
    if isinstance(value, random.Random):
        return value.getstate() if seeds else "random"
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, MethodType | BuiltinFunctionType):
        owner = value.__self__
        return value.__name__, str(owner) if isinstance(owner, ModuleType) else part(owner)
    if isinstance(value, partial):
        return part([value.func, value.args, value.keywords])
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        named = sorted(
            ((repr(name), each) for name, each in value.items()), key=lambda each: each[0]
        )
        return [(name, part(each)) for name, each in named]
    if isinstance(value, list | tuple | deque):
        return [part(each) for each in value]
    if isinstance(value, set):
        return sorted(map(repr, value))
    return type(value).__qualname__, part(_held(value))


def _held(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, also those in slots and pydantic's private ones."""
    names = {name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())}
    slots = {name: getattr(value, name, None) for name in names if not name.startswith("__")}
    private = getattr(value, "__pydantic_private__", None) or {}
    held = {**slots, **getattr(value, "__dict__", {}), **private}
    return {name: each for name, each in held.items() if name not in _LEFT_OUT}
