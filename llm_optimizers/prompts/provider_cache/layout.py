"""Lay a prompt out for the provider's cache: stable prefix, unchanged history, new messages.

A provider caches what stays the same from the first token on, so one timestamp at the top makes
every call pay in full. The lints find what varies inside the prefix; cache breakpoints mark its
end for providers that need them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from llm_optimizers.prompts.history import end_of_system
from llm_optimizers.prompts.provider_cache.rules import CacheRules
from llm_optimizers.types import ChatRequest, Message, Part

__all__ = ["Lint", "lint_prefix", "with_breakpoints"]

_VARYING = (
    (
        "timestamp",
        re.compile(
            r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?\b"
            r"|\b(?:today is|current (?:date|time)(?: is)?|now is)\b[^\n.]{0,60}"
            r"|\b\d{1,2}:\d{2}:\d{2}\b|\b1[5-9]\d{8}(?:\d{3})?\b",
            re.IGNORECASE,
        ),
        "put the date and time in the last message, or leave the time of day out",
    ),
    (
        "identifier",
        re.compile(
            r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
            r"|\b(?:session|request|trace|run|conversation|user)[ _-]?id\b\W{1,3}\S+"
            r"|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{24,64}\b",
            re.IGNORECASE,
        ),
        "put what differs from request to request in the last message",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lint:
    """Something in the prefix that changes from call to call, and what to do about it.

    `message` is the index of the message, None for the tools; `line` counts from 1.
    """

    message: int | None
    line: int
    kind: str
    excerpt: str
    advice: str


def lint_prefix(request: ChatRequest) -> tuple[Lint, ...]:
    """Return what makes the prefix differ between calls: times, ids, JSON with unsorted keys."""
    return tuple(_lints(request))


def with_breakpoints(
    request: ChatRequest, sizes: Sequence[int], rules: CacheRules | None, *, key: str | None = None
) -> ChatRequest:
    """Return the request with cache breakpoints at the ends of the prefix and of the history.

    Args:
        request: The request as it will be sent.
        sizes: Tokens of each message.
        rules: The provider's rules; if None, the request is returned unchanged.
        key: Routes requests with the same prefix to the same cache, for providers with such a key.

    The user's own breakpoints are kept, and a prefix too short to be cached gets none.
    """
    if rules is None:
        return request
    params = dict(request.params)
    if key is not None and rules.accepts_key:
        params.setdefault("prompt_cache_key", key)
    messages = list(request.messages)
    if rules.max_breakpoints and not any(_has_breakpoint(m) for m in messages):
        # The prefix ends with the leading system messages, the history before the last question.
        prefix = end_of_system(messages)
        users = [at for at, m in enumerate(messages) if m.role == "user"]
        history = max(prefix, users[-1]) if users else len(messages)
        ends = {prefix - 1, history - 1, len(messages) - 1}
        total = list(accumulate(sizes))
        wanted = [at for at in sorted(ends) if at >= 0 and total[at] >= rules.minimum]
        for at in wanted[-rules.max_breakpoints :]:
            messages[at] = _with_breakpoint(messages[at], rules)
    return replace(request, messages=tuple(messages), params=params)


def _lints(request: ChatRequest) -> Iterator[Lint]:
    tools = request.params.get("tools")
    if isinstance(tools, list) and tools != _sorted_tools(tools):
        yield Lint(
            message=None,
            line=1,
            kind="unsorted tools",
            excerpt="tools",
            advice="sort the tools by name, so that every call sends them in the same order",
        )
    for at, message in enumerate(request.messages[: end_of_system(request.messages)]):
        for number, line in enumerate(message.text.split("\n"), start=1):
            for kind, pattern, advice in _VARYING:
                found = pattern.search(line)
                if found:
                    yield Lint(
                        message=at, line=number, kind=kind, excerpt=found.group(), advice=advice
                    )
            if _unsorted(line):
                yield Lint(
                    message=at,
                    line=number,
                    kind="unsorted JSON",
                    excerpt=line.strip()[:60],
                    advice="write it with sorted keys (json.dumps(…, sort_keys=True))",
                )


def _sorted_tools(tools: Sequence[Any]) -> list[Any]:
    return sorted(tools, key=lambda tool: str((tool.get("function") or tool).get("name")))


def _unsorted(line: str) -> bool:
    line = line.strip()
    if not line.startswith(("{", "[")):
        return False
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return json.dumps(value) != json.dumps(value, sort_keys=True)


def _has_breakpoint(message: Message) -> bool:
    return not isinstance(message.content, str) and any(
        "cache_control" in part.data or "prompt_cache_breakpoint" in part.data
        for part in message.content
    )


def _with_breakpoint(message: Message, rules: CacheRules) -> Message:
    """Return the message with a breakpoint on its last part."""
    mark: Mapping[str, Any]
    if rules.breakpoints == "breakpoint":
        if message.role == "assistant":
            return message  # OpenAI accepts none there.
        mark = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    else:
        mark = {"cache_control": {"type": "ephemeral"}}
    parts = message.content
    if isinstance(parts, str):
        if not parts:
            return message
        parts = (Part(kind="text", text=parts),)
    if not parts:
        return message
    last = replace(parts[-1], data={**parts[-1].data, **mark})
    return replace(message, content=(*parts[:-1], last))
