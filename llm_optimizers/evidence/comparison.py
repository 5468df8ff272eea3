"""Whether two answers say the same: the comparisons that every strategy uses.

    same_answer        the default: picks one of these by the form of the answers
    same_text          the whole text, but for case, white space and closing punctuation
    same_json          the parsed value; the order of keys does not matter
    same_numbers       the numbers in the text, within a tolerance
    same_words         the stemmed words, for free text against a label
    same_final_answer  what each comes to: a choice, a yes or no, a last number, a last line
    same_by            what a function of your own takes out of each answer

Each is a `Comparison`: symmetric, and true of an answer and itself. When in doubt they say that
answers differ, since a wrong "same" serves a wrong answer and a wrong "different" costs one call.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from llm_optimizers.text import terms

__all__ = [
    "Comparison",
    "normalised",
    "numbers",
    "same_answer",
    "same_by",
    "same_final_answer",
    "same_json",
    "same_numbers",
    "same_text",
    "same_words",
    "unfenced",
]


class Comparison(Protocol):
    """Says whether two answers to one request are the same for its purpose."""

    def __call__(self, a: str, b: str, /) -> bool:
        """True if they are the same."""
        ...


def same_text(a: str, b: str) -> bool:
    """Whether two texts are equal but for case, white space and closing full stops."""
    return normalised(a) == normalised(b)


def same_json(a: str, b: str) -> bool:
    """Whether two texts are one JSON value, with or without a Markdown fence around it.

    Strings must be equal to the letter, numbers in value (1 and 1.0), `true` is not 1. Texts that
    are no JSON are the same only if they are equal.
    """
    if a == b:
        return True
    try:
        return _equal(_parse(a), _parse(b))
    except (ValueError, RecursionError):
        return False


def same_numbers(a: str, b: str, *, tolerance: float = 0.0) -> bool:
    """Whether two texts hold the same numbers in the same order; without any, the same text.

    `tolerance` is relative to the larger of two numbers. Bind it with `functools.partial`.
    """
    ours, theirs = numbers(a), numbers(b)
    if not ours and not theirs:
        return same_text(a, b)
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(_close(x, y, tolerance) for x, y in pairs)


def same_words(a: str, b: str) -> bool:
    """Whether two texts have the same stemmed words in order: for short free text and its label.

    Numbers must be equal in value, and signs that are no words ("C", "C++") in spelling.
    """
    if same_answer(a, b):
        return True
    ours, theirs = numbers(a), numbers(b)
    if ours and theirs and ours != theirs:
        return False
    words = terms(a)
    return bool(words) and words == terms(b) and _SYMBOL.findall(a) == _SYMBOL.findall(b)


def same_final_answer(a: str, b: str) -> bool:
    r"""Whether two answers come to the same: right for questions with one short answer.

    JSON, lists, tuples and quoted strings are compared whole. Otherwise each answer's letter of a
    multiple choice, its yes or no, its last number and that number's unit (or what `\boxed{}`
    holds) are found: what both name must be equal, and at least one must be named by both. Where
    neither names any, the last lines are compared.
    """
    if _is_literal(a) or _is_literal(b):
        return _same_literal(a, b)
    ours, theirs = _found(a), _found(b)
    shared = ours.keys() & theirs.keys()
    if shared:
        return all(ours[kind] == theirs[kind] for kind in shared)
    return not ours and not theirs and _last_line(a) == _last_line(b)


def same_answer(a: str, b: str) -> bool:
    """The default comparison, by form: JSON as JSON, bare values as values, the rest as text.

    A bare value is an answer that is nothing but a number, a yes or no, or the letter of a choice.
    """
    if _is_literal(a) and _is_literal(b):
        return _same_literal(a, b)
    return same_text(a, b) or (_is_bare(a) and _is_bare(b) and same_final_answer(a, b))


def same_by(extract: Callable[[str], object]) -> Comparison:
    """A comparison of what `extract` takes out of each answer."""

    def same(a: str, b: str, /) -> bool:
        return bool(extract(a) == extract(b))

    return same


def numbers(text: str) -> list[Fraction | str]:
    """The numbers of a text in order; dates, times, versions and ranges as they are written.

    Reads "1,234.5", "1.234,5", "1'234", "-7", "$7", "1/2", "2e3" and "5 million".
    """
    return [_number(match) for match in _NUMBER.finditer(text)]


def normalised(text: str) -> str:
    """The form in which texts are equal that are the same for `same_text`: a key for look-ups."""
    folded = " ".join(_folded(text).split())
    bare = folded.rstrip(".!")
    if bare[-1:].isdigit() and "!" in folded[len(bare) :]:  # "5!" is not 5
        return folded.rstrip(".")
    return bare or folded


def unfenced(text: str) -> str:
    """A text without the Markdown fence that models like to put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped.strip("`").removeprefix("json").strip()
    return stripped


_NUMBER = re.compile(
    # A sign counts where no word and no closing bracket stands before it.
    r"(?:(?<![\w)\]])(?P<sign>[-+\u2212]))?(?P<currency>[$\u20ac\u00a3\u00a5])?"
    # Digits with all that joins them to a date, a time, a range, a fraction or a power.
    r"(?:(?P<whole>\d{1,9})[ ](?=\d{1,9}/\d))?"
    r"(?P<digits>\d+(?:[.,:/^'\u2019\u00a0\u202f_\u2013-]\d+)*(?:[eE][+-]?\d+(?!\w))?)"
    r"(?:\s?(?P<scale>(?a:hundred|thousand|million|billion|trillion))s?\b)?"
    r"(?:\s?(?P<unit>%|percent\b|(?:dollar|euro|cent|second|minute|hour|day|week|month|year)s?\b"
    r"|(?:[km]?g|lb|oz|[kcm]?m|mi|ft|m?l|m?s|min|h)\b))?",
    re.IGNORECASE,
)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_UNITS = {"$": "dollar", "\u20ac": "euro", "percent": "%"}
_GROUPED = re.compile(
    r"\d{1,3}(?:([,'\u2019\u00a0\u202f_])\d{2,3})*[,'\u2019\u00a0\u202f_]\d{3}(?:\.\d+)?"
)
_COMMA_DECIMAL = re.compile(r"(?:\d{1,3}(?:\.\d{3})+|\d+),\d+")
_PLAIN = re.compile(r"-?\d{1,400}(?:\.\d{1,400}|/\d{1,400})?(?:e[+-]?\d{1,3})?")
_NO_GROUPS = str.maketrans("", "", ",'\u2019\u00a0\u202f_")


def _number(match: re.Match[str]) -> Fraction | str:
    """The value of a number, exactly; its digits as written where they are none (a date)."""
    digits = match["digits"].lower()
    if _GROUPED.fullmatch(digits):
        digits = digits.translate(_NO_GROUPS)
    elif _COMMA_DECIMAL.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    value = _exact(digits)
    if value is None:
        return digits
    value += int(match["whole"] or 0)
    scaled: Fraction = value * 10 ** _SCALES.get((match["scale"] or "").lower(), 0)
    return -scaled if match["sign"] in ("-", "\u2212") else scaled


def _exact(digits: str) -> Fraction | None:
    """The exact value; None of what is no number, or has a size that takes long to compute with."""
    try:
        return Fraction(digits) if _PLAIN.fullmatch(digits) else None
    except (ValueError, ZeroDivisionError):
        return None


def _close(a: Fraction | str, b: Fraction | str, tolerance: float) -> bool:
    if isinstance(a, str) or isinstance(b, str) or not tolerance:
        return a == b
    return abs(a - b) <= Fraction(tolerance) * max(abs(a), abs(b))


_SYMBOL = re.compile(r"[+#%<>=^]")


@dataclass(frozen=True, slots=True)
class _Written:
    """A number that is compared as it is written: one of thousands of digits, or NaN."""

    text: str


def _json_number(text: str) -> Fraction | _Written:
    value = _exact(text.lower())
    return _Written(text) if value is None else value


def _parse(text: str) -> Any:
    return json.loads(
        unfenced(text), parse_float=_json_number, parse_int=_json_number, parse_constant=_Written
    )


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(value, b[name]) for name, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, str) and isinstance(b, str):
        return unicodedata.normalize("NFC", a) == unicodedata.normalize("NFC", b)
    # The types too, for in Python `True == 1`.
    return type(a) is type(b) and bool(a == b)


def _is_literal(text: str) -> bool:
    """Whether a whole text is an object, a list, a tuple or a quoted string."""
    bare = unfenced(text)
    ends = bare[:1] + bare[1:][-1:]
    return ends in ("{}", "[]", "''", '""') or (ends == "()" and "," in bare)


def _same_literal(a: str, b: str) -> bool:
    """As JSON; literals of other languages letter for letter, but for the space at punctuation."""
    return same_json(a, b) or _compact(a) == _compact(b)


def _compact(text: str) -> str:
    bare = unfenced(text)
    if bare[:1] in ("'", '"') and bare[1:][-1:] == bare[:1]:
        return bare[1:-1]
    return re.sub(r"(?:(?<!\s)\s+)?([,:()\[\]{}])\s*", r"\1", bare)


_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_LEAD = r"(?:^|\b(?i:answer|option|choice)(?i:\s+is)?\s*:?\s*)\W{0,4}"
_KINDS = {
    "choice": re.compile(_LEAD + r"(?:(?<=\()([a-j])\)|\b([A-J])(?:[).:\]*]|\s*$))"),
    "yes or no": re.compile(_LEAD + r"\b(?i:(yes|no|true|false))(?=\W*$|\s*[,.;:!\u2013\u2014])"),
}


# "2x + 5" and "GPT-4" come to more than their last number.
_OPERATION = re.compile(r"[\w)\]][ \t]*[-+*/^\u00d7\u00f7\u2212][ \t]*$")


def _found(text: str) -> dict[str, object]:
    """What an answer names, by kind."""
    boxed = _BOXED.findall(text)
    inside = boxed[-1].strip() if boxed else ""
    if boxed and not _NUMBER.fullmatch(inside):
        return {"boxed": "".join(inside.split())}
    found: dict[str, object] = {}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines[-1:] + lines[:1]:
        for kind, pattern in _KINDS.items():
            if (match := pattern.search(line)) is not None:
                found.setdefault(kind, str(match[match.lastindex or 1]).casefold())
    for last in list(_NUMBER.finditer(inside or text))[-1:]:
        if _OPERATION.search((inside or text)[: last.start()][-20:]):
            break
        found["number"] = _number(last)
        unit = (last["currency"] or last["unit"] or "").lower()
        if unit:
            found["unit"] = _UNITS.get(unit, unit.removesuffix("s") or unit)
    return found


def _is_bare(text: str) -> bool:
    """Whether an answer is nothing but a number, a choice, a yes or a no."""
    stripped = text.strip(" \n\t*`.")
    if _NUMBER.fullmatch(stripped):
        return True
    ends = (match.end() for p in _KINDS.values() if (match := p.match(stripped)) is not None)
    return any(not stripped[end:].strip(" .)*!") for end in ends)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return " ".join(_folded(lines[-1]).strip(" .*`\"'").split()) if lines else ""


def _folded(text: str) -> str:
    """Without differences of case and of how an accent is written."""
    return unicodedata.normalize("NFC", text).casefold()
