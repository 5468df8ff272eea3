"""Keep a hard limit on a request by removing the middle of its messages, as a last resort.

Only whole lines or sentences are removed. A mark in the text informs the model; the result and a
warning inform the user.
"""

from __future__ import annotations

from dataclasses import replace

from llm_optimizers.events import Notice, emit
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.text import blocks, sentences
from llm_optimizers.types import ChatRequest

__all__ = ["head_and_tail", "trimmed"]

_HEAD = 2 / 3
_MARK = "\n[\u2026 about {tokens} tokens left out \u2026]\n"
_MARK_TOKENS = 14


def trimmed(
    request: ChatRequest, *, max_tokens: int, counter: TokenCounter
) -> tuple[ChatRequest, list[str]]:
    """Return the request cut to `max_tokens`, and notes on what was cut; longest messages first.

    System messages and messages with images or other parts are not cut. A request that cannot be
    cut to the limit is returned unchanged.
    """
    model, messages = request.model, list(request.messages)
    notes: list[str] = []
    over = counter.count_request(request).tokens - max_tokens
    order = sorted(
        (at for at, m in enumerate(messages) if m.role != "system" and not m.multimodal),
        key=lambda at: -counter.count_message(messages[at], model).tokens,
    )
    for at in order:
        if over <= 0:
            break
        before = messages[at].text
        size = counter.count(before, model).tokens
        text = head_and_tail(before, max_tokens=max(1, size - over), counter=counter, model=model)
        if text != before:
            messages[at] = replace(messages[at], content=text)
            over -= size - counter.count(text, model).tokens
            notes.append(f"message {at}: its middle left out to keep {max_tokens} tokens")
            emit(Notice(component=__name__, message=notes[-1]))
    if over > 0:
        message = (
            f"The prompt is {over} tokens over its limit of {max_tokens} and cannot be cut further "
            "without breaking it; it is sent unchanged. Raise `max_tokens`, or send less."
        )
        emit(Notice(component=__name__, message=message))
        return request, [f"limit of {max_tokens} tokens not kept: {over} too many"]
    return replace(request, messages=tuple(messages)), notes


def head_and_tail(text: str, *, max_tokens: int, counter: TokenCounter, model: str) -> str:
    """Keep the head of a text (two thirds of the budget) and its tail.

    The text is returned unchanged if it fits, or if not one of its parts (code blocks, JSON
    values, sentences) fits: half a part would be worse than a prompt that is too long.
    """
    before = counter.count(text, model).tokens
    room = max_tokens - _MARK_TOKENS
    if before <= max_tokens or room <= 0:
        return text
    parts: list[str] = []
    for block in blocks(text):
        parts += sentences(block.whole) if block.kind == "text" else [block.whole]
    costs = [counter.count(part, model).tokens for part in parts]
    head, spent = 0, 0
    while head < len(parts) and spent + costs[head] <= room * _HEAD:
        spent += costs[head]
        head += 1
    tail = len(parts)
    while tail > head and spent + costs[tail - 1] <= room:
        tail -= 1
        spent += costs[tail]
    if tail == head or not (head or tail < len(parts)):
        return text
    mark = _MARK.format(tokens=before - spent)
    return "".join(parts[:head]).rstrip() + mark + "".join(parts[tail:]).lstrip()
