"""The amounts in a text: numbers with their units and currencies, dates, times, codes.

Values are normalised ("1,000", "1k" and "one thousand" are the same), so that two texts may be
compared by their sets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from llm_optimizers.text.lexicon import stem
from llm_optimizers.text.word_lists import lines, words

__all__ = ["BLANK", "DATA_PACKAGE", "Amounts"]

DATA_PACKAGE = "llm_optimizers.caching.matching"
"""Whose data/ holds the word lists."""
BLANK = "#"
"""What stands in a list of tokens where a number or its unit stood."""

_NUMBER = re.compile(
    r"([$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd])?([+-]?\d{1,30}(?:[.,]\d{1,30}){0,8})"
    r"([^\W\d_]{1,12}|%)?([$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd])?"
)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?([ap]m)?")
_RANGE = re.compile(r"(\d{1,15})[-\u2013](\d{1,15})")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DATE_LEADS = frozenset(
    [
        "in",
        "of",
        "on",
        "by",
        "until",
        "till",
        "since",
        "before",
        "after",
        "during",
        "last",
        "next",
        "every",
    ]
)
_SHIFTS = frozenset(["this", "next", "last", "previous", "coming", "past"])
_PERIODS = frozenset(["week", "month", "year", "quarter", "weekend", "season", "semester", "term"])
_VAGUE_DATES = frozenset(
    ["may", "march", "mar", "sun", "sat", "mon", "dec", "jan", "jun", "jul", "oct"]
)
_POSSESSIVES = ("the", "my", "our", "his", "her", "their")
_DATE_INITIALS = frozenset("jfmasondtw")


def _names(name: str) -> dict[str, str]:
    """Each word of a list of `meaning: words` with its meaning."""
    pairs = [line.split(": ") for line in lines(name, DATA_PACKAGE)]
    return {word: meaning for meaning, named in pairs for word in named.split()}


def _values(name: str) -> dict[str, float]:
    """The same where the meanings are numbers."""
    return {word: float(meaning) for word, meaning in _names(name).items()}


_CURRENCIES = _names("currencies")
_UNITS = _names("units")
_DATES = _names("dates")
_MOMENTS = words("moments", DATA_PACKAGE)
_NUMBERS = _values("numbers")
_SCALES = _values("scales")
_ORDINALS = _values("ordinals")


@dataclass(slots=True)
class Amounts:
    """What a text counts: `numbers` as "12.0", `units` as "kg", `dates` as "march" or "15:00",
    `codes` identifiers and addresses.
    """

    numbers: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)

    def read(self, tokens: list[str], names: set[str]) -> None:
        """Take in lower-case tokens; numbers and their units become `BLANK` among them.

        Months that may be other words count where a name or a number says so, and are then no
        `names` any more.
        """
        pending: float | None = None
        for place, token in enumerate(tokens):
            if pending is not None:
                if token in _SCALES:
                    pending *= _SCALES[token]
                    continue
                if token == "and" and pending >= 100:  # noqa: S105 - a word
                    continue
                more = _NUMBERS.get(token)
                if more is not None and pending % 10 == 0 and 0 < more < pending:
                    pending += more
                    continue
                if token in ("am", "pm"):
                    self._hour(pending, token)
                else:
                    self._add(pending, token)
                pending = None
                if token in _UNITS:
                    tokens[place] = BLANK
                    continue
            if not token.isalpha():
                if any(character.isdigit() for character in token):
                    pending = self._numeral(token)
                    tokens[place] = BLANK
            elif token in _NUMBERS:
                # "One" counts nothing in "which one": a unit that follows says the rest.
                pending = _NUMBERS[token] if token != "one" else None  # noqa: S105 - a word
            else:
                self._word(tokens, place, names)
        if pending is not None:
            self._add(pending, "")

    def _word(self, tokens: list[str], place: int, names: set[str]) -> None:
        token = tokens[place]
        before = tokens[place - 1] if place else ""
        if token[0] in _DATE_INITIALS and token in _DATES:
            self._date(tokens, place, names)
        elif token in _MOMENTS:
            if before != "good":
                self.dates.add(token)
        elif token in _CURRENCIES:
            self.currencies.add(_CURRENCIES[token])
        elif token in _ORDINALS:
            if token != "second" or before in _POSSESSIVES:  # noqa: S105 - a word
                self.numbers.add(repr(_ORDINALS[token]))
        elif token in _SHIFTS and place + 1 < len(tokens) and stem(tokens[place + 1]) in _PERIODS:
            self.dates.add(f"{token} {stem(tokens[place + 1])}")

    def _add(self, value: float, follower: str) -> None:
        unit = _UNITS.get(follower)
        if unit is not None:
            self.units.add(unit)
        if value != 1.0 or unit is None:
            self.numbers.add(repr(value))

    def _hour(self, value: float, half: str) -> None:
        self.dates.add(f"{int(value % 12) + 12 * (half == 'pm'):02d}:00")

    def _date(self, tokens: list[str], place: int, names: set[str]) -> None:
        token = tokens[place]
        if token in _VAGUE_DATES:
            before = tokens[place - 1] if place else ""
            behind = tokens[place + 1] if place + 1 < len(tokens) else ""
            named = token in names and token in ("march", "dec", "jan", "oct")
            counted = before == BLANK or behind[:1].isdigit()
            if not (named or counted or before in _DATE_LEADS):
                return
        names.discard(token)
        self.dates.add(_DATES[token])

    def _numeral(self, token: str) -> float | None:
        """The value of a token with digits, or None where it is a code, a time or a range."""
        time = _TIME.fullmatch(token)
        if time is not None:
            hour = int(time[1]) % 12 + 12 * (time[3] == "pm") if time[3] else int(time[1])
            self.dates.add(f"{hour:02d}:{time[2]}")
            return None
        spread = _RANGE.fullmatch(token)
        if spread is not None:
            self.numbers.update((repr(float(spread[1])), repr(float(spread[2]))))
            return None
        if token.startswith("rs"):
            token = token[2:].lstrip(".")
            self.currencies.add("inr")
        match = _NUMBER.fullmatch(token.lstrip("#"))
        if match is None:
            self.codes.add("".join(c for c in token if c.isalnum()) or token)
            return None
        sign, digits, suffix, trailing = match.groups()
        if sign or trailing:
            self.currencies.add(_CURRENCIES.get(sign or trailing, sign or trailing))
        value = _value(digits)
        if value is None or (suffix and suffix not in _SUFFIXES):
            self.codes.add("".join(c for c in token if c.isalnum() or c in ".,"))
            return None
        if suffix in ("am", "pm"):
            self._hour(value, suffix)
            return None
        if suffix in _CURRENCIES:
            self.currencies.add(_CURRENCIES[suffix])
        elif suffix in _SCALES:
            return value * _SCALES[suffix]
        elif suffix in _UNITS:
            self.units.add(_UNITS[suffix])
        elif suffix == "s":
            (self.dates if value >= 20 else self.codes).add(token)
            return None
        return value


_SUFFIXES = frozenset({"st", "nd", "rd", "th", "am", "pm", "s", *_UNITS, *_SCALES, *_CURRENCIES})


def _value(digits: str) -> float | None:
    if _THOUSANDS.fullmatch(digits):
        return float(digits.replace(",", ""))
    if digits.count(".") + digits.count(",") > 1:
        return None
    return float(digits.replace(",", "."))
