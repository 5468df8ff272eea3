"""The amounts in a text: numbers with their units and currencies, dates, times, codes.

Values are normalised ("1,000", "1k" and "one thousand" are the same), so that two texts may be
compared by their sets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from llm_optimizers.caching.matching.vocabulary import Vocabulary

__all__ = ["PLACEHOLDER", "Amounts"]

PLACEHOLDER = "#"
"""What replaces a number or its unit in a list of tokens."""

_NUMBER = re.compile(
    r"([$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd])?([+-]?\d{1,30}(?:[.,]\d{1,30}){0,8})"
    r"([^\W\d_]{1,12}|%)?([$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd])?"
)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?([ap]m)?")
_RANGE = re.compile(r"(\d{1,15})[-\u2013](\d{1,15})")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_EXACT = 15
"""Digits that a float keeps."""
_DATE_INITIALS = frozenset("jfmasondtw")


@dataclass(slots=True)
class Amounts:
    """The amounts of a text.

    `numbers` are written as "12.0", `units` as "kg", `dates` as "march" or "15:00"; `codes` are
    identifiers and addresses. `order` has the numbers and times as they follow each other.
    """

    vocabulary: Vocabulary = field(repr=False, compare=False)
    numbers: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)

    def read(self, tokens: list[str], names: set[str]) -> None:
        """Add what is in lower-case tokens; numbers and their units become `PLACEHOLDER` there.

        A month that may be another word ("may", "march") counts where a capital or a number says
        so, and is then removed from `names`.
        """
        words = self.vocabulary
        pending: float | None = None
        for place, token in enumerate(tokens):
            if pending is not None:
                if token in words.scales:
                    pending *= words.scales[token]
                    continue
                if token == "and" and pending >= 100:  # noqa: S105 - a word
                    continue
                more = words.numbers.get(token)
                if more is not None and pending % 10 == 0 and 0 < more < pending:
                    pending += more
                    continue
                if token in ("am", "pm"):
                    self._hour(pending, token)
                else:
                    self._add(pending, token)
                pending = None
                if token in words.units:
                    tokens[place] = PLACEHOLDER
                    continue
            if not token.isalpha():
                if any(character.isdigit() for character in token):
                    pending = self._numeral(token)
                    tokens[place] = PLACEHOLDER
            elif token in words.numbers:
                # "One" counts nothing in "which one": a unit that follows says the rest.
                pending = words.numbers[token] if token != "one" else None  # noqa: S105 - a word
                if pending is not None and words.stem(token) not in words.opposites:
                    tokens[place] = PLACEHOLDER
            elif token in words.scales and len(token) > 1:
                pending = words.scales[token]  # "one hundred", "a thousand"
            else:
                self._word(tokens, place, names)
        if pending is not None:
            self._add(pending, "")

    def _word(self, tokens: list[str], place: int, names: set[str]) -> None:
        words, token = self.vocabulary, tokens[place]
        before = tokens[place - 1] if place else ""
        if token[0] in _DATE_INITIALS and token in words.dates:
            self._date(tokens, place, names)
        elif token in words.moments:
            if before != "good":
                self.dates.add(token)
        elif token in words.currencies:
            self.currencies.add(words.currencies[token])
        elif token in words.ordinals:
            if token != "second" or before in words.grammar.possessive:  # noqa: S105 - a word
                self.numbers.add(repr(words.ordinals[token]))
        elif token in words.grammar.shift and place + 1 < len(tokens):
            period = words.stem(tokens[place + 1])
            if period in words.period_stems:
                self.dates.add(f"{token} {period}")

    def _add(self, value: float, follower: str) -> None:
        unit = self.vocabulary.units.get(follower)
        if unit is not None:
            self.units.add(unit)
        if value != 1.0 or unit is None:
            self._note(self.numbers, repr(value))

    def _hour(self, value: float, half: str) -> None:
        self._note(self.dates, f"{int(value % 12) + 12 * (half == 'pm'):02d}:00")

    def _note(self, kind: set[str], value: str) -> None:
        kind.add(value)
        self.order.append(value)

    def _date(self, tokens: list[str], place: int, names: set[str]) -> None:
        words, token = self.vocabulary, tokens[place]
        if token in words.grammar.vague_date:
            before = tokens[place - 1] if place else ""
            behind = tokens[place + 1] if place + 1 < len(tokens) else ""
            named = token in names and token in words.grammar.vague_name
            counted = before == PLACEHOLDER or behind[:1].isdigit()
            if not (named or counted or before in words.grammar.date_lead):
                return
        names.discard(token)
        self.dates.add(words.dates[token])

    def _numeral(self, token: str) -> float | None:
        """Return the value of a token with digits; a code, time or range is added at once."""
        words = self.vocabulary
        time = _TIME.fullmatch(token)
        if time is not None:
            hour = int(time[1]) % 12 + 12 * (time[3] == "pm") if time[3] else int(time[1])
            self._note(self.dates, f"{hour:02d}:{time[2]}")
            return None
        spread = _RANGE.fullmatch(token)
        if spread is not None:
            for end in spread.groups():
                self._note(self.numbers, repr(float(end)))
            return None
        if token.startswith("rs"):
            token = token[2:].lstrip(".")
            self.currencies.add("inr")
        match = _NUMBER.fullmatch(token.lstrip("#"))
        if match is None:
            self.codes.add("".join(c for c in token if c not in "-/") or token)
            return None
        sign, digits, suffix, trailing = match.groups()
        if sign or trailing:
            self.currencies.add(words.currencies.get(sign or trailing, sign or trailing))
        value = _value(digits)
        written = not (sign or trailing or suffix) and _matters_as_written(digits)
        if value is None or written or (suffix and suffix not in words.suffixes):
            self.codes.add("".join(c for c in token if c.isalnum() or c in ".,"))
            return None
        if suffix in ("am", "pm"):
            self._hour(value, suffix)
            return None
        if suffix in words.currencies:
            self.currencies.add(words.currencies[suffix])
        elif suffix in words.scales:
            return value * words.scales[suffix]
        elif suffix in words.units:
            self.units.add(words.units[suffix])
        elif suffix == "s":
            (self.dates if value >= 20 else self.codes).add(token)
            return None
        return value


def _matters_as_written(digits: str) -> bool:
    """Return whether digits are more than their value: release 3.10, pin 0042, a long number."""
    whole = digits.lstrip("+-")
    zero = whole[0] == "0" and whole[1:2].isdigit()
    return zero or len(digits) > _EXACT or ("." in digits and digits[-1] == "0")


def _value(digits: str) -> float | None:
    if _THOUSANDS.fullmatch(digits):
        return float(digits.replace(",", ""))
    if digits.count(".") + digits.count(",") > 1:
        return None
    return float(digits.replace(",", "."))
