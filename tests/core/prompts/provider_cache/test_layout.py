"""Cache breakpoints, and lints for varying text in a prefix."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llm_optimizers.costs import PriceBook
from llm_optimizers.prompts import RequestOptimizer, TokenCounter
from llm_optimizers.prompts.provider_cache import cache_rules, lint_prefix, with_breakpoints
from llm_optimizers.types import ChatRequest, Message, Part

counter = TokenCounter()
MODEL = "gpt-4.1"
LONG = Message(role="system", content="Rule after rule after rule. " * 400)


def test_breakpoints_are_set_at_the_ends_of_prefix_and_history() -> None:
    request = ChatRequest(
        model="claude-sonnet-4-5",
        messages=(
            LONG,
            Message(role="user", content="Hi"),
            Message(role="assistant", content="Hello"),
            Message(role="user", content="What now?"),
        ),
    )
    optimizer = RequestOptimizer(marks=True, counter=counter, passes=frozenset())
    found = optimizer.optimize(request).request
    cut = [
        at
        for at, m in enumerate(found.messages)
        if not isinstance(m.content, str) and "cache_control" in m.content[-1].data
    ]
    assert cut == [0, 2, 3]
    first = found.messages[0].to_openai()["content"][0]
    assert first["cache_control"] == {"type": "ephemeral"}
    assert optimizer.optimize(found).request.messages == found.messages


def test_only_models_that_take_breakpoints_get_them() -> None:
    for model, taken in (("gpt-5.6", True), ("gpt-5.2", False), ("gpt-4o", False)):
        request = ChatRequest(model=model, messages=(LONG, Message(role="user", content="Hi")))
        optimizer = RequestOptimizer(
            marks=True, cache_key="shop", counter=counter, passes=frozenset()
        )
        sent = optimizer.optimize(request).request
        assert ("prompt_cache_breakpoint" in json.dumps(sent.to_openai())) is taken
        assert sent.params["prompt_cache_key"] == "shop"


def test_short_prefixes_get_no_breakpoint_and_the_users_own_stay() -> None:
    own = Message(
        role="system", content=(Part(kind="text", text=LONG.text, data={"cache_control": {}}),)
    )
    rules = cache_rules("claude-sonnet-4-5", PriceBook())
    for messages in ((replace(LONG, content="Short."),), (own,), ()):
        request = ChatRequest(model="claude-sonnet-4-5", messages=messages)
        sizes = [counter.count_message(m, "gpt-4o").tokens for m in messages]
        assert with_breakpoints(request, sizes, rules).messages == messages


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Today is Monday.", "timestamp"),
        ("Now: 2024-05-01T12:00:00Z", "timestamp"),
        ("Session id: 8f2e", "identifier"),
        ("123e4567-e89b-12d3-a456-426614174000", "identifier"),
        ('{"b": 1, "a": 2}', "unsorted JSON"),
    ],
)
def test_varying_text_in_the_prefix_is_found(text: str, kind: str) -> None:
    system = Message(role="system", content=f"Be brief.\n{text}")
    user = Message(role="user", content=text)
    lints = lint_prefix(ChatRequest(model=MODEL, messages=(system, user)))
    assert [(lint.message, lint.line, lint.kind) for lint in lints] == [(0, 2, kind)]


def test_tools_in_a_random_order_are_found() -> None:
    tools = [{"function": {"name": name}} for name in ("b", "a")]
    request = ChatRequest(model=MODEL, messages=(), params={"tools": tools})
    assert [lint.kind for lint in lint_prefix(request)] == ["unsorted tools"]
