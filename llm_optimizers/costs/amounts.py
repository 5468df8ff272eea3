"""What counts as an amount of dollars: finite, and of a size that a bill can have.

A price of another program, a damaged row or a slip of the pen can give NaN, infinity or
1e999999. Such an amount is unknown, never zero: one of them would make every sum useless, and
writing out a million digits would take for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal
from functools import reduce

__all__ = ["EXACT", "dollars_or_none", "sum_of"]

EXACT = Context(prec=60)
"""Precise enough that no sum of amounts is rounded, whatever precision the app has set."""

_LARGEST = 15  # the powers of ten of the largest and smallest digit of an amount
_SMALLEST = -30


def sum_of(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum; that of `sum` depends on the precision that the app has set."""
    return reduce(EXACT.add, amounts, Decimal(0))


def dollars_or_none(value: object, *, negative: bool = False) -> Decimal | None:
    """Return the amount, None if it is none; a `negative` one is refused unless that is allowed."""
    if not isinstance(value, Decimal):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not -1e18 < value < 1e18:  # NaN is not between them either
            return None
        value = Decimal(str(value))
    if not value.is_finite() or (value < 0 and not negative):
        return None
    if _SMALLEST <= value.adjusted() < _LARGEST:
        return value
    return None if value else Decimal(0)
