"""Recognise requests to work on a text: summarise, translate, classify, rewrite or correct it.

The text is data there: two texts that mean nearly the same have two summaries, so answers are never
shared by meaning. The instruction stands in the user's message, with the text attached, or in the
system prompt, and then each message is such a text. Words are listed by language in data/;
data/README.md explains their roles. In a language without lists a message counts as such a request
as soon as it looks like an instruction with something attached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TypeAlias

from llm_optimizers.text.stemming import ENGLISH, detect_language, stopwords
from llm_optimizers.text.word_lists import languages, read_fields
from llm_optimizers.types import Message

__all__ = ["DATA_PACKAGE", "works_on_text"]

DATA_PACKAGE = "llm_optimizers.caching"
"""The package whose data/ holds the word lists."""

Place: TypeAlias = tuple[int, int]
"""Where a phrase stands: its first word, and the word after its last."""
Roles: TypeAlias = Mapping[str, list[Place]]
"""The places of the words of each role in the word lists."""

_HEAD, _TAIL = 600, 400
_PROMPT_HEAD, _PROMPT_TAIL = 6_000, 2_000
"""Characters at the start and the end of a long text where an instruction is looked for."""
_SHORT = 400
"""Characters of the longest paragraph before a question that may be an instruction."""
_REMEMBERED = 256
_NEXT, _NEAR, _FAR = 1, 3, 9
"""Words between a word and what it refers to."""
_FEW = 12
"""Words of the longest instruction that is known by "this" or "please" only."""
_LABEL_WORDS = 3
"""Words of the longest answer that may be a label."""
_MARK = re.compile(r":(?![/\d])|\uff1a|\n|\s[-\u2013\u2014]\s")
"""What stands between an instruction and the text attached to it."""
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|[\u3002\uff01\uff1f\n]+")
_WORD = re.compile(
    r"[^\s\-\u2010-\u2015.,;:!?()\[\]{}<>\"`*#|/=\u201c-\u201f\u00ab\u00bb\u00bf\u00a1"
    r"\u3000-\u303f\uff00-\uff20]+"
)
_APOSTROPHES = str.maketrans("", "", "'\u2018\u2019")
_JOB = re.compile(r"\s*[A-Z][A-Z0-9_]{2,39}:?[ \t]*\n\s*\S")
"""A first line in capitals that names the job to do with the lines after it."""
_LABEL = re.compile(
    r"(?:^|(?<=[.!?]))[ \t]*([^\W\d_][\w \-]{0,30}?)[ \t]*(?::(?!/)|\uff1a)", re.MULTILINE
)


def works_on_text(
    earlier: Sequence[Message], context: str, question: str, instructions: Iterable[str] = ()
) -> bool:
    """Return whether the last message asks for work on a text, or is the text.

    `earlier` are the messages before it; `context` is what stands before its line `Question: …`;
    `instructions` are system prompts that are no messages.
    """
    prompts = [*instructions, *(each.text for each in earlier if each.role == "system")]
    asked = [each.text for each in earlier if each.role == "user"]
    return (
        any(map(_instructs, prompts))
        or _asks(question)
        or any(_asks(each, followed=True) for each in asked)
        or _gives_labels(earlier)
        or (context != "" and _instructs("\n".join((*prompts, *_frame(context)))))
    )


def _frame(context: str) -> list[str]:
    """Return the first and the last paragraph of a context if they may hold an instruction."""
    paragraphs = context.strip().split("\n\n")
    ends = dict.fromkeys((paragraphs[0], paragraphs[-1]))
    return [each for each in ends if len(each) <= _SHORT]


def _gives_labels(earlier: Sequence[Message]) -> bool:
    """Return whether the earlier answers are labels, as in examples of a classification."""
    answers = [each.text.strip() for each in earlier if each.role == "assistant"]
    return len(answers) > 1 and all(
        len(answer.split()) <= _LABEL_WORDS and answer[-1:].isalnum() for answer in answers
    )


def _instructs(prompt: str) -> bool:
    """Return whether a system prompt makes every message a text to work on.

    A prompt that also tells how users are to be answered makes a message a question.
    """
    return _instructs_in(_shortened(prompt, _PROMPT_HEAD, _PROMPT_TAIL))


@lru_cache(_REMEMBERED)
def _instructs_in(prompt: str) -> bool:
    sentences = [_read(part) for part in _SENTENCE_END.split(prompt) if part.strip()]
    found = [roles for sentence in sentences for roles in sentence.values()]
    if any(map(_answers, found)):
        return False
    by_object = any("output" in roles for roles in found) or not any(
        "role" in roles for roles in found
    )
    return any(
        _states_task(roles, leading=place < 2, by_object=by_object)
        for place, sentence in enumerate(sentences)
        for roles in sentence.values()
    ) or _is_unlisted(_words(prompt), share=0.25)


def _answers(roles: Roles) -> bool:
    """Return whether a sentence asks for answers to the user; "do not answer" does not."""
    served = [
        place
        for place in _close(roles, "helping", ("people", "question"), _NEAR, behind=True)
        if not any(task > place for task in roles.get("task", ()))
    ]
    return any(
        not any(start - _NEAR <= limit < start for limit, _ in roles.get("unless", ()))
        for start, _ in (*served, *roles.get("answering", ()))
    )


def _states_task(roles: Roles, *, leading: bool, by_object: bool) -> bool:
    """Return whether a sentence of a system prompt states work on a text.

    `leading` sentences need not mention the text. `by_object` lets a verb count that says so only
    together with a text close to it, and any verb right before a text.
    """
    if "certain" in roles or (leading and "agent" in roles):
        return True
    if "request" in roles:
        return False
    objects = ("text", "question") if leading else ("text",)
    wanted = roles.get("task", []) if leading or _has(roles, "text", "question") else []
    if by_object:
        placed = {end for _, end in roles.get("placing", ())}
        wanted = [
            *wanted,
            *_close(roles, "possible", objects, _FAR),
            *_close(roles, "object", ("input",), _NEXT + 1, behind=True),
            *(
                place
                for place in _close(roles, "object", ("message",), _NEXT + 1, behind=True)
                if place[0] > 0 and place[0] not in placed
            ),
        ]
    own = {start - back for start, _ in roles.get("own", ()) for back in range(_NEAR)}
    return any(place[1] not in own for place in _unlimited(roles, wanted, "unless", "able"))


def _asks(message: str, *, followed: bool = False) -> bool:
    """Return whether a user's message asks for work on a text attached to it.

    If it is `followed` by another message, that may be the text.
    """
    return _asks_in(_shortened(message, _HEAD, _TAIL), followed)


@lru_cache(_REMEMBERED)
def _asks_in(message: str, followed: bool) -> bool:
    parts = [part for part in _MARK.split(message) if part.strip()]
    if len(parts) > 1 and (
        _JOB.match(message) is not None
        or any(map(_introduces, parts[:-1]))
        or any(map(_presents, parts[:-1], parts[1:]))
        or _is_unknown(parts[0], parts[1])
        or _is_labelled(message)
    ):
        return True
    sentences = [part for part in _SENTENCE_END.split(message) if part.strip()]
    alone = len(sentences) == 1 and len(parts) == 1 and not followed
    return any(
        _orders(roles, len(_words(sentence)), alone=alone)
        or (not alone and (_points(roles) or {"agent", "acting"} <= roles.keys()))
        for sentence in (*sentences, *(parts[-1:] if len(parts) > 1 else ()))
        for roles in _read(sentence).values()
    )


def _introduces(part: str) -> bool:
    """Return whether the words before an attached text ask for work on it."""
    size = len(_words(part))
    return any(
        _points(roles)
        or _covers(roles, size)
        or any(end == size for _, end in roles.get("placing", ()))
        or any(
            _unlimited(
                roles,
                [
                    *roles.get("task", ()),
                    *_close(roles, "possible", ("text", "code", "question"), _FAR),
                    *_close(roles, "possible", ("pointing",), _NEAR),
                ],
                "unless",
            )
        )
        for roles in _read(part).values()
    )


def _presents(part: str, rest: str) -> bool:
    """Return whether a few words with "this" or "please" stand before what is no question."""
    first = _read(" ".join(_words(rest)[:1])).values()
    if len(_words(part)) > _FEW or any("interrogative" in roles for roles in first):
        return False
    return any(
        _has(roles, "polite", "pointing") and not _has(roles, "helping", "question")
        for roles in _read(part).values()
    )


def _points(roles: Roles) -> bool:
    """Return whether words point to a text: "this message", "the following"."""
    attached, asked = roles.get("attached", []), roles.get("question", [])
    return bool(_close(roles, "pointing", ("text", "code"), _NEAR)) or any(
        all(_apart(place, other) > _NEAR for other in asked) for place in attached
    )


def _covers(roles: Roles, size: int) -> bool:
    """Return whether all words only name the work: "summary, please"."""
    places = [
        place
        for role in ("task", "possible", "label", "opener")
        for place in roles.get(role, ())
        if role != "label" or place == (0, size)
    ]
    named = {word for start, end in places for word in range(start, end)}
    return len(named) == size and _has(roles, "task", "possible")


def _orders(roles: Roles, size: int, *, alone: bool) -> bool:
    """Return whether a sentence begins with an order to work on a text.

    The text may follow without a mark ("translate good morning"), or stand in other sentences.
    """
    start, asked = 0, False
    starts = {at: (end, role) for role in ("opener", "asking") for at, end in roles.get(role, ())}
    while start in starts:
        start, role = starts[start]
        asked = asked or role == "asking"
    inline, task, possible = (
        [end for at, end in roles.get(role, ()) if at == start]
        for role in ("inline", "task", "possible")
    )
    if inline and (not asked or size - max(inline) >= _NEAR):
        return True
    points = any(
        0 <= at - end <= _NEXT for at, _ in roles.get("pointing", ()) for end in (*task, *possible)
    )
    return (bool(task) and (points or not alone)) or (bool(possible) and points and not alone)


def _is_labelled(message: str) -> bool:
    """Return whether lines of a message begin with labels, as data do: "Review: …"."""
    labels = [match[1] for match in _LABEL.finditer(message)]
    return len(labels) > 1 or any(
        (0, len(_words(label))) in roles.get("label", ())
        for label in labels
        for roles in _read(label).values()
    )


def _is_unknown(head: str, rest: str) -> bool:
    """Return whether the words before an attached text may be an order in an unlisted language."""
    words, following = _words(head), _words(rest)
    if not words or _is_unlisted(words):
        return bool(words)
    if any(_has(roles, "opener", "question") for roles in _read(head).values()):
        return False
    # A topic before a question ("Router: how do I reset it?") is no order.
    topic = bool(following) and following[0] in stopwords(ENGLISH)
    return not topic and not any(map(_is_stopword, words))


def _is_unlisted(words: Sequence[str], share: float = 0.0) -> bool:
    """Return whether words, more than a share of them not ASCII, are in no listed language."""
    foreign = sum(not word.isascii() and any(map(_is_foreign, word)) for word in words)
    return (
        foreign > share * len(words)
        and 2 * sum(map(_is_stopword, words)) < len(words)
        and detect_language(words) == ENGLISH
    )


def _is_foreign(letter: str) -> bool:
    return letter.isalpha() and not letter.isascii()


def _is_stopword(word: str) -> bool:
    return word in _every_stopword()


@cache
def _every_stopword() -> frozenset[str]:
    """Return the stopwords of all listed languages."""
    return frozenset().union(*map(stopwords, languages()))


def _has(roles: Roles, *names: str) -> bool:
    return any(name in roles for name in names)


def _close(
    roles: Roles, role: str, others: Iterable[str], reach: int, *, behind: bool = False
) -> list[Place]:
    """Return the places of a role with a word of the other roles in reach, `behind` it only."""
    places = [place for other in others for place in roles.get(other, ())]
    return [
        here
        for here in roles.get(role, ())
        if any(_apart(here, there) <= reach and not (behind and there < here) for there in places)
    ]


def _apart(one: Place, other: Place) -> int:
    """Return how many words lie between two places."""
    return max(other[0] - one[1], one[0] - other[1], 0)


def _unlimited(roles: Roles, places: Iterable[Place], *limits: str) -> list[Place]:
    """Return the places without a limit ("if", "never") before them in the sentence."""
    first = min((start for limit in limits for start, _ in roles.get(limit, ())), default=None)
    return [place for place in places if first is None or place[0] <= first]


def _shortened(text: str, head: int, tail: int) -> str:
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().translate(_APOSTROPHES))


def _read(text: str) -> dict[str, Roles]:
    """Return the roles of a text's words, for each language that lists some of them."""
    words, phrases = _words(text), _phrases()
    found: dict[str, dict[str, list[Place]]] = {}
    for start, word in enumerate(words):
        for phrase, language, role in phrases.get(word, ()):
            end = start + len(phrase)
            if words[start:end] == phrase:
                found.setdefault(language, {}).setdefault(role, []).append((start, end))
    return dict(found)


@cache
def _phrases() -> Mapping[str, list[tuple[list[str], str, str]]]:
    """Return, by first word, the listed words and phrases, each with its language and role."""
    table: dict[str, list[tuple[list[str], str, str]]] = {}
    for language in languages(DATA_PACKAGE):
        fields = read_fields("text_tasks", language, DATA_PACKAGE, separator=",")
        for role, phrases in fields.items():
            for phrase in map(_words, phrases):
                table.setdefault(phrase[0], []).append((phrase, language, role))
    return table
