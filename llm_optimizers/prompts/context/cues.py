"""What shape of answer a question asks for, and whether a sentence holds one of that shape.

"Who" wants a name, "when" a date, "how many" a number: a sentence without one cannot answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, TypeAlias

from llm_optimizers.text.terms import terms

__all__ = ["AnswerKind", "answer_kind", "has_cue"]

AnswerKind: TypeAlias = Literal["name", "date", "number", "open"]

_ASKED: tuple[tuple[AnswerKind, re.Pattern[str]], ...] = (
    ("date", re.compile(r"\bwhen\b|\b(what|which) (year|date|month|day|century|decade)\b", re.I)),
    (
        "number",
        re.compile(
            r"\bhow (many|much|long|old|tall|far|big|large|high|fast|often|deep)\b"
            r"|\b(what|which) (percent\w*|number|population|age|amount|speed|proportion)\b",
            re.I,
        ),
    ),
    (
        "name",
        re.compile(
            r"\b(who|whose|whom|where)\b"
            r"|\b(what|which) (city|country|state|place|county|river|region|person|team)\b",
            re.I,
        ),
    ),
)
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d{2})s?\b|\bcentur(?:y|ies)\b|\b(?:January|February|March|April|May|June|July"
    r"|August|September|October|November|December)\b"
)
_NUMBER = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty"
    r"|fifty|hundred|thousand|million|billion|dozen|half|third|percent)\b",
    re.I,
)
_NAME = re.compile(r"(?<=[\w,;)'\"] )[A-Z\u00c0-\u00de][\w'\u2019.-]+|\b[A-Z][\w'-]+ [A-Z][\w'-]+")


def answer_kind(question: str) -> AnswerKind:
    """The shape of answer that the question's own words ask for."""
    for kind, pattern in _ASKED:
        if pattern.search(question):
            return kind
    return "open"


def has_cue(kind: AnswerKind, sentence: str, asked: Collection[str]) -> bool:
    """Whether the sentence holds something of that shape which the question does not already say.

    Always False for an open question, which has no shape to look for.
    """
    if kind == "date":
        return _DATE.search(sentence) is not None
    if kind == "number":
        return _NUMBER.search(sentence) is not None
    if kind == "name":
        return any(
            term not in asked for match in _NAME.finditer(sentence) for term in terms(match.group())
        )
    return False
