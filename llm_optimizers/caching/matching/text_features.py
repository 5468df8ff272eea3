"""Extract what guards and scores compare of a text: words, numbers, dates, names, quotations.

    text → tokens → amounts → frames taken off → phrases replaced → kind, marks, concepts

Linear in the length of the text.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_optimizers.caching.matching.amounts import PLACEHOLDER, Amounts
from llm_optimizers.caching.matching.function_words import (
    FunctionWords,
    Reading,
    read_function_words,
)
from llm_optimizers.caching.matching.tokens import PAUSE, raw_words, read_tokens
from llm_optimizers.caching.matching.vocabulary import Vocabulary, is_loaded, vocabulary_for
from llm_optimizers.caching.matching.word_use import is_name, is_verb, speaks_of_words
from llm_optimizers.text.stemming import ENGLISH, detect_language, lowercase

__all__ = ["TextFeatures", "extract_features", "loads_words"]

_REACH, _SWITCH_REACH = 3, 5
"""Words after a connector, and after a switch, that belong to it."""
_LATIN_END = "\u024f"


@dataclass(slots=True)
class TextFeatures:
    """What is compared of a text; every string is in lower case, as by `lowercase`.

    `raw` are its words as they are. `words` are in order, contractions spelled out, phrases
    replaced by the word they mean. `content_words` are those that say what is asked, `stems` their
    stems, and `concepts` the stems in order, synonyms merged; `places` are their places in
    `words`. A text that is not `listed` is in a language without word lists: only the same words
    in the same order match it. `opposites` and `formats` hold, for each group of opposites that
    the text mentions, its sides; `after_connector` the concepts that follow "from", "to" and the
    like. `kind` is the kind of question, "" for a
    statement or a command. `asks_object` says whether "who" or "what" is followed
    by "do", `about_words` and `about_code` whether a text speaks about them.
    """

    lowercase: str
    listed: bool
    vocabulary: Vocabulary
    amounts: Amounts
    raw: list[str]
    words: list[str] = field(default_factory=list)
    concepts: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    content_words: list[str] = field(default_factory=list)
    stems: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    quotations: list[str] = field(default_factory=list)
    opposites: dict[str, set[str]] = field(default_factory=dict)
    formats: dict[str, set[str]] = field(default_factory=dict)
    after_connector: dict[str, set[str]] = field(default_factory=dict)
    light: Counter[str] = field(default_factory=Counter)
    functions: FunctionWords = field(default_factory=FunctionWords)
    negations: dict[str, int] = field(default_factory=dict)
    mentions_failure: bool = False
    kind: str = ""
    kind_at: int = -1
    asks_object: bool = False
    about_words: bool = False
    about_code: bool = False


def loads_words(text: str) -> bool:
    """Whether `extract_features` would first read the word lists of the text's language."""
    return not (is_loaded(ENGLISH) and is_loaded(detect_language(raw_words(text))))


def extract_features(text: str) -> TextFeatures:
    """Extract the features of a text; never raises."""
    text = unicodedata.normalize("NFC", text)
    raw = raw_words(text)
    language = detect_language(raw)
    vocabulary = vocabulary_for(language)
    found = TextFeatures(
        lowercase=lowercase(text),
        listed=language == vocabulary.language and _in_latin_letters(text),
        vocabulary=vocabulary,
        amounts=Amounts(vocabulary),
        raw=raw,
    )
    tokens = read_tokens(text, vocabulary)
    found.names, found.quotations = tokens.names, tokens.quotations
    found.amounts.codes |= tokens.codes
    words = _with_names(tokens.words, vocabulary)
    found.listed = found.listed and _is_evident(raw, words, vocabulary)
    found.amounts.read(words, found.names)
    found.about_words, found.about_code = speaks_of_words(words, vocabulary)
    words = _without_frames(words, vocabulary, strict=found.about_words)
    spoken = found.about_words or found.about_code
    found.words = _merge_phrases(words, vocabulary.phrases, only_first=spoken)
    found.kind, found.kind_at = _kind(found.words, vocabulary)
    _read_words(found)
    return found


def _is_evident(raw: list[str], words: list[str], vocabulary: Vocabulary) -> bool:
    """Return whether a text is surely in the language of its vocabulary.

    "In", "an" and "was" are words of several languages: where a text has a stopword of another
    language, one of this language alone must be there too.
    """
    return vocabulary.foreign.isdisjoint(raw) or not vocabulary.evidence.isdisjoint(words)


def _in_latin_letters(text: str) -> bool:
    return text.isascii() or not any(c > _LATIN_END and c.isalpha() for c in text)


def _with_names(words: list[str], vocabulary: Vocabulary) -> list[str]:
    """Return the words with single letters in upper case if they are names, else in lower case."""
    return [
        (word.upper() if is_name(words, place, vocabulary) else word.lower())
        if len(word) == 1 and word.isalpha() and word.isascii()
        else word
        for place, word in enumerate(words)
    ]


def _without_frames(words: list[str], vocabulary: Vocabulary, *, strict: bool) -> list[str]:
    """Return the words without the phrases that only surround what is asked.

    A `strict` text loses a single word only where punctuation sets it off.
    """
    kept: list[str] = []
    place = 0
    starts = True
    while place < len(words):
        length = _frame(words, place, vocabulary.openings, strict=strict) if starts else 0
        if length:
            place += length
            continue
        word = words[place]
        starts = word == PAUSE
        if not starts or (kept and kept[-1] != PAUSE):
            kept.append(word)
        place += 1
        if place == len(words) or words[place] == PAUSE:
            _close(kept, vocabulary.closings, strict=strict)
    while kept and kept[-1] == PAUSE:
        kept.pop()
        _close(kept, vocabulary.closings, strict=strict)
    return kept if any(word != PAUSE for word in kept) else words


def _frame(
    words: list[str], place: int, frames: Mapping[str, list[tuple[str, ...]]], *, strict: bool
) -> int:
    for phrase in frames.get(words[place], ()):
        length = len(phrase)
        if strict and length == 1 and words[place + 1 : place + 2] != [PAUSE]:
            continue
        if tuple(words[place : place + length]) == phrase:
            return length
    return 0


def _close(kept: list[str], frames: Mapping[str, list[tuple[str, ...]]], *, strict: bool) -> None:
    """Take a closing off the end of the last clause."""
    again = True
    while again and kept:
        again = False
        for phrase in frames.get(kept[-1], ()):
            if strict and len(phrase) == 1 and kept[-2:-1] != [PAUSE]:
                continue
            if len(kept) > len(phrase) and tuple(kept[-len(phrase) :]) == phrase:
                del kept[-len(phrase) :]
                again = True
                break


def _merge_phrases(
    tokens: list[str],
    phrases: Mapping[str, list[tuple[tuple[str, ...], str]]],
    *,
    only_first: bool,
) -> list[str]:
    """Return the tokens with each phrase, or only one at the start, replaced by its meaning."""
    words: list[str] = []
    place = 0
    while place < len(tokens):
        listed = phrases.get(tokens[place], ()) if not (only_first and words) else ()
        for phrase, meaning in listed:
            if tokens[place : place + len(phrase)] == list(phrase):
                words.append(meaning)
                place += len(phrase)
                break
        else:
            words.append(tokens[place])
            place += 1
    return words


def _content(found: TextFeatures, strict: bool) -> list[str]:
    """Return for each word its content, as it is written, "" for a word that has none."""
    words, known = found.words, found.vocabulary.function_words
    listed = []
    for place, word in enumerate(words):
        if word in (PAUSE, PLACEHOLDER) or not word[:1].isalnum():
            listed.append("")
        elif word in known:
            verb = not strict and is_verb(words, place, found.vocabulary)
            listed.append(word if verb else "")
        else:
            listed.append(word)
    return listed


def _read_words(found: TextFeatures) -> None:
    """Set what depends on single words: negation, opposites, concepts, what follows connectors."""
    vocabulary, grammar = found.vocabulary, found.vocabulary.grammar
    opposites, formats, stem = vocabulary.opposites, vocabulary.formats, vocabulary.stem
    strict, base_forms = found.about_words, vocabulary.base_forms
    mention = strict or found.about_code
    connector = ""
    reach = switch = 0
    concepts = [""] * len(found.words)
    for place, (word, content) in enumerate(zip(found.words, _content(found, strict), strict=True)):
        kind = vocabulary.negator_kinds.get(word)
        if kind is not None:
            found.negations[kind] = found.negations.get(kind, 0) + 1
        if word in grammar.connector:
            connector, reach = word, _REACH
        # "Turn it off": the particle may be apart from its verb.
        if word in grammar.switch:
            switch = _SWITCH_REACH
        elif switch:
            switch -= 1
            if word in ("on", "off"):
                found.opposites.setdefault("on/off", set()).add(word)
        root = stem(content or word) if mention else stem(base_forms.get(word, content or word))
        for group, side in opposites.get(root, ()):
            found.opposites.setdefault(group, set()).add(side)
        for group, side in formats.get(root, ()):
            found.formats.setdefault(group, set()).add(side)
        if not content:
            continue
        if place and root == "have" and found.words[place - 1] in vocabulary.functions.obtains:
            root = stem("get")
        concept = vocabulary.synonyms.get(root, root) if not strict else content
        concepts[place] = concept
        if concept in vocabulary.light_stems and not strict:
            found.light[concept] += 1
            continue
        found.stems.add(root)
        found.concepts.append(concept)
        found.places.append(place)
        found.content_words.append(content)
        if len(content) == 1:
            found.amounts.codes.add(content)
        if root in vocabulary.failure_stems:
            found.mentions_failure = True
        if reach and word not in grammar.connector:
            found.after_connector.setdefault(connector, set()).add(concept)
            reach -= 1
    if not found.listed:
        found.concepts = found.content_words = found.raw
        found.places = list(range(len(found.raw)))
    found.functions = read_function_words(
        Reading(
            words=found.words,
            concepts=concepts,
            vocabulary=vocabulary,
            kind=found.kind,
            kind_at=found.kind_at,
            about_words=found.about_words,
            about_code=found.about_code,
        )
    )
    found.asks_object = found.kind in ("what", "who") and found.functions.idle["do"] > 0


def _kind(words: list[str], vocabulary: Vocabulary) -> tuple[str, int]:
    """Return the kind of question and the place of its word, -1 without one."""
    grammar = vocabulary.grammar
    starts = True
    for place, word in enumerate(words):
        if word == PAUSE:
            starts = True
            continue
        following = words[place + 1] if place + 1 < len(words) else PAUSE
        if word in grammar.kind and word not in grammar.asking:
            before = words[place - 1] if place else PAUSE
            joins = word in grammar.joins and not starts and following != PAUSE
            if not joins or before in vocabulary.function_words:
                return word, place
        elif starts and word in grammar.asking:
            return word, place
        elif starts and word in grammar.auxiliary:
            return "yesno", -1
        starts = False
    return "", -1
