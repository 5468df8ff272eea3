"""Convert entries to table rows and back, checking every value: others may have edited the file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from llm_optimizers.caching.stores.protocol import Entry, Vector
from llm_optimizers.costs import Usage
from llm_optimizers.costs.amounts import dollars_or_none
from llm_optimizers.errors import PoisonedEntryError

__all__ = ["COLUMNS", "entry_from_row", "row_from_entry", "vector_from_blob"]

COLUMNS = (
    "key, normalised, scope, tenant, question, payload, vector, created, expires, model, usage"
)


def vector_from_blob(blob: object) -> Vector | None:
    """Return the vector stored in a blob, None if the blob cannot be a vector."""
    if not isinstance(blob, bytes) or not blob or len(blob) % 4:
        return None
    return np.frombuffer(blob, np.float32)


def row_from_entry(entry: Entry) -> tuple[object, ...]:
    """Return the entry's values in the order of `COLUMNS`."""
    return (
        entry.key,
        entry.normalised,
        entry.scope,
        entry.tenant,
        entry.question,
        entry.payload,
        None if entry.vector is None else np.asarray(entry.vector, np.float32).tobytes(),
        entry.created,
        entry.expires,
        entry.model,
        _written_usage(entry),
    )


def entry_from_row(row: tuple[Any, ...]) -> Entry:
    """Return the entry of a row.

    Raises:
        PoisonedEntryError: the row is damaged.
    """
    values = dict(zip(COLUMNS.split(", "), row, strict=True))
    key = values["key"]
    try:
        texts: dict[str, Any] = {
            name: _text(values[name]) for name in ("key", "scope", "tenant", "payload", "model")
        }
        return Entry(
            **texts,
            normalised=_optional_text(values["normalised"]),
            question=_optional_text(values["question"]),
            vector=vector_from_blob(values["vector"]),
            created=_finite(_time(values["created"])),
            expires=None if values["expires"] is None else _time(values["expires"]),
            **_read_usage({} if values["usage"] is None else json.loads(values["usage"])),
        )
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise PoisonedEntryError(f"a cache entry is damaged ({error})", key=key) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found a {type(value).__name__}")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _time(value: object) -> float:
    if not isinstance(value, int | float) or math.isnan(value):
        raise TypeError("a time is not a number")
    return float(value)


def _finite(time: float) -> float:
    if math.isinf(time):
        raise ValueError("a time is infinite")
    return time


def _written_usage(entry: Entry) -> str | None:
    """Return the counts of the answer's call, with its cost and that they are an estimate."""
    written: dict[str, Any] = {} if entry.usage is None else entry.usage.as_dict()
    if entry.cost is not None:
        written["cost"] = str(entry.cost)
    if entry.estimated:
        written["estimated"] = True
    return json.dumps(written) if written else None


def _read_usage(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("a usage is not an object")
    counts = dict(value)
    estimated, billed = counts.pop("estimated", False) is True, counts.pop("cost", None)
    cost = None if billed is None else dollars_or_none(Decimal(_text(billed)))
    if billed is not None and cost is None:
        raise ValueError("a cost is no amount of dollars")
    return {"usage": Usage(**counts) if counts else None, "cost": cost, "estimated": estimated}
