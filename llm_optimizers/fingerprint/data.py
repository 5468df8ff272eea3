"""Values that are data: numbers, dates, paths, secrets, arrays, sets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath, PurePosixPath
from typing import Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import Secret, SecretBytes, SecretStr

__all__ = ["KIND", "PLAIN", "Read", "as_text", "data_of", "name_of", "tagged", "written_mapping"]

Read: TypeAlias = Callable[[object], Any]
"""Reads a value inside another one."""

PLAIN = frozenset({str, int, float, bool, type(None)})
"""The classes of values that stay as they are."""
KIND = "\x00kind"
"""The key that marks what is not plain JSON. A mapping that has it is written as a list of pairs,
so that no user's value can look like a marked one."""


def tagged(kind: str, **content: Any) -> dict[str, Any]:
    """Return content marked with its kind."""
    return {KIND: kind, **content}


def name_of(kind: Any) -> str:
    """Return the full name of a class or function."""
    # A process that multiprocessing spawned has the program's script under another name.
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__
    return f"{module}.{kind.__qualname__}"


def as_text(read: object) -> str:
    """Return what was read as text, by which sets and mappings are sorted."""
    return json.dumps(read, sort_keys=True, separators=(",", ":"))


def written_mapping(value: Mapping[Any, Any], read: Read) -> dict[str, Any]:
    """Return a mapping; with other keys than text, as a sorted list of pairs (1 is not "1")."""
    if all(type(key) is str for key in value) and KIND not in value:
        return {key: i if type(i) in PLAIN else read(i) for key, i in value.items()}
    pairs = [[read(key), read(item)] for key, item in value.items()]
    return tagged("mapping", items=sorted(pairs, key=as_text))


def data_of(value: object, read: Read) -> dict[str, Any] | None:
    """Return a value that is data, None for anything else."""
    for kinds, written in _KINDS:
        if isinstance(value, kinds):
            return written(value, read)
    if isinstance(value, Secret | SecretBytes | SecretStr):
        return tagged("secret", name=type(value).__name__, sha256=_sha256(value.get_secret_value()))
    if isinstance(value, _WRITTEN) and type(value).__module__ in _STANDARD:
        return tagged("text", name=type(value).__name__, text=str(value))
    if type(value).__module__.startswith(("pydantic_core", "pydantic.networks")):
        # Addresses; their `repr` hides a password.
        return tagged("text", name=type(value).__name__, text=str(value))
    return None


def _sha256(value: object) -> str:
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def _enum(value: Any, read: Read) -> dict[str, Any]:
    own = name_of(type(value))
    return tagged("enum", enum=own, name=value.name, value=read(value.value))


def _bytes(value: Any, _: Read) -> dict[str, Any]:
    return tagged("bytes", sha256=hashlib.sha256(bytes(value)).hexdigest())


def _set(value: Any, read: Read) -> dict[str, Any]:
    return tagged("set", items=sorted((read(item) for item in value), key=as_text))


def _pattern(value: re.Pattern[Any], read: Read) -> dict[str, Any]:
    return tagged("pattern", pattern=read(value.pattern), flags=value.flags)


def _moment(value: Any, _: Read) -> dict[str, Any]:
    zone = getattr(getattr(value, "tzinfo", None), "key", "")
    fold = getattr(value, "fold", 0)
    return tagged(type(value).__name__, iso=value.isoformat(), zone=str(zone), fold=fold)


def _scalar(value: Any, read: Read) -> dict[str, Any]:
    return tagged("scalar", dtype=str(value.dtype), value=read(value.item()))


def _array(value: Any, read: Read) -> dict[str, Any]:
    """Return an array's shape and content; numpy's `repr` leaves out the middle of a long one."""
    content = (
        [read(item) for item in value.ravel().tolist()]
        if value.dtype.hasobject
        else hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    )
    return tagged("array", dtype=str(value.dtype), shape=list(value.shape), content=content)


def _duration(value: timedelta, _: Read) -> dict[str, Any]:
    return tagged("duration", parts=[value.days, value.seconds, value.microseconds])


def _complex(value: complex, _: Read) -> dict[str, Any]:
    return tagged("complex", parts=[value.real, value.imag])


def _range(value: range, _: Read) -> dict[str, Any]:
    return tagged("range", parts=[value.start, value.stop, value.step])


_WRITTEN = (timezone, ZoneInfo, Decimal, Fraction, UUID, PurePath)
_STANDARD = frozenset({kind.__module__ for kind in (*_WRITTEN, PurePosixPath)} | {"pathlib"})
"""The standard classes write all of their content; a class made from one may not."""
_KINDS: Iterable[tuple[Any, Callable[[Any, Read], dict[str, Any]]]] = (
    (Enum, _enum),
    ((bytes, bytearray, memoryview), _bytes),
    ((set, frozenset), _set),
    (re.Pattern, _pattern),
    ((date, datetime, time), _moment),
    (timedelta, _duration),
    (np.generic, _scalar),
    (np.ndarray, _array),
    (complex, _complex),
    (range, _range),
)
