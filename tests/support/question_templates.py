"""Prompts made from a framework's own templates, asked of a cache two at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llm_optimizers.caching import ResponseCache
from llm_optimizers.caching.keys import Unmatched, cache_key
from llm_optimizers.types import ChatRequest, Message

__all__ = ["QUESTIONS", "Render", "only_exact", "only_the_question_may_differ"]

QUESTION = "How do I reset my password?"
SAME = "How can I reset my password?"
RETYPED = "how do I reset my password"
OTHER = "How do I delete my account?"
QUESTIONS = ("question", "query_str", "input", "user_input", "QUESTION", "query")
"""The names of the variable for the question in templates."""
_FILLING = "Open the settings, then the page about security."
_FILLED_ALIKE = "Open the settings and then the page about security."

Render = Callable[[Mapping[str, str]], Sequence[Message]]
"""Fills in a template's variables."""


def only_the_question_may_differ(render: Render, variables: Sequence[str]) -> None:
    """Check that the question may be put in other words, and that all else must be the same."""
    (asked,) = (name for name in variables if name in QUESTIONS)
    filled = {name: f"{_FILLING} ({number})" for number, name in enumerate(variables)}
    first = {**filled, asked: QUESTION}
    assert _served(render, first, first) == "exact"
    assert _served(render, first, {**first, asked: SAME}) == "semantic"
    assert _served(render, first, {**first, asked: RETYPED}) == "normalised"
    assert _served(render, first, {**first, asked: OTHER}) is None
    for name in filled:
        if name != asked:
            other = {**first, asked: SAME, name: filled[name].replace("settings", "menu")}
            assert _served(render, first, other) is None, name


def only_exact(render: Render, variables: Sequence[str]) -> Unmatched | None:
    """Check that only the same prompt is served the answer; return why."""
    first = dict.fromkeys(variables, _FILLING)
    first |= {name: QUESTION for name in variables if name in QUESTIONS}
    changed = next((name for name in variables if name in QUESTIONS), variables[0])
    other = {**first, changed: SAME if changed in QUESTIONS else _FILLED_ALIKE}
    assert _served(render, first, first) == "exact"
    assert _served(render, first, other) is None
    return cache_key(_request(render, first)).unmatched


def _served(render: Render, first: Mapping[str, str], then: Mapping[str, str]) -> str | None:
    cache: ResponseCache[str] = ResponseCache()
    cache.answer(_request(render, first), lambda: "an answer")
    hit = cache.answer(_request(render, then), lambda: "another").hit
    return None if hit is None else hit.tier


def _request(render: Render, values: Mapping[str, str]) -> ChatRequest:
    return ChatRequest(messages=tuple(render(values)), model="m")
