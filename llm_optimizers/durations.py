"""Durations as users write them: seconds, a `timedelta`, or text such as "90s", "1h 30m"."""

from __future__ import annotations

import math
import numbers
import re
from datetime import timedelta
from decimal import Decimal
from typing import TypeAlias

from llm_optimizers.arguments import refuse

__all__ = ["Duration", "in_seconds"]

Duration: TypeAlias = float | timedelta | str
"""Seconds, a `timedelta`, or numbers with units: "45s", "10m", "1h 30m", "7 days", "2w"."""

_UNITS = {
    unit: seconds
    for units, seconds in (
        ("s sec secs second seconds", 1),
        ("m min mins minute minutes", 60),
        ("h hr hrs hour hours", 3_600),
        ("d day days", 86_400),
        ("w week weeks", 604_800),
    )
    for unit in units.split()
}
_PART = re.compile(r"(?<![\d.])(\d++(?:\.\d++)?)\s*+([a-z]++)\s*+", re.IGNORECASE | re.ASCII)


def in_seconds(value: Duration | None, name: str) -> float | None:
    """Return a duration in seconds; None for None, which stands for no limit.

    Raises:
        ConfigurationError: it is no duration, or not above 0. `name` is the setting's.
    """
    if value is None:
        return None
    seconds = _seconds_of(value)
    if seconds is None or not 0 < seconds < math.inf:
        give = 'seconds above 0, a timedelta, or a text such as "90s", "1h 30m" or "7d"'
        refuse(name, value, give)
    return seconds


def _seconds_of(value: object) -> float | None:
    """Return the seconds; None for what is no duration."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return _seconds_of_text(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | numbers.Real | Decimal):
        return float(value)
    return None


def _seconds_of_text(text: str) -> float | None:
    text = text.strip()
    parts = _PART.findall(text)
    units = [unit.lower() for _, unit in parts]
    if not parts or _PART.sub("", text) or any(unit not in _UNITS for unit in units):
        return None
    return float(sum(float(number) * _UNITS[unit.lower()] for number, unit in parts))
