"""A user's message that asks for work on a text attached to it: "Summarise this: …".

In a language without word lists a message counts as one as soon as it looks like an instruction
with something attached.
"""

from __future__ import annotations

import re

from llm_optimizers.caching.keys.text_tasks.reading import (
    FAR,
    NEAR,
    NEXT,
    Reading,
    in_no_listed_language,
    is_english_stopword,
    is_stopword,
    may_begin,
    read,
    sentences,
    shortened,
    words,
)
from llm_optimizers.memos import of_text

__all__ = ["asks_for_work"]

_HEAD, _TAIL = 600, 400
"""Characters at the start and the end of a long message that are read."""
_REMEMBERED = 512
_FEW = 12
"""Words of the longest instruction that is known by "this" or "please" only."""
_MARK = re.compile(r":(?![/\d])|\uff1a|\n|\s[-\u2013\u2014]\s")
"""What stands between an instruction and the text attached to it."""
_JOB = re.compile(r"\s*[A-Z][A-Z0-9_]{2,39}:?[ \t]*\n\s*\S")
"""A first line in capitals that names the job to do with the lines after it."""
_LABEL = re.compile(
    r"(?:^|(?<=[.!?]))[ \t]*([^\W\d_][\w \-]{0,30}?)[ \t]*(?::(?!/)|\uff1a)", re.MULTILINE
)


def asks_for_work(message: str, *, followed: bool = False) -> bool:
    """Return whether a user's message asks for work on a text attached to it.

    If it is `followed` by another message, that may be the text.
    """
    return _asks(shortened(message, _HEAD, _TAIL), followed)


@of_text(_REMEMBERED)
def _asks(message: str, followed: bool) -> bool:
    parts = [part for part in _MARK.split(message) if part.strip()]
    if len(parts) > 1 and (
        _JOB.match(message) is not None
        or any(map(_introduces, parts[:-1]))
        or any(map(_presents, parts[:-1], parts[1:]))
        or _may_order(parts[0], parts[1])
        or _is_labelled(message)
    ):
        return True
    said = sentences(message)
    alone = len(said) == 1 and len(parts) == 1 and not followed
    if alone and not may_begin(said[0], "opener", "asking", "inline", "task"):
        return False  # most questions: their other words need no reading
    return any(
        _orders(found, alone=alone)
        or (not alone and (_points(found) or (found.has("agent") and found.has("acting"))))
        for sentence in (*said, *(parts[-1:] if len(parts) > 1 else ()))
        for found in read(sentence)
    )


def _introduces(part: str) -> bool:
    """Return whether the words before an attached text ask for work on it."""
    return any(
        _points(found)
        or _names_work(found)
        or any(end == found.size for _, end in found.places("placing"))
        or found.without_limit(
            [
                *found.places("task"),
                *found.close("possible", ("text", "code", "question"), FAR),
                *found.close("possible", ("pointing",), NEAR),
            ],
            "unless",
        )
        for found in read(part)
    )


def _presents(part: str, rest: str) -> bool:
    """Return whether a few words with "this" or "please" stand before what is no question."""
    first = " ".join(words(rest)[:1])
    if len(words(part)) > _FEW or any(found.has("interrogative") for found in read(first)):
        return False
    return any(
        found.has("polite", "pointing") and not found.has("helping", "question")
        for found in read(part)
    )


def _points(found: Reading) -> bool:
    """Return whether words point to a text: "this message", "the following"."""
    asked = found.close("attached", ("question",), NEAR)
    return bool(found.close("pointing", ("text", "code"), NEAR)) or any(
        place not in asked for place in found.places("attached")
    )


def _names_work(found: Reading) -> bool:
    """Return whether all words only name the work: "shorter, please"."""
    places = [
        place for role in ("task", "possible", "label", "opener") for place in found.places(role)
    ]
    named = {word for start, end in places for word in range(start, end)}
    return len(named) == found.size and found.has("task", "possible")


def _orders(found: Reading, *, alone: bool) -> bool:
    """Return whether a sentence begins with an order to work on a text.

    The text may follow without a mark ("translate good morning"), or stand in other sentences.
    """
    start, asked = 0, False
    starts = {at: (end, role) for role in ("opener", "asking") for at, end in found.places(role)}
    while start in starts:
        start, role = starts[start]
        asked = asked or role == "asking"
    inline, task, possible = (
        [end for at, end in found.places(role) if at == start]
        for role in ("inline", "task", "possible")
    )
    if inline and (not asked or found.size - max(inline) >= NEAR):
        return True
    points = any(
        0 <= at - end <= NEXT for at, _ in found.places("pointing") for end in (*task, *possible)
    )
    return (bool(task) and (points or not alone)) or (bool(possible) and points and not alone)


def _is_labelled(message: str) -> bool:
    """Return whether lines of a message begin with labels, as data do: "Review: …"."""
    labels = [match[1] for match in _LABEL.finditer(message)]
    return len(labels) > 1 or any(
        (0, found.size) in found.places("label") for label in labels for found in read(label)
    )


def _may_order(head: str, rest: str) -> bool:
    """Return whether the words before an attached text may be an order in an unlisted language."""
    if in_no_listed_language(head):
        return True
    if any(found.has("opener", "question") for found in read(head)):
        return False
    # A topic before a question ("Router: how do I reset it?") is no order.
    topic = is_english_stopword("".join(words(rest)[:1]))
    return bool(words(head)) and not topic and not any(map(is_stopword, words(head)))
