"""Extract what guards and scores compare of a text: words, numbers, dates, names, quotations.

One pass over the whitespace-separated tokens, without backtracking: the time is linear in the
length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from llm_optimizers.caching.matching.amounts import PLACEHOLDER, Amounts
from llm_optimizers.caching.matching.vocabulary import Grammar, Vocabulary, vocabulary_for
from llm_optimizers.text.stemming import detect_language, lowercase

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
_REACH, _SWITCH_REACH = 3, 5
"""Words after a connector, and after a switch, that belong to it."""
_NOT_CONTENT = frozenset({"skip", "wayto", PLACEHOLDER})


@dataclass(slots=True)
class TextFeatures:
    """What is compared of a text; every string is in lower case, as by `lowercase`.

    `words` are in order, phrases replaced by the word they mean. `content_words` are those that
    say what is asked, `stems` their stems, and `concepts` the stems in order, synonyms merged. In
    a language that is not `listed`, one without word lists, the concepts are all words as they
    are: without knowing its opposites and negators, stems would match too much. `opposites` and
    `formats` hold, for each group of opposites that the text mentions, its sides;
    `after_connector` the concepts that follow "from", "to" and the like. `kind` is the kind of
    question, "" for a statement or a command.
    """

    lowercase: str
    listed: bool
    vocabulary: Vocabulary
    amounts: Amounts
    words: list[str] = field(default_factory=list)
    concepts: list[str] = field(default_factory=list)
    content_words: list[str] = field(default_factory=list)
    stems: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    quotations: list[str] = field(default_factory=list)
    opposites: dict[str, set[str]] = field(default_factory=dict)
    formats: dict[str, set[str]] = field(default_factory=dict)
    after_connector: dict[str, set[str]] = field(default_factory=dict)
    negated: bool = False
    mentions_failure: bool = False
    kind: str = ""


def extract_features(text: str) -> TextFeatures:
    """Extract the features of a text; never raises."""
    text = unicodedata.normalize("NFC", text)
    lower = lowercase(text)
    language = detect_language(word.strip(_EDGES) for word in lower.split())
    vocabulary = vocabulary_for(language)
    found = TextFeatures(
        lowercase=lower,
        listed=language == vocabulary.language,
        vocabulary=vocabulary,
        amounts=Amounts(vocabulary),
    )
    if not _QUOTES.isdisjoint(text):
        found.quotations = [
            lowercase(next(group for group in match.groups() if group).strip())
            for match in _QUOTED.finditer(text)
        ]
    tokens = _scan(text, found)
    found.amounts.read(tokens, found.names)
    found.words = _merge_phrases(tokens, vocabulary)
    found.kind = _kind(found.words, vocabulary.grammar)
    _read_words(found)
    return found


def _scan(text: str, found: TextFeatures) -> list[str]:
    """Split into lower-case tokens; codes and addresses go to `amounts`, capitals to `names`."""
    tokens: list[str] = []
    capitals: list[str] = []
    inner_capitals: list[str] = []
    starts = True
    count = 0
    for raw in text.split():
        word = raw.strip(_EDGES)
        if word.isalpha():
            lower = lowercase(word)
            if lower == "whats":
                tokens.extend(("what", "is"))
            else:
                tokens.append(lower)
            count += 1
            if word[1:] != word[1:].lower():
                inner_capitals.append(lower)
            elif len(word) > 1 and word[0] != word[0].lower() and not starts:
                capitals.append(lower)
        elif word:
            _split(word, tokens, found, capitals, starts=starts)
        elif "&" in raw or "+" in raw:
            tokens.append("and")
        starts = raw.endswith(_SENTENCE_ENDS)
    # Capitals In A Title Like This Are No Names.
    if len(capitals) * 2 < count or len(capitals) == 1:
        found.names.update(capitals)
    if not text.isupper():
        found.names.update(inner_capitals)
    return tokens


def _split(
    word: str, tokens: list[str], found: TextFeatures, capitals: list[str], *, starts: bool
) -> None:
    """Add a token that is not all letters: a contraction, number, code, address or compound."""
    lower = lowercase(word)
    codes = found.amounts.codes
    if "://" in word or "@" in word or lower.startswith("www."):
        codes.add(lower.rstrip("/"))
        return
    bare = lower.translate(_APOSTROPHES)
    if bare.isalpha():
        if lower[-2:] in ("'s", "\u2019s"):
            bare = lower[:-2]
            if bare in found.vocabulary.grammar.contracted:
                tokens.extend((bare, "is"))
                return
            if not starts and word[0].isupper():
                capitals.append(bare)
        tokens.append(bare)
    elif any(character.isdigit() for character in word):
        tokens.append(lower)
    else:
        if "_" in lower:
            codes.add(lower)
        head, _, tail = lower.rpartition(".")
        if len(head) > 1 and tail.isalpha() and 1 < len(tail) < 5 and head[-1].isalnum():
            codes.add(lower)
        pieces = _PIECES.findall(lower)
        tokens.extend(pieces)
        if word[0].isupper() and not starts:
            capitals.extend(piece for piece in pieces if len(piece) > 1)


def _merge_phrases(tokens: list[str], vocabulary: Vocabulary) -> list[str]:
    """Return the tokens with each phrase replaced by the word it means."""
    words: list[str] = []
    place = 0
    while place < len(tokens):
        for phrase, meaning in vocabulary.phrases.get(tokens[place], ()):
            if tokens[place : place + len(phrase)] == list(phrase):
                words.append(meaning)
                place += len(phrase)
                break
        else:
            words.append(tokens[place])
            place += 1
    return words


def _read_words(found: TextFeatures) -> None:
    """Set what depends on single words: negation, opposites, concepts, what follows connectors."""
    vocabulary, grammar = found.vocabulary, found.vocabulary.grammar
    opposites, formats, stem = vocabulary.opposites, vocabulary.formats, vocabulary.stem
    connector = ""
    reach = switch = 0
    for word in found.words:
        if word in vocabulary.negators:
            found.negated = True
        if word in grammar.connector:
            connector, reach = word, _REACH
        # "Turn it off": the particle may be apart from its verb.
        if word in grammar.switch:
            switch = _SWITCH_REACH
        elif switch:
            switch -= 1
            if word in ("on", "off"):
                found.opposites.setdefault("on/off", set()).add(word)
        root = stem(word)
        for group, side in opposites.get(root, ()):
            found.opposites.setdefault(group, set()).add(side)
        for group, side in formats.get(root, ()):
            found.formats.setdefault(group, set()).add(side)
        if word in _NOT_CONTENT or (found.listed and word in vocabulary.ignored):
            continue
        concept = vocabulary.synonyms.get(root, root) if found.listed else word
        found.stems.add(root)
        found.concepts.append(concept)
        found.content_words.append(word)
        if root in vocabulary.failure_stems:
            found.mentions_failure = True
        if reach and word not in grammar.connector:
            found.after_connector.setdefault(connector, set()).add(concept)
            reach -= 1


def _kind(words: list[str], grammar: Grammar) -> str:
    """Return the kind of question, "" for a statement or a command."""
    head = next((at for at, word in enumerate(words) if word not in grammar.opener), len(words))
    first = words[head] if head < len(words) else ""
    following = words[head + 1] if head + 1 < len(words) else ""
    if first in ("when", "where"):
        if not following or following in grammar.auxiliary:
            return first
    elif first in grammar.kind:
        return first
    elif first == "which":
        return "what"
    elif first in grammar.auxiliary:
        return next((word for word in words[head : head + 4] if word in grammar.asking), "yesno")
    # Later only words that cannot join clauses tell the kind.
    return next((word for word in words[head + 1 :] if word in grammar.anywhere), "")
