"""Compare two answers: the comparisons that all strategies share.

    same_answer        the default: chooses one of these by the form of the answers
    same_text          the whole text, ignoring case, whitespace and trailing punctuation
    same_json          the parsed value, ignoring the order of keys
    same_numbers       the numbers in the text, within a tolerance
    same_words         the stemmed words, for free text against a label
    same_final_answer  the conclusion: a choice, a yes or no, the last number, the last line
    same_by            whatever your own function extracts from each answer

Each is a `Comparison`: symmetric, and true for an answer and itself. When in doubt they return
False: a wrong True serves a wrong answer, a wrong False costs one call.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from llm_optimizers.arguments import function, number
from llm_optimizers.evidence.numbers import NUMBER, exact, numbers, value_of
from llm_optimizers.text import terms

__all__ = [
    "Comparison",
    "normalised",
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
    """A function that compares two answers to the same request."""

    def __call__(self, a: str, b: str, /) -> bool:
        """Return True if one answer can replace the other."""
        ...


def same_text(a: str, b: str) -> bool:
    """Return whether two texts are equal, ignoring case, whitespace and trailing full stops."""
    return normalised(a) == normalised(b)


def same_json(a: str, b: str) -> bool:
    """Return whether two texts are the same JSON value, with or without a Markdown fence.

    Strings must be identical, numbers equal in value (1 and 1.0); `true` is not 1. Texts that are
    not JSON must be identical.
    """
    if a == b:
        return True
    try:
        return _equal(_parse(a), _parse(b))
    except (ValueError, RecursionError):
        return False


def same_numbers(a: str, b: str, *, tolerance: float = 0.0) -> bool:
    """Return whether two texts hold the same numbers in the same order; if none, the same text.

    `tolerance` is relative to the larger of two numbers. Bind it with `functools.partial`.
    """
    number("tolerance", tolerance, least=0)
    in_a, in_b = numbers(a), numbers(b)
    if not in_a and not in_b:
        return same_text(a, b)
    pairs = zip(in_a, in_b, strict=False)
    return len(in_a) == len(in_b) and all(_close(x, y, tolerance) for x, y in pairs)


def same_words(a: str, b: str) -> bool:
    """Return whether two texts have the same stemmed words in order, for short free text.

    Numbers must be equal in value; symbols must be identical ("C" is not "C++").
    """
    if same_answer(a, b):
        return True
    in_a, in_b = numbers(a), numbers(b)
    if in_a and in_b and in_a != in_b:
        return False
    words = terms(a)
    return bool(words) and words == terms(b) and _SYMBOL.findall(a) == _SYMBOL.findall(b)


def same_final_answer(a: str, b: str) -> bool:
    r"""Return whether two answers reach the same conclusion, for questions with a short answer.

    JSON, lists, tuples and quoted strings are compared whole. Otherwise the letter of a multiple
    choice, a yes or no, the last number and its unit (or the content of `\boxed{}`) are extracted
    from each answer. Whatever both contain must be equal, and they must have at least one in
    common. If neither contains any, the last lines are compared.
    """
    if _is_literal(a) or _is_literal(b):
        return _same_literal(a, b)
    in_a, in_b = _conclusions(a), _conclusions(b)
    shared = in_a.keys() & in_b.keys()
    if shared:
        return all(in_a[kind] == in_b[kind] for kind in shared)
    return not in_a and not in_b and _last_line(a) == _last_line(b)


def same_answer(a: str, b: str) -> bool:
    """Compare by form, the default: JSON as JSON, single values as values, the rest as text.

    A single value is an answer that is only a number, a yes or no, or the letter of a choice.
    """
    if _is_literal(a) and _is_literal(b):
        return _same_literal(a, b)
    return same_text(a, b) or (
        _is_single_value(a) and _is_single_value(b) and same_final_answer(a, b)
    )


def same_by(extract: Callable[[str], object]) -> Comparison:
    """Return a `Comparison` of what `extract` returns for each answer."""
    function("extract", extract)

    def same(a: str, b: str, /) -> bool:
        return bool(extract(a) == extract(b))

    return same


def normalised(text: str) -> str:
    """Return the form of a text that `same_text` compares, usable as a key for look-ups."""
    folded = " ".join(_casefolded(text).split())
    stripped = folded.rstrip(".!")
    if stripped[-1:].isdigit() and "!" in folded[len(stripped) :]:  # "5!" is not 5
        return folded.rstrip(".")
    return stripped or folded


def unfenced(text: str) -> str:
    """Return a text without the Markdown fence that models often put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped.strip("`").removeprefix("json").strip()
    return stripped


def _close(a: Fraction | str, b: Fraction | str, tolerance: float) -> bool:
    if isinstance(a, str) or isinstance(b, str) or not tolerance:
        return a == b
    return abs(a - b) <= Fraction(tolerance) * max(abs(a), abs(b))


_SYMBOL = re.compile(r"[+#%<>=^]")


@dataclass(frozen=True, slots=True)
class _Verbatim:
    """A number that is compared as written: NaN, or one with thousands of digits."""

    text: str


def _json_number(text: str) -> Fraction | _Verbatim:
    value = exact(text.lower())
    return _Verbatim(text) if value is None else value


def _parse(text: str) -> Any:
    return json.loads(
        unfenced(text), parse_float=_json_number, parse_int=_json_number, parse_constant=_Verbatim
    )


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(value, b[name]) for name, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, str) and isinstance(b, str):
        return unicodedata.normalize("NFC", a) == unicodedata.normalize("NFC", b)
    # Types are compared too, because `True == 1` in Python.
    return type(a) is type(b) and bool(a == b)


def _is_literal(text: str) -> bool:
    """Return whether a whole text is an object, a list, a tuple or a quoted string."""
    literal = unfenced(text)
    ends = literal[:1] + literal[1:][-1:]
    return ends in ("{}", "[]", "''", '""') or (ends == "()" and "," in literal)


def _same_literal(a: str, b: str) -> bool:
    """Return whether two literals are equal as JSON, or as text without spaces at punctuation."""
    return same_json(a, b) or _compact(a) == _compact(b)


def _compact(text: str) -> str:
    literal = unfenced(text)
    if literal[:1] in ("'", '"') and literal[1:][-1:] == literal[:1]:
        return literal[1:-1]
    return re.sub(r"(?:(?<!\s)\s+)?([,:()\[\]{}])\s*", r"\1", literal)


_UNITS = {"$": "dollar", "\u20ac": "euro", "percent": "%"}
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_LEAD = r"(?:^|\b(?i:answer|option|choice)(?i:\s++is)?+\s*+(?::\s*+)?)\W{0,4}"
_KINDS = {
    "choice": re.compile(_LEAD + r"(?:(?<=\()([a-j])\)|\b([A-J])(?:[).:\]*]|\s*$))"),
    "yes or no": re.compile(_LEAD + r"\b(?i:(yes|no|true|false))(?=\W*$|\s*[,.;:!\u2013\u2014])"),
}
# In "2x + 5" and "GPT-4" the last number alone is not the conclusion.
_OPERATION = re.compile(r"[\w)\]][ \t]*[-+*/^\u00d7\u00f7\u2212][ \t]*$")


def _conclusions(text: str) -> dict[str, object]:
    """Return what an answer concludes, by kind: choice, yes or no, number, unit, boxed."""
    boxed = _BOXED.findall(text)
    inside = boxed[-1].strip() if boxed else ""
    if boxed and not NUMBER.fullmatch(inside):
        return {"boxed": "".join(inside.split())}
    found: dict[str, object] = {}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines[-1:] + lines[:1]:
        for kind, pattern in _KINDS.items():
            if (match := pattern.search(line)) is not None:
                found.setdefault(kind, str(match[match.lastindex or 1]).casefold())
    for last in list(NUMBER.finditer(inside or text))[-1:]:
        if _OPERATION.search((inside or text)[: last.start()][-20:]):
            break
        found["number"] = value_of(last)
        unit = (last["currency"] or last["unit"] or "").lower()
        if unit:
            found["unit"] = _UNITS.get(unit, unit.removesuffix("s") or unit)
    return found


def _is_single_value(text: str) -> bool:
    """Return whether an answer is only a number, a choice, a yes or a no."""
    stripped = text.strip(" \n\t*`.")
    if NUMBER.fullmatch(stripped):
        return True
    ends = (match.end() for p in _KINDS.values() if (match := p.match(stripped)) is not None)
    return any(not stripped[end:].strip(" .)*!") for end in ends)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return " ".join(_casefolded(lines[-1]).strip(" .*`\"'").split()) if lines else ""


def _casefolded(text: str) -> str:
    """Remove differences of case and of how an accent is encoded."""
    return unicodedata.normalize("NFC", text).casefold()
