"""Copies of a stored answer with ids of their own.

A provider refuses a tool result for two calls of one id, and whoever keeps a history replaces
the message whose id it knows: an answer served twice in one conversation needs fresh ids, the
same ones wherever the old stood.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

__all__ = ["fresh_id", "json_copy"]

_ALPHABET = string.ascii_letters + string.digits
_SHORTEST = 9
_ARGUMENTS = frozenset({"args", "arguments", "input", "tool_kwargs"})
_FIELDS = frozenset({"id", "call_id", "tool_use_id", "tool_call_id"})


def fresh_id(old: str) -> str:
    """An id of the same prefix and length, as providers are particular about both.

    Shorter ones than any provider makes are lengthened, so that no two are drawn alike.
    """
    prefix, underscore, rest = old.rpartition("_")
    length = max(len(rest), _SHORTEST)
    return prefix + underscore + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def json_copy(value: Any, ids: Mapping[str, str]) -> Any:
    """A deep copy of a JSON value with ids replaced in the fields that hold such ids.

    What a tool is called with is the model's own and copied as it is.
    """
    if isinstance(value, dict):
        return {key: _field(key, item, ids) for key, item in value.items()}
    if isinstance(value, list):
        return [json_copy(item, ids) for item in value]
    return value


def _field(name: str, value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return ids.get(value, value) if name in _FIELDS else value
    return json_copy(value, {} if name in _ARGUMENTS else ids)
