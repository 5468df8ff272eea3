"""The fields of a ledger's row: repaired before they are written, checked when they are read.

A ledger may have been written by hand, by another version, or by a program that sent anything as
a tag. One such row must neither be lost nor stop the report of all others.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

from llm_optimizers.arguments import instance
from llm_optimizers.costs.amounts import dollars_or_none
from llm_optimizers.costs.records import Basis, Saving
from llm_optimizers.costs.usage import Usage
from llm_optimizers.costs.usage.places import MOST_STORED
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.secrets import is_secret_name, is_suspect, redacted

__all__ = ["UNREADABLE", "RowFields", "micros", "moment", "seconds", "tags", "text", "text_or_none"]

_LONGEST = 1_000  # characters of a name that are kept
_LONGEST_AMOUNT = 400  # characters; a longer number is none
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What reading a damaged row raises."""


def micros(time: datetime, name: str = "time") -> int:
    """Return whole microseconds since 1970; a time without a zone is taken as UTC.

    Raises:
        ConfigurationError: it is no datetime. `name` is the argument's.
    """
    instance(name, time, datetime, give="a datetime, such as datetime.now(UTC)")
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return (aware - _EPOCH) // _MICROSECOND


def moment(time: float) -> datetime:
    """Return the time of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=time)


def text(value: object) -> str:
    """Return a value as text that can be stored; "unknown" if there is none."""
    if value is None:
        return "unknown"
    found = value if isinstance(value, str) else _as_text(value)
    if len(found) > _LONGEST:
        found = found[:_LONGEST]
    return found if found.isascii() else found.encode(errors="backslashreplace").decode()


def text_or_none(value: object) -> str | None:
    """Return a value as text that can be stored, None if it is None."""
    return None if value is None else text(value)


def tags(given: object) -> dict[str, str]:
    """Return tags as text; those named as secrets are left out, secrets in others removed."""
    if not isinstance(given, Mapping):
        return {}
    found = {text(name): text(value) for name, value in given.items() if value is not None}
    if not is_suspect("\n".join(chain(found, found.values()))):
        return found
    return {
        redacted(name): redacted(value) for name, value in found.items() if not is_secret_name(name)
    }


def seconds(value: object) -> float | None:
    """Return a duration, None if it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -1e18 < value < 1e18 else None


class RowFields:
    """Reads the fields of one row; `damaged` says whether one of them could not be read."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row
        self.damaged = False

    def time(self) -> datetime | None:
        """Return when it was, None if that cannot be read."""
        try:
            return moment(self._row["time"])
        except UNREADABLE:
            self.damaged = True
            return None

    def text(self, name: str, otherwise: str = "unknown") -> str:
        """Return a text that must be there."""
        found = self.optional_text(name)
        if found is None:
            self.damaged = True
        return otherwise if found is None else found

    def one_of(self, name: str, known: Collection[str], otherwise: str) -> str:
        """Return a text that is one of a few."""
        found = self.text(name, otherwise)
        if found in known:
            return found
        self.damaged = True
        return otherwise

    def one_of_or_none(self, name: str, known: Collection[str]) -> str | None:
        """Return a text that is one of a few, None if there is none."""
        return None if self._row[name] is None else self.one_of(name, known, "") or None

    def number_or_none(self, name: str) -> int | None:
        """Return a whole number from 0 on, None if there is none."""
        value = self._row[name]
        found: int | None = value if _is_count(value) else None
        self.damaged |= value is not None and found is None
        return found

    def optional_text(self, name: str) -> str | None:
        """Return a text, None if there is none."""
        value = self._row[name]
        if value is None or isinstance(value, str):
            return value
        self.damaged = True
        return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)

    def amount(self, name: str) -> Decimal | None:
        """Return dollars, None if they are not known."""
        value = self._row[name]
        if value is None:
            return None
        found = None
        if isinstance(value, int | float | Decimal):
            found = dollars_or_none(value)
        elif isinstance(value, str):
            found = dollars_or_none(_decimal(value))
        self.damaged |= found is None
        return found

    def usage(self, names: Sequence[str]) -> Usage:
        """Return the token counts; one that is none counts as 0."""
        counts = {name: self._row[name] for name in names}
        try:
            return Usage(**counts)
        except ConfigurationError:
            self.damaged = True
            return Usage(**{name: n if _is_count(n) else 0 for name, n in counts.items()})

    def baseline_usage(self) -> Usage | None:
        """Return the usage of the baseline, None if it is that of the call or cannot be read."""
        if self._row["baseline_usage"] is None:
            return None
        try:
            return Usage(**json.loads(self._row["baseline_usage"]))
        except UNREADABLE:
            self.damaged = True
            return None

    def savings(self) -> tuple[Saving, ...]:
        """Return what each strategy saved; nothing if one of them cannot be read."""
        raw = self._row["savings"]
        if raw == "[]":
            return ()
        try:
            return tuple(_saving(*each) for each in json.loads(raw))
        except UNREADABLE:
            self.damaged = True
            return ()

    def tags(self) -> dict[str, str]:
        """Return the tags whose names and values are texts."""
        if self._row["tags"] == "{}":
            return {}
        given = self._row["tags"]
        found = given if isinstance(given, Mapping) else self.mapping("tags")
        kept = {name: value for name, value in found.items() if isinstance(value, str)}
        self.damaged |= len(kept) != len(found)
        return kept

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a JSON object, an empty one if it cannot be read."""
        try:
            found = json.loads(self._row[name])
        except UNREADABLE:
            found = None
        if isinstance(found, dict):
            return found
        self.damaged = True
        return {}

    def seconds(self) -> float | None:
        """Return the latency, None if it is not known."""
        value = self._row["latency_s"]
        found = seconds(value)
        self.damaged |= value is not None and found is None
        return found


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value[:_LONGEST].decode(errors="backslashreplace")
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a tag may be anything
        return type(value).__name__


def _decimal(number: str) -> Decimal | None:
    if len(number) > _LONGEST_AMOUNT:
        return None
    try:
        return Decimal(number)
    except ArithmeticError:
        return None


def _saving(strategy: object, amount: object, basis: Basis) -> Saving:
    found = dollars_or_none(_decimal(amount) if isinstance(amount, str) else amount, negative=True)
    if found is None or not isinstance(strategy, str) or basis not in ("measured", "estimated"):
        raise ValueError("a saving cannot be read")
    return Saving(strategy=strategy, amount=found, basis=basis)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= MOST_STORED
