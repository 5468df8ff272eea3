"""Payloads: what an answer holds, as JSON text and back.

JSON has no bytes, dates or exact decimals, and turns keys into text, but answers hold all of them
(Gemini's thought signatures are bytes). Such a value is written as an object with the one key
`$stored`, which names its kind. A mapping of the caller's that has this key is written in that form
too, so stored data cannot pass for another kind of value. Reading makes values of the kinds below
and nothing else.

These come back equal: text, numbers, None, lists, mappings with any scalar keys, bytes, dates,
times, durations, decimals, UUIDs. These come back in a plain form: tuples and sets as lists; enum
members as their value; paths, URLs and IP addresses as text; bytearrays as bytes; pydantic objects
and dataclasses as a dict of their fields.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from typing import Any, TypeAlias
from uuid import UUID

from pydantic import AnyUrl, BaseModel, ValidationError
from pydantic_core import MultiHostUrl, Url

from llm_optimizers.errors import LLMOptimizersError

__all__ = ["NotStorableError", "as_json", "from_json", "plain_json"]

_TAG = "$stored"
_DEEPEST = 100
_Kind: TypeAlias = tuple[str, type[Any], Callable[[Any], Any], Callable[[Any], Any]]

# The kind's name, its class, how it is written and how it is read; a class before its bases.
_KINDS: tuple[_Kind, ...] = (
    (
        "bytes",
        bytes,
        lambda v: base64.b64encode(v).decode(),
        lambda text: base64.b64decode(text, validate=True),
    ),
    ("datetime", datetime, datetime.isoformat, datetime.fromisoformat),
    ("date", date, date.isoformat, date.fromisoformat),
    ("time", time, time.isoformat, time.fromisoformat),
    ("decimal", Decimal, str, Decimal),
    ("uuid", UUID, str, UUID),
    (
        "timedelta",
        timedelta,
        lambda v: [v.days, v.seconds, v.microseconds],
        lambda parts: timedelta(*parts),
    ),
)
_READERS = {name: read for name, _, _, read in _KINDS}
_AS_TEXT = (PurePath, AnyUrl, Url, MultiHostUrl, IPv4Address, IPv6Address)
_SCALARS = (str, int, float, bool, type(None))


class NotStorableError(LLMOptimizersError, TypeError):
    """An answer holds a value that a cache cannot store; the message names its class only."""


def as_json(value: object) -> str:
    """Return the value as JSON text that `from_json` reads.

    Raises:
        NotStorableError: some part of it has no form that can be read back.
    """
    try:
        return json.dumps(_written(value))
    except RecursionError as error:
        raise NotStorableError("it is nested too deeply, or holds itself") from error


def from_json(text: str) -> Any:
    """Return the value that `as_json` wrote; plain JSON is read as it is.

    Raises:
        ValueError: the text was not written by `as_json`, or is nested so deeply that copying the
            value could fail.
    """
    try:
        value = plain_json(text)
        return _read(value) if _TAG in text else value
    except RecursionError as error:
        raise ValueError("the payload is nested too deeply") from error


def plain_json(text: str) -> Any:
    """Return the JSON value in a text.

    Raises:
        ValueError: it is not JSON, or nested so deeply that copying it could fail.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("the payload is nested too deeply") from error
    level = [value]
    for _ in range(_DEEPEST):
        containers = [each for each in level if isinstance(each, dict | list) and each]
        if not containers:
            return value
        level = [
            item
            for each in containers
            for item in (each.values() if isinstance(each, dict) else each)
        ]
    raise ValueError("the payload is nested too deeply")


def _written(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Enum):
        return _written(value.value)
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, list | tuple):
        return [_written(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_written(item) for item in value), key=json.dumps)
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    for name, kind, write, _ in _KINDS:
        if isinstance(value, kind):
            return {_TAG: [name, write(value)]}
    if isinstance(value, BaseModel):
        return _written(_fields(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _mapping({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, _AS_TEXT):
        return str(value)
    raise NotStorableError(
        f"it holds a {type(value).__name__}, which has no stored form: give the answer's extra "
        "data as JSON values, bytes, dates, or pydantic objects of these"
    )


def _mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    if _TAG not in value and all(type(key) is str for key in value):
        return {key: _written(item) for key, item in value.items()}
    # JSON would turn the key 1 into "1".
    return {_TAG: ["mapping", [[_key(key), _written(item)] for key, item in value.items()]]}


def _key(key: object) -> Any:
    written = _written(key)
    if isinstance(written, list) or (isinstance(written, dict) and written[_TAG][0] == "mapping"):
        raise NotStorableError(f"it holds a mapping with a {type(key).__name__} as a key")
    return written


def _fields(value: BaseModel) -> Any:
    """Return a pydantic object's fields, by the names from which its class makes it again.

    Structured output is parsed again from them: `schema(**fields)` must accept what it accepted.
    """
    for by_alias in (False, True):
        fields: Any = value.model_dump(by_alias=by_alias, round_trip=True, warnings=False)
        try:
            type(value).model_validate(fields)
        except ValidationError:
            continue
        return fields
    raise NotStorableError(f"its {type(value).__name__} cannot be made again from its own fields")


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {key: _read(item) for key, item in value.items()}
    try:
        kind, data = value[_TAG]
        if len(value) != 1:
            raise ValueError("the payload holds a value of two kinds")
        if kind == "mapping":
            return {_read(key): _read(item) for key, item in data}
        return _READERS[kind](data)
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError("the payload holds a value of an unknown kind") from error
