"""Checks of numbers, times and flags."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from llm_optimizers.arguments.refusal import refuse

__all__ = ["amount", "flag", "moment", "number", "numbers", "share", "whole"]


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


def numbers(name: str, value: object, *, least: int = 0) -> tuple[float, ...]:
    """Check a list or a numpy array of finite numbers; `least` is how many it must have."""
    given = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(given, Collection) and not isinstance(given, str | bytes | Mapping):
        found = tuple(number(f"{name}[{at}]", each) for at, each in enumerate(given))
        if len(found) >= least:
            return found
    refuse(name, value, f"a list of {f'{least} or more ' if least else ''}numbers")


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


def moment(name: str, value: object) -> datetime:
    """Check a time with its time zone."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    refuse(name, value, "a datetime with a time zone, such as datetime.now(UTC)")


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
