"""Find the numbers of a text and read their exact values."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["NUMBER", "exact", "numbers", "value_of"]

NUMBER = re.compile(
    # A sign counts only if no word and no closing bracket comes before it.
    r"(?:(?<![\w)\]])(?P<sign>[-+\u2212]))?(?P<currency>[$\u20ac\u00a3\u00a5])?"
    # Digits with whatever joins them to a date, a time, a range, a fraction or a power.
    r"(?:(?P<whole>\d{1,9})[ ](?=\d{1,9}/\d))?"
    r"(?P<digits>\d+(?:[.,:/^'\u2019\u00a0\u202f_\u2013-]\d+)*(?:[eE][+-]?\d+(?!\w))?)"
    r"(?:\s?(?P<scale>(?a:hundred|thousand|million|billion|trillion))s?\b)?"
    r"(?:\s?(?P<unit>%|percent\b|(?:dollar|euro|cent|second|minute|hour|day|week|month|year)s?\b"
    r"|(?:[km]?g|lb|oz|[kcm]?m|mi|ft|m?l|m?s|min|h)\b))?",
    re.IGNORECASE,
)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_GROUPED = re.compile(
    r"\d{1,3}(?:([,'\u2019\u00a0\u202f_])\d{2,3})*[,'\u2019\u00a0\u202f_]\d{3}(?:\.\d+)?"
)
_COMMA_DECIMAL = re.compile(r"(?:\d{1,3}(?:\.\d{3})+|\d+),\d+")
_PLAIN = re.compile(r"-?\d{1,400}(?:\.\d{1,400}|/\d{1,400})?(?:e[+-]?\d{1,3})?")
_NO_GROUPS = str.maketrans("", "", ",'\u2019\u00a0\u202f_")


def numbers(text: str) -> list[Fraction | str]:
    """Return the numbers of a text in order; dates, times, versions and ranges as written.

    Reads "1,234.5", "1.234,5", "1'234", "-7", "$7", "1/2", "2e3" and "5 million".
    """
    return [value_of(match) for match in NUMBER.finditer(text)]


def value_of(match: re.Match[str]) -> Fraction | str:
    """Return the exact value of a match of `NUMBER`; a date and the like as its digits."""
    digits = match["digits"].lower()
    if _GROUPED.fullmatch(digits):
        digits = digits.translate(_NO_GROUPS)
    elif _COMMA_DECIMAL.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    value = exact(digits)
    if value is None:
        return digits
    value += int(match["whole"] or 0)
    scaled: Fraction = value * 10 ** _SCALES.get((match["scale"] or "").lower(), 0)
    return -scaled if match["sign"] in ("-", "\u2212") else scaled


def exact(digits: str) -> Fraction | None:
    """Return the exact value of digits; None if they are not a number or too long to compute."""
    try:
        return Fraction(digits) if _PLAIN.fullmatch(digits) else None
    except (ValueError, ZeroDivisionError):
        return None
