"""Tell questions, whose answer is in one place, from tasks that need all of the documents.

The answer to "Summarise these documents" is in no one place of them, so there is nothing to select.
The words of such requests are in `data/<language>/requests.txt`. Every language is tried, since a
short request does not say which one it is in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import TypeAlias

from llm_optimizers.prompts.context.documents.asking import question_in
from llm_optimizers.text import sentences, terms
from llm_optimizers.text.terms import language_of, stop_terms
from llm_optimizers.text.word_lists import languages, read_fields

__all__ = ["Asked", "names_nothing", "read_request"]

_PACKAGE = __package__
_LONGEST = 1_000
"""Characters up to which a request's words are compared; a longer one has enough to select by."""
_LETTER = 200
"""Characters that a shorter reading of a request leaves out at least."""
_FIELDS = ("polite", "citing", "cited", "starts", "verbs", "scopes", "work", "text", "empty")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_BETWEEN = re.compile(r"[\s!-/:-@\u3001-\u303f\uff01-\uff1f]")
"""What stands between words: blanks and punctuation, also of Chinese and Japanese."""

Phrases: TypeAlias = Mapping[str, Sequence[tuple[str, ...]]]
"""Phrases as terms, by their first term; the longest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request's question, and shorter readings of it to try if that is unlike the documents.

    A letter or instructions around a question have words of their own that hide how well it is
    answered. A few words before it are part of it: they say what "it" is.
    `needs_all` says that the request is about all of the documents, `names_nothing` that none of
    its words could be looked for.
    """

    question: str
    shorter: tuple[str, ...] = ()
    needs_all: bool = False
    names_nothing: bool = False


def read_request(text: str) -> Asked:
    """Read a request: its question, and what kind of request it is."""
    question = question_in(text)
    last = _PARAGRAPHS.split(question)[-1].strip()
    parts = sentences(last)
    asking = [part for part in parts if part.rstrip().endswith(("?", "\uff1f", "\u061f"))]
    shorter = dict.fromkeys([last, "".join(asking).strip()])
    return Asked(
        question=question,
        shorter=tuple(each for each in shorter if _has_words(each) and _leaves_out(question, each)),
        needs_all=_needs_all(asking or parts),
        names_nothing=names_nothing(question),
    )


def _leaves_out(question: str, reading: str) -> bool:
    """Return whether a reading is without a whole letter or instructions."""
    return len(question) - len(reading) >= _LETTER


def _needs_all(parts: Sequence[str]) -> bool:
    """Return whether a sentence asks for work on all of the documents.

    It does if it starts with a command for that ("summarise", "find every"), or has both a word
    for such work and one for the documents ("how many", "documents"). Documents that the sentence
    only cites ("according to the documents") say nothing about what it asks for.
    """
    short = sum(map(len, parts)) <= _LONGEST
    return short and any(_asks_for_all(part, each) for part in parts for each in _likely(part))


def _asks_for_all(part: str, language: str) -> bool:
    fields = _phrases(language)
    words = _words(part, language)
    cited = _cited(words, fields, _stops(language))
    at = 0
    while skipped := at in cited or _length_at(words, at, fields["polite"]):
        at += skipped
    if _length_at(words, at, fields["starts"]):
        return True
    verb = _length_at(words, at, fields["verbs"])
    if verb and _length_at(words, at + verb, fields["scopes"]):
        return True
    return bool(_covered(words, fields["work"]) and _covered(words, fields["text"]) - cited)


def _cited(words: Sequence[str], fields: Mapping[str, Phrases], stops: Collection[str]) -> set[int]:
    """Return the positions of citations, such as "based on the documents above".

    `citing` stands before what is cited, `cited` after it.
    """
    texts = _covered(words, fields["text"])
    about = texts | _covered(words, fields["empty"])
    about |= {at for at, word in enumerate(words) if word in stops}
    found: set[int] = set()
    for at in range(len(words)):
        if size := _length_at(words, at, fields["citing"]):
            run = takewhile(about.__contains__, range(at + size, len(words)))
            found.update(range(at, 1 + max(texts.intersection(run), default=at - 1)))
        if size := _length_at(words, at, fields["cited"]):
            run = takewhile(about.__contains__, range(at - 1, -1, -1))
            found.update(range(min(texts.intersection(run), default=at + size), at + size))
    return found


def names_nothing(question: str) -> bool:
    """Return whether all words are stopwords or words about any text ("And the second one?")."""
    if not _has_words(question):
        return True
    short = len(question) <= _LONGEST
    return short and any(_all_known(question, each) for each in _likely(question))


def _all_known(question: str, language: str) -> bool:
    words, stops = _words(question, language), _stops(language)
    fields = [each for name, each in _phrases(language).items() if name != "verbs"]
    known = set().union(*(_covered(words, each) for each in fields))
    return all(at in known or word in stops for at, word in enumerate(words))


def _covered(words: Sequence[str], phrases: Phrases) -> set[int]:
    """Return the positions of the words that are part of a phrase."""
    return {
        place
        for at, word in enumerate(words)
        if word in phrases
        for place in range(at, at + _length_at(words, at, phrases))
    }


def _length_at(words: Sequence[str], at: int, phrases: Phrases) -> int:
    """Return the number of words of the longest phrase at a position, 0 for none."""
    if at >= len(words):
        return 0
    found = (p for p in phrases.get(words[at], ()) if tuple(words[at : at + len(p)]) == p)
    return len(next(found, ()))


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def _likely(text: str) -> tuple[str, ...]:
    """Return the language of a text if two stopwords show it, else all that there are words for.

    "them" is an English stopword, and the stem of the German "Themen".
    """
    language = language_of([text])
    sure = sum(term in _stops(language) for term in terms(text, language)) > 1
    return (language,) if sure and language in _languages() else _languages()


@cache
def _languages() -> tuple[str, ...]:
    return languages(_PACKAGE)


@cache
def _phrases(language: str) -> Mapping[str, Phrases]:
    fields = read_fields("requests", language, _PACKAGE, separator=",")
    return {name: _by_first(fields.get(name, ()), language) for name in _FIELDS}


def _by_first(entries: Iterable[str], language: str) -> Phrases:
    found = sorted((tuple(_words(each, language)) for each in entries if each), key=len)
    phrases: dict[str, list[tuple[str, ...]]] = {}
    for phrase in reversed(found):
        phrases.setdefault(phrase[0], []).append(phrase)
    return phrases


def _words(text: str, language: str) -> Sequence[str]:
    """Return the terms of a text; its letters in a language that writes no blanks between words."""
    if language in languages():
        return terms(text, language)
    return [each for each in unicodedata.normalize("NFKC", text) if not _BETWEEN.match(each)]


def _stops(language: str) -> frozenset[str]:
    return stop_terms(language) if language in languages() else frozenset()
