"""What kind of answer a question asks for, and whether a text has one.

"Who" asks for a name, "when" for a date, "how many" for a number, "which release" for a version,
"which exception" for an error's name. A sentence without one cannot answer the question.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeAlias, cast, get_args

from llm_optimizers.prompts.context.ranking.words import (
    PUNCTUATION,
    QuestionWords,
    question_words,
)
from llm_optimizers.text import terms
from llm_optimizers.text.stemming import ENGLISH

__all__ = ["AnswerType", "answer_type", "has_answer_of_type"]

AnswerType: TypeAlias = Literal[
    "name", "date", "number", "version", "option", "error", "call", "licence", "file", "command",
    "open",
]  # fmt: skip

_FARTHEST = 4
"""Words after "which" among which the kind of the answer is looked for: "which Tornado setting"."""
_IDENTIFIER = (
    r"`[^`\n]+`|\b[a-z]\w*_\w+|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+|\b[A-Z][a-z0-9]+[A-Z]\w*"
    r"|\b[A-Za-z_]\w*(?:\(|\.[a-z_]\w+)"
)
_SHAPES: Mapping[AnswerType, re.Pattern[str]] = {
    "date": re.compile(
        r"\b(?:1\d{3}|20\d{2})s?\b|\bcentur(?:y|ies)\b|\b(?:January|February|March|April|May|June"
        r"|July|August|September|October|November|December)\b"
    ),
    "number": re.compile(
        r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty"
        r"|fifty|hundred|thousand|million|billion|dozen|half|third|percent)\b",
        re.I,
    ),
    "version": re.compile(r"\b[vV]?\d+\.(?:\d|[xX]\b)"),
    "licence": re.compile(r"\b[Ll]icen[cs]e|\b(?:MIT|BSD|Apache|[AL]?GPL|MPL|ISC|PSF)\b"),
    "name": re.compile(
        r"(?<=[\w,;)'\"] )[A-Z\u00c0-\u00de][\w'\u2019.-]+|\b[A-Z][\w'-]{1,60}+ [A-Z][\w'-]+"
    ),
    "option": re.compile(rf"(?<![\w-])--?[a-z][\w-]*|\b\w+=|{_IDENTIFIER}"),
    "error": re.compile(
        r"\b[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt|Timeout)\b|\b[A-Z][a-z0-9]+[A-Z]\w*"
    ),
    "call": re.compile(_IDENTIFIER),
    "file": re.compile(r"(?<![\w~.])[\w~.]*/[\w./-]+|\b\w+\.[a-z]{1,5}\b"),
    "command": re.compile(r"`[^`\n]+`|(?<![\w-])--[a-z]|^[ \t]*\$ \w", re.MULTILINE),
}
_NEW: Collection[AnswerType] = ("name", "option", "error", "call", "file", "command")
"""Types whose answer must have a word that is not in the question."""
_KINDS = cast("Sequence[AnswerType]", get_args(AnswerType)[:-1])


def answer_type(question: str, language: str = ENGLISH) -> AnswerType:
    """Return the type of answer that a question asks for; the first word that tells it decides."""
    fields = question_words(language)
    if fields is None:
        return "open"
    words = [word.strip(PUNCTUATION).lower() for word in question.split()]
    found = (_type_at(words, at, fields) for at in range(len(words)))
    kind = next((each for each in found if each is not None), None)
    if kind is not None:
        return kind
    throws = all(not fields[name].isdisjoint(words) for name in ("throws", "selects"))
    return "error" if throws else "open"


def _type_at(words: Sequence[str], at: int, fields: QuestionWords) -> AnswerType | None:
    """Return the type that a word asks for together with those behind it, if it does."""
    word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
    if word in fields["names"]:
        return "name"
    if word in fields["counts"] and following in fields["counted"]:
        return "number"
    if word in fields["times"] and (not following or following in fields["verbs"]):
        return "date"
    if word not in fields["selects"]:
        return None
    start = at + 2 if following in fields["is"] else at + 1
    near = words[start : start + _FARTHEST]
    for place, each in enumerate(near):
        if each in fields["throws"]:
            return "error"
        # Of two in a row the second is asked for: "which class method".
        kinds = [_kind(other, fields) for other in near[place : place + 2]]
        if kinds[0] is not None:
            return kinds[-1] or kinds[0]
        if each in fields["verbs"] or each in fields["before"]:
            break
    return None


def _kind(word: str, fields: QuestionWords) -> AnswerType | None:
    return next((kind for kind in _KINDS if word in fields.get(kind, ())), None)


def has_answer_of_type(
    kind: AnswerType, sentence: str, asked: Collection[str], language: str = ENGLISH
) -> bool:
    """Return whether a sentence contains a possible answer of that type.

    A name must have a word that is not one of `asked`, the question's terms. Always False for an
    open question.
    """
    shape = _SHAPES.get(kind)
    if shape is None:
        return False
    if kind not in _NEW:
        return shape.search(sentence) is not None
    return any(
        term not in asked
        for match in shape.finditer(sentence)
        for term in terms(match.group(), language)
    )
