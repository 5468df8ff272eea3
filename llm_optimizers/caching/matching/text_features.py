"""What guards and scores see of a text: its words, numbers, dates, names and literals.

One pass over the whitespace-separated tokens; nothing here backtracks, so the time is linear in
the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from llm_optimizers.caching.matching.amounts import BLANK, DATA_PACKAGE, Amounts
from llm_optimizers.text.lexicon import (
    CONCEPTS,
    NEGATORS,
    PHRASES,
    SOFT_NEGATORS,
    STOPWORDS,
    folded,
    stem,
)
from llm_optimizers.text.word_lists import lines

__all__ = ["TextFeatures", "extract_features"]

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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_AUXILIARIES = _words(
    "is are was were will would do does did can could should shall may might has have had am "
    "cani mustdo isnt arent wasnt wont dont doesnt didnt cant couldnt shouldnt hasnt havent"
)
_KINDS = _words(
    "how what yesno howto why when where who howlong howmuch howmany howoften cani mustdo "
    "whatif should"
)
_CONNECTORS = _words("from to into onto than before after over by instead versus")
_SWITCHES = _words("turn turning turned switch switching switched power keep leave")
_REACH, _SWITCH_REACH = 3, 5


_ANYWHERE = _words("howto why howlong howmuch howmany howoften whatif")
_OPENERS = _words(
    "skip so and but then also please hi hello hey thanks ok okay well kindly dear just"
)
_ASKING = ("mustdo", "should", "cani")
_CONTRACTED = _words("what how where who when why that there here it")
_BLANKS = frozenset({"skip", "wayto", BLANK})


def _phrase_table(phrases: Mapping[str, str]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    table: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for phrase, meaning in phrases.items():
        plain = phrase.replace("what's", "what is").replace("whats", "what is")
        words = tuple(plain.translate(_APOSTROPHES).replace("-", " ").replace(";", " ").split())
        table.setdefault(words[0], []).append((words, meaning))
    for rows in table.values():
        rows.sort(key=lambda row: -len(row[0]))
    return table


_PHRASES_BY_HEAD = _phrase_table(PHRASES)


def _sides(name: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """For each stem of a list of opposites the (group, side)s that it stands for."""
    table: dict[str, tuple[tuple[str, str], ...]] = {}
    for group in lines(name, DATA_PACKAGE):
        for side in group.split("/"):
            for word in side.split("="):
                entry, key = (group, side), stem(word)
                if entry not in table.get(key, ()):
                    table[key] = (*table.get(key, ()), entry)
    return table


_OPPOSITES = _sides("opposites")
_FORMATS = _sides("formats")
"""As `_OPPOSITES`; here one text on a side and one on none differ as well."""


@dataclass(slots=True)
class TextFeatures:
    """A text taken apart; every string in it is `folded`.

    `words` are lower-case and in order, phrases replaced by what stands for them; `concepts` are
    the stems of the content words (`content`), synonyms merged, in order. `poles` are the
    sides it takes in groups of opposites; `after` holds the concepts that follow a connector.
    """

    folded: str
    words: list[str] = field(default_factory=list)
    concepts: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    vocabulary: set[str] = field(default_factory=set)
    amounts: Amounts = field(default_factory=Amounts)
    names: set[str] = field(default_factory=set)
    quotations: list[str] = field(default_factory=list)
    poles: dict[str, set[str]] = field(default_factory=dict)
    strict: dict[str, set[str]] = field(default_factory=dict)
    after: dict[str, set[str]] = field(default_factory=dict)
    negated: bool = False
    soft_negated: bool = False
    kind: str = ""


def extract_features(text: str) -> TextFeatures:
    """Take a text apart; never raises."""
    text = unicodedata.normalize("NFC", text)
    profile = TextFeatures(folded=folded(text))
    if not _QUOTES.isdisjoint(text):
        profile.quotations = [
            folded(next(group for group in match.groups() if group).strip())
            for match in _QUOTED.finditer(text)
        ]
    tokens = _scan(text, profile)
    profile.amounts.read(tokens, profile.names)
    profile.words = _merged(tokens)
    _read(profile)
    return profile


def _scan(text: str, profile: TextFeatures) -> list[str]:
    """Split into lower-case tokens; codes and addresses go to `codes`, capitals to `names`."""
    tokens: list[str] = []
    capitals: list[str] = []
    shaped: list[str] = []
    starts = True
    count = 0
    for raw in text.split():
        word = raw.strip(_EDGES)
        if word.isalpha():
            lower = folded(word)
            if lower == "whats":
                tokens.extend(("what", "is"))
            else:
                tokens.append(lower)
            count += 1
            if word[1:] != word[1:].lower():
                shaped.append(lower)
            elif len(word) > 1 and word[0] != word[0].lower() and not starts:
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
    word: str, tokens: list[str], profile: TextFeatures, capitals: list[str], *, starts: bool
) -> None:
    """A token that is not all letters: a contraction, number, code, address or compound."""
    lower = folded(word)
    if "://" in word or "@" in word or lower.startswith("www."):
        profile.amounts.codes.add(lower.rstrip("/"))
        return
    bare = lower.translate(_APOSTROPHES)
    if bare.isalpha():
        if lower[-2:] in ("'s", "\u2019s"):
            bare = lower[:-2]
            if bare in _CONTRACTED:
                tokens.extend((bare, "is"))
                return
            if not starts and word[0].isupper():
                capitals.append(bare)
        tokens.append(bare)
    elif any(character.isdigit() for character in word):
        tokens.append(lower)
    else:
        if "_" in lower:
            profile.amounts.codes.add(lower)
        head, _, tail = lower.rpartition(".")
        if len(head) > 1 and tail.isalpha() and 1 < len(tail) < 5 and head[-1].isalnum():
            profile.amounts.codes.add(lower)
        pieces = _PIECES.findall(lower)
        tokens.extend(pieces)
        if word[0].isupper() and not starts:
            capitals.extend(piece for piece in pieces if len(piece) > 1)


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


def _read(profile: TextFeatures) -> None:
    """Everything that goes by words: polarity, kind, poles, directions, concepts."""
    profile.kind = _kind(profile.words)
    connector = ""
    reach = switch = 0
    for word in profile.words:
        if word in NEGATORS:
            profile.negated = True
        if word in _CONNECTORS:
            connector, reach = word, _REACH
        # "Turn it off": the particle may stand apart from its verb.
        if word in _SWITCHES:
            switch = _SWITCH_REACH
        elif switch:
            switch -= 1
            if word in ("on", "off"):
                profile.poles.setdefault("on/off", set()).add(word)
        root = stem(word)
        _pole(profile.poles, _OPPOSITES.get(root, ()))
        _pole(profile.strict, _FORMATS.get(root, ()))
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
        return next((word for word in words[head : head + 4] if word in _ASKING), "yesno")
    # Elsewhere only words that cannot join clauses tell.
    return next((word for word in words[head + 1 :] if word in _ANYWHERE), "")
