"""What an object keeps beside its fields, as far as it may shape its answers.

Anything may lie there: clients, locks, counters, answers of a test double. Only text and switches
count, since the rest changes with every call, and functions, which may replace methods.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from llm_optimizers.fingerprint.code import is_installed, written_code_of
from llm_optimizers.fingerprint.data import name_of

__all__ = ["SECRETS", "attributes_beside", "outline_of"]

_DEPTH = 2
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
SECRETS = ("api_key", "_token", "access_key", "secret_key", "password")
"""Ends of the names of what identifies an account."""


def attributes_beside(component: BaseModel, read: Callable[[Any], Any]) -> dict[str, Any]:
    """Return texts, switches and functions that were set on an object and are none of its fields.

    What a property has computed and keeps there follows from the fields.

    Raises:
        ConfigurationError: a function cannot be read.
    """
    held, kind = vars(component), type(component)
    fields = kind.model_fields
    if len(held) <= len(fields):
        return {}
    found = {}
    for name in held.keys() - fields.keys():
        value = held[name]
        if isinstance(getattr(kind, name, None), functools.cached_property):
            continue
        if isinstance(value, str | bool):
            found[name] = value
        elif isinstance(value, _FUNCTIONS):
            found[name] = read(value)
    return found


def outline_of(value: object, depth: int = _DEPTH) -> Any:
    """Return the class of an object with its texts and switches, and of the user's ones in it."""
    kind: Any = type(value)
    held = getattr(value, "__dict__", None)
    outline: dict[str, Any] = {"class": name_of(kind), "code": written_code_of(kind)}
    if not isinstance(held, dict):
        return outline
    for name, item in held.items():
        if name.endswith(SECRETS):
            continue
        if isinstance(item, str | bool):
            outline[f".{name}"] = item
        elif depth > 1 and hasattr(item, "__dict__") and not is_installed(type(item)):
            outline[f".{name}"] = outline_of(item, depth - 1)
    return outline
