"""The last resort: the head and the tail of a text, with a mark where the middle was.

Whole lines or sentences are kept, so nothing is cut in half; the mark tells the model, the
record and a warning tell the user.
"""

from __future__ import annotations

from llm_optimizers.prompts.counting.tokens import TokenCounter
from llm_optimizers.text.protected import blocks
from llm_optimizers.text.sentences import sentences

__all__ = ["head_and_tail"]

_HEAD = 2 / 3
_MARK = "\n[\u2026 about {tokens} tokens left out \u2026]\n"
_MARK_TOKENS = 14


def head_and_tail(text: str, *, max_tokens: int, counter: TokenCounter, model: str) -> str:
    """About two thirds of the budget from the head, the rest from the tail.

    The text comes back unchanged when it fits, and when not one of its pieces (code blocks,
    JSON values, sentences) fits: half of one would be worse than too long a prompt.
    """
    before = counter.count(text, model).tokens
    room = max_tokens - _MARK_TOKENS
    if before <= max_tokens or room <= 0:
        return text
    pieces: list[str] = []
    for block in blocks(text):
        pieces += sentences(block.whole) if block.kind == "text" else [block.whole]
    costs = [counter.count(piece, model).tokens for piece in pieces]
    head, spent = 0, 0
    while head < len(pieces) and spent + costs[head] <= room * _HEAD:
        spent += costs[head]
        head += 1
    tail = len(pieces)
    while tail > head and spent + costs[tail - 1] <= room:
        tail -= 1
        spent += costs[tail]
    if tail == head or not (head or tail < len(pieces)):
        return text
    mark = _MARK.format(tokens=before - spent)
    return "".join(pieces[:head]).rstrip() + mark + "".join(pieces[tail:]).lstrip()
