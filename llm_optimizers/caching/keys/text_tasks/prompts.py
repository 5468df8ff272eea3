"""System prompts that make every message a text to work on: "Translate the text to French."

A prompt that also says how people are to be answered makes their messages questions: "Summarise the
customer's problem before you answer."
"""

from __future__ import annotations

import re

from llm_optimizers.caching.keys.text_tasks.reading import (
    FAR,
    NEAR,
    NEXT,
    Reading,
    in_no_listed_language,
    read,
    sentences,
    shortened,
    words,
)
from llm_optimizers.memos import of_text

__all__ = ["makes_messages_texts", "works_on_the_question"]

_HEAD, _TAIL = 6_000, 2_000
"""Characters at the start and the end of a long prompt that are read."""
_REMEMBERED = 256
_ASKS = re.compile("[?\\uff1f\\u061f]")
_LEADING = 2
"""Sentences at the start that need not mention the text."""
_FOREIGN = 0.25
"""The share of words with other letters than English ones in a prompt of another language."""


def makes_messages_texts(prompt: str) -> bool:
    """Return whether a system prompt makes every message a text to work on.

    So does a prompt in a language without word lists: what it says is not known.
    """
    return _makes_texts(shortened(prompt, _HEAD, _TAIL))


def works_on_the_question(said: str, frame: str, template: tuple[str, str] | None) -> bool:
    """Return whether the text around a question asks for work on it: "Count its words."

    `said` is the `frame` without labels. If it has no order to answer, it must neither speak of the
    question nor give an order. `template` is what is no document, without labels: far from the
    question, before the context, and close to it; None if the prompt has no context. Then any other
    text is about the question ("Spell it."), unless it only says who helps. With context, the
    template must ask nothing, and not point to a text close to the question.
    """
    found = [reading for each in sentences(said) for reading in read(each)]
    orders = list(filter(_orders_answer, found))
    if any(each.has("form") for each in orders):
        return True
    if orders or any(
        _names_answering(reading) for each in sentences(frame) for reading in read(each)
    ):
        return False
    if template is None and not all(map(_introduces_help, sentences(said))):
        return True
    if template is not None and _asks_or_points(*template):
        return True
    return any(
        each.has("question") or any(start == 0 for start, _ in _work(each)) for each in found
    )


def _introduces_help(sentence: str) -> bool:
    """Return whether a sentence has no words, or only says who helps: "You are a tutor."."""
    return not words(sentence) or any(
        any(start == 0 for start, _ in each.places("acting"))
        and (each.has("role") or any(end == each.size for _, end in each.places("helper")))
        and not each.has("task", "possible", "agent")
        for each in read(sentence)
    )


def _asks_or_points(far: str, close: str) -> bool:
    """Return whether a template asks something, or points to the question: "Is this formal?"."""
    return any(map(_ASKS.search, (far, close))) or any(
        each.has("pointing") for sentence in sentences(close) for each in read(sentence)
    )


def _orders_answer(found: Reading) -> bool:
    """Return whether a sentence begins with an order to answer."""
    return any(start == 0 for start, _ in found.places("helping"))


def _names_answering(found: Reading) -> bool:
    """Return whether a sentence says that the question is to be answered, and not by whom."""
    asked = found.places("interrogative")
    helping = [
        place
        for place in found.close("helping", ("people", "question"), NEAR, behind=True)
        if not any(start == 0 or 0 <= place[0] - end <= NEXT for start, end in asked)
    ]
    return any(
        not any(start - NEXT - 1 <= limit < start for limit, _ in found.places("unless"))
        for start, _ in (*helping, *found.places("answering"))
    )


def _work(found: Reading) -> list[tuple[int, int]]:
    return [*found.places("task"), *found.places("possible")]


@of_text(_REMEMBERED)
def _makes_texts(prompt: str) -> bool:
    read_sentences = [read(sentence) for sentence in sentences(prompt)]
    found = [reading for readings in read_sentences for reading in readings]
    if any(map(_answers, found)):
        return False
    talks = any(reading.has("role") for reading in found)
    limited = any(reading.has("output") for reading in found)
    return any(
        _states_task(reading, leading=place < _LEADING, by_object=limited or not talks)
        for place, readings in enumerate(read_sentences)
        for reading in readings
    ) or in_no_listed_language(prompt, _FOREIGN)


def _answers(found: Reading) -> bool:
    """Return whether a sentence asks for answers to the user; "do not answer" does not."""
    served = [
        place
        for place in found.close("helping", ("people", "question"), NEAR, behind=True)
        if not any(task > place for task in found.places("task"))
    ]
    return any(
        not any(start - NEAR <= limit < start for limit, _ in found.places("unless"))
        for start, _ in (*served, *found.places("answering"))
    )


def _states_task(found: Reading, *, leading: bool, by_object: bool) -> bool:
    """Return whether a sentence states work on a text.

    `leading` sentences need not mention the text. `by_object` lets a verb count that says so only
    together with a text close to it, and any verb right before a text.
    """
    if found.has("certain") or (leading and found.has("agent")):
        return True
    if found.has("request"):
        return False
    wanted = found.places("task") if leading or found.has("text", "question") else []
    if by_object:
        objects = ("text", "question") if leading else ("text",)
        wanted = [*wanted, *found.close("possible", objects, FAR), *_objects(found)]
    own = {start - back for start, _ in found.places("own") for back in range(NEAR)}
    return any(end not in own for _, end in found.without_limit(wanted, "unless", "able"))


def _objects(found: Reading) -> list[tuple[int, int]]:
    """Return where a message is the object of some verb, or an input is mentioned at all."""
    placed = {end for _, end in found.places("placing")}
    messages = found.close("object", ("message",), NEXT + 1, behind=True)
    return [
        *found.close("object", ("input",), NEXT + 1, behind=True),
        *(place for place in messages if place[0] > 0 and place[0] not in placed),
    ]
