"""What guards and scores see of a text: its words, numbers, dates, names and literals.

One pass over the whitespace-separated tokens; nothing here backtracks, so the time is linear in
the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from llm_optimizers.caching.lexicon import (
    ALTERNATIVES,
    CLOCK_WORDS,
    CONCEPTS,
    CURRENCIES,
    MONTHS,
    NEGATORS,
    NUMBER_WORDS,
    ORDINAL_WORDS,
    PHRASES,
    SCALES,
    SOFT_NEGATORS,
    STOPWORDS,
    STRICT,
    UNITS,
    WEEKDAYS,
    stem,
)

__all__ = ["Profile", "profile_of"]

_QUOTED = re.compile(
    r"```(.+?)```|`([^`]+)`|\"([^\"]+)\"|\u201c([^\u201c\u201d]+)\u201d|\u00ab([^\u00ab\u00bb]+)\u00bb"
    r"|(?:(?<=\s)|^)'([^']+)'(?!\w)",
    re.DOTALL,
)
_QUOTES = frozenset("`\"\u201c\u00ab'")
_EDGES = ".,;:!?()[]{}<>\u2026\u00bf\u00a1\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb*_~"
_SENTENCE_ENDS = (".", "!", "?", ":", ";")
_APOSTROPHES = str.maketrans("", "", "'\u2019")
_PIECES = re.compile(r"[^\W\d_]+(?:[+#]{1,2})?|\d+")
_NUMBER = re.compile(
    r"([$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd])?([+-]?\d{1,30}(?:[.,]\d{1,30}){0,8})"
    r"([^\W\d_]{1,12}|%)?([$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd])?"
)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?([ap]m)?")
_RANGE = re.compile(r"(\d{1,15})[-\u2013](\d{1,15})")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_AUXILIARIES = _words(
    "is are was were will would do does did can could should shall may might has have had am "
    "cani mustdo isnt arent wasnt wont dont doesnt didnt cant couldnt shouldnt hasnt havent"
)
_KINDS = _words(
    "how what yesno howto why when where who howlong howmuch howmany howoften cani mustdo whatif should"
)
_DATE_LEADS = _words("in of on by until till since before after during last next every")
_SHIFTS = _words("this next last previous coming past")
_PERIODS = _words("week month year quarter weekend season semester term")
_VAGUE_DATES = _words("may march mar sun sat mon dec jan jun jul oct")
_CONNECTORS = _words("from to into onto than before after over by instead versus")
_REACH = 3


_ANYWHERE = _words("howto why howlong howmuch howmany howoften whatif")
_OPENERS = _words(
    "skip so and but then also please hi hello hey thanks ok okay well kindly dear just"
)
_BLANKS = frozenset({"skip", "wayto", "#"})


def _phrase_table(phrases: Mapping[str, str]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    table: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for phrase, meaning in phrases.items():
        words = tuple(phrase.translate(_APOSTROPHES).replace("-", " ").replace(";", " ").split())
        table.setdefault(words[0], []).append((words, meaning))
    for rows in table.values():
        rows.sort(key=lambda row: -len(row[0]))
    return table


_PHRASES_BY_HEAD = _phrase_table(PHRASES)


@dataclass(slots=True)
class Profile:
    """A text taken apart.

    `words` are lower-case and in order, phrases replaced by what stands for them; `concepts` are
    the stems of the content words (`content`), synonyms merged, in order. The sets hold
    normalised values: `numbers` "12.0", `units` "kg", `dates` "march", `codes` addresses and
    identifiers.
    """

    folded: str
    words: list[str] = field(default_factory=list)
    concepts: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    vocabulary: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    quotations: list[str] = field(default_factory=list)
    poles: dict[str, set[str]] = field(default_factory=dict)
    strict: dict[str, set[str]] = field(default_factory=dict)
    after: dict[str, set[str]] = field(default_factory=dict)
    negated: bool = False
    soft_negated: bool = False
    kind: str = ""


def profile_of(text: str) -> Profile:
    """Take a text apart; never raises."""
    profile = Profile(folded=text.casefold())
    if not _QUOTES.isdisjoint(text):
        profile.quotations = [
            next(group for group in match.groups() if group).strip().casefold()
            for match in _QUOTED.finditer(text)
        ]
    tokens = _scan(text, profile)
    _count(tokens, profile)
    profile.words = _merged(tokens)
    _read(profile)
    return profile


def _scan(text: str, profile: Profile) -> list[str]:
    """Split into lower-case tokens; codes and addresses go to `codes`, capitals to `names`."""
    tokens: list[str] = []
    capitals: list[str] = []
    shaped: list[str] = []
    starts = True
    count = 0
    for raw in text.split():
        word = raw.strip(_EDGES)
        if word.isalpha():
            lower = word.lower()
            tokens.append(lower)
            count += 1
            if word != lower and len(word) > 1:
                if word[1:] != lower[1:]:
                    shaped.append(lower)
                elif not starts:
                    capitals.append(lower)
        elif word:
            _split(word, tokens, profile, capitals, starts=starts)
        elif "&" in raw or "+" in raw:
            tokens.append("and")
        starts = raw.endswith(_SENTENCE_ENDS)
    # A Title Written Like This names nothing by its capitals.
    if len(capitals) * 2 < count or len(capitals) == 1:
        profile.names.update(capitals)
    if not text.isupper():
        profile.names.update(shaped)
    return tokens


def _split(
    word: str, tokens: list[str], profile: Profile, capitals: list[str], *, starts: bool
) -> None:
    """A token that is not all letters: a contraction, number, code, address or compound."""
    lower = word.lower()
    if "://" in word or "@" in word or lower.startswith("www."):
        profile.codes.add(lower.rstrip("/"))
        return
    bare = lower.translate(_APOSTROPHES)
    if bare.isalpha():
        if lower[-2:] in ("'s", "\u2019s"):
            bare = lower[:-2]
            if not starts and word[0].isupper():
                capitals.append(bare)
        tokens.append(bare)
    elif any(character.isdigit() for character in word):
        tokens.append(lower)
    else:
        if "_" in lower:
            profile.codes.add(lower)
        head, _, tail = lower.rpartition(".")
        if len(head) > 1 and tail.isalpha() and 1 < len(tail) < 5 and head[-1].isalnum():
            profile.codes.add(lower)
        pieces = _PIECES.findall(lower)
        tokens.extend(pieces)
        if word[0].isupper() and not starts:
            capitals.extend(piece for piece in pieces if len(piece) > 1)


def _count(tokens: list[str], profile: Profile) -> None:
    """Read numbers, units, currencies and dates; digits leave `tokens` for "#"."""
    pending: float | None = None
    for place, token in enumerate(tokens):
        first = token[0]
        if not token.isalpha():
            if pending is not None:
                _add_number(profile, pending, token)
                pending = None
            if any(character.isdigit() for character in token):
                value = _numeral(token, profile)
                if value is not None:
                    pending = value
                tokens[place] = "#"
            continue
        if token in SCALES and pending is not None:
            pending *= SCALES[token]
            continue
        spelled = NUMBER_WORDS.get(token)
        if spelled is not None:
            if pending is not None and pending % 10 == 0 and 0 < spelled < pending:
                pending += spelled
            else:
                if pending is not None:
                    _add_number(profile, pending, token)
                # "One" counts nothing in "which one": a unit that follows says the rest.
                pending = spelled if spelled != 1.0 else None
            continue
        if token == "and" and pending is not None and pending >= 100:
            continue
        if pending is not None:
            _add_number(profile, pending, token)
            pending = None
            if token in UNITS:
                tokens[place] = "#"
                continue
        if first in "mtwfsjand" and (token in MONTHS or token in WEEKDAYS):
            _add_date(profile, tokens, place)
        elif token in CLOCK_WORDS:
            if not (place and tokens[place - 1] == "good"):
                profile.dates.add(token)
        elif token in CURRENCIES:
            profile.currencies.add(CURRENCIES[token])
        elif token in ORDINAL_WORDS:
            before = tokens[place - 1] if place else ""
            if token != "second" or before in ("the", "my", "our", "his", "her", "their"):
                profile.numbers.add(repr(ORDINAL_WORDS[token]))
        elif token in _SHIFTS and place + 1 < len(tokens) and stem(tokens[place + 1]) in _PERIODS:
            profile.dates.add(f"{token} {stem(tokens[place + 1])}")
    if pending is not None:
        _add_number(profile, pending, "")


def _add_number(profile: Profile, value: float, follower: str) -> None:
    unit = UNITS.get(follower)
    if unit is not None:
        profile.units.add(unit)
    if value != 1.0 or unit is None:
        profile.numbers.add(repr(value))


def _add_date(profile: Profile, tokens: list[str], place: int) -> None:
    token = tokens[place]
    if token in _VAGUE_DATES:
        before = tokens[place - 1] if place else ""
        behind = tokens[place + 1] if place + 1 < len(tokens) else ""
        if not (
            before in _DATE_LEADS
            or before == "#"
            or behind[:1].isdigit()
            or (token in ("march", "dec", "jan", "oct") and token in profile.names)
        ):
            return
    profile.names.discard(token)
    profile.dates.add(MONTHS.get(token) or WEEKDAYS[token])


def _numeral(token: str, profile: Profile) -> float | None:
    """The value of a token with digits, or None where it is a code, a time or a range."""
    time = _TIME.fullmatch(token)
    if time is not None:
        hour = int(time[1]) % 12 + 12 * (time[3] == "pm") if time[3] else int(time[1])
        profile.dates.add(f"{hour:02d}:{time[2]}")
        return None
    spread = _RANGE.fullmatch(token)
    if spread is not None:
        profile.numbers.update((repr(float(spread[1])), repr(float(spread[2]))))
        return None
    if token.startswith("rs"):
        token = token[2:].lstrip(".")
        profile.currencies.add("inr")
    match = _NUMBER.fullmatch(token.lstrip("#"))
    if match is None:
        profile.codes.add("".join(c for c in token if c.isalnum()) or token)
        return None
    sign, digits, suffix, trailing = match.groups()
    if sign or trailing:
        profile.currencies.add(CURRENCIES.get(sign or trailing, sign or trailing))
    value = _value(digits)
    if value is None or (suffix and suffix not in _SUFFIXES):
        profile.codes.add("".join(c for c in token if c.isalnum() or c in ".,"))
        return None
    if suffix in ("am", "pm"):
        profile.dates.add(f"{int(value) % 12 + 12 * (suffix == 'pm'):02d}:00")
        return None
    if suffix in CURRENCIES:
        profile.currencies.add(CURRENCIES[suffix])
    elif suffix in SCALES:
        return value * SCALES[suffix]
    elif suffix in UNITS:
        profile.units.add(UNITS[suffix])
    elif suffix == "s":
        (profile.dates if value >= 20 else profile.codes).add(token)
        return None
    return value


_SUFFIXES = frozenset({"st", "nd", "rd", "th", "am", "pm", "s", *UNITS, *SCALES, *CURRENCIES})


def _value(digits: str) -> float | None:
    if _THOUSANDS.fullmatch(digits):
        return float(digits.replace(",", ""))
    if digits.count(".") + digits.count(",") > 1:
        return None
    return float(digits.replace(",", "."))


def _merged(tokens: list[str]) -> list[str]:
    """The tokens with phrases replaced by the word that stands for them."""
    words: list[str] = []
    place = 0
    while place < len(tokens):
        for phrase, meaning in _PHRASES_BY_HEAD.get(tokens[place], ()):
            if tokens[place : place + len(phrase)] == list(phrase):
                words.append(meaning)
                place += len(phrase)
                break
        else:
            words.append(tokens[place])
            place += 1
    return words


def _read(profile: Profile) -> None:
    """Everything that goes by words: polarity, kind, poles, directions, concepts."""
    profile.kind = _kind(profile.words)
    connector = ""
    reach = 0
    for word in profile.words:
        if word in NEGATORS:
            profile.negated = True
        if word in _CONNECTORS:
            connector, reach = word, _REACH
        root = stem(word)
        _pole(profile.poles, ALTERNATIVES.get(root, ()))
        _pole(profile.strict, STRICT.get(root, ()))
        if word in STOPWORDS or word in _KINDS or word in NEGATORS or word in _BLANKS:
            continue
        concept = CONCEPTS.get(root, root)
        profile.vocabulary.add(root)
        profile.concepts.append(concept)
        profile.content.append(word)
        if root in SOFT_NEGATORS:
            profile.soft_negated = True
        if reach and word not in _CONNECTORS:
            profile.after.setdefault(connector, set()).add(concept)
            reach -= 1


def _pole(table: dict[str, set[str]], entries: Iterable[tuple[str, str]]) -> None:
    for group, pole in entries:
        table.setdefault(group, set()).add(pole)


def _kind(words: list[str]) -> str:
    """What kind of question this is, "" for a statement or a command."""
    head = next((place for place, word in enumerate(words) if word not in _OPENERS), len(words))
    first = words[head] if head < len(words) else ""
    follower = words[head + 1] if head + 1 < len(words) else ""
    if first in ("when", "where"):
        if not follower or follower in _AUXILIARIES:
            return first
    elif first in _KINDS:
        return first
    elif first == "which":
        return "what"
    elif first in _AUXILIARIES:
        inner = {"mustdo", "should", "cani"}.intersection(words[head : head + 4])
        return inner.pop() if inner else "yesno"
    # Elsewhere only words that cannot join clauses tell.
    return next((word for word in words[head + 1 :] if word in _ANYWHERE), "")
