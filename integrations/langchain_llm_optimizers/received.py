"""What came of an answer before its end, to count its tokens if the end does not come.

With an error LangChain reports only what `stream` itself had passed on: nothing where a model
streams inside `invoke`, as it does for LangGraph and `astream_events`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_llm_optimizers.usage import counted_once

__all__ = ["Received"]

_DELTAS = ("text", "reasoning", "args", "name")


class Received:
    """The pieces of one answer: chunks of a stream, or what typed events brought."""

    __slots__ = ("_pieces", "_typed")

    def __init__(self) -> None:
        self._pieces: list[GenerationChunk | ChatGenerationChunk] = []
        self._typed = False

    def add_token(self, token: Any, chunk: Any) -> None:
        """Add a piece of a stream; a stream of typed events may also report its tokens."""
        if not self._typed:
            known = isinstance(chunk, GenerationChunk | ChatGenerationChunk)
            self._pieces.append(chunk if known else _chunk(token))

    def add_event(self, event: Any) -> None:
        """Add what an event of a typed stream brings."""
        if not self._typed:
            self._typed, self._pieces = True, []
        if not isinstance(event, Mapping):
            return
        begun = event.get("event") == "content-block-start"
        inside = event.get("content") if begun else event.get("delta")
        said = inside if isinstance(inside, Mapping) else {}
        text = "".join(str(said[name]) for name in _DELTAS if said.get(name))
        self._pieces.append(_chunk(text, event.get("usage")))

    def answer(self) -> list[Generation]:
        """Return what came as one answer; none if nothing came."""
        chats = [each for each in self._pieces if isinstance(each, ChatGenerationChunk)]
        if chats:
            merged = merge_chat_generation_chunks(chats)
            return [] if merged is None else self.counted_once([merged])
        if not self._pieces:
            return []
        return [Generation(text="".join(each.text for each in self._pieces))]

    def counted_once(self, answer: Sequence[Generation]) -> list[Generation]:
        """Return a whole answer with the tokens of one call, where its pieces repeat them."""
        pieces = [piece.message for piece in self._pieces if isinstance(piece, ChatGenerationChunk)]
        found = list(answer)
        for place, each in enumerate(found):
            if isinstance(each, ChatGeneration) and isinstance(each.message, AIMessage):
                message = counted_once(each.message, pieces)
                if message is not each.message:
                    found[place] = ChatGeneration(message=message)
        return found


def _chunk(text: Any, usage: Any = None) -> ChatGenerationChunk:
    content = text if isinstance(text, str | list) else ""
    counts: UsageMetadata | None = None
    if isinstance(usage, Mapping):
        known = {name: usage.get(name) or 0 for name in ("input_tokens", "output_tokens")}
        counts = cast("UsageMetadata", {**usage, **known, "total_tokens": sum(known.values())})
    return ChatGenerationChunk(message=AIMessageChunk(content=content, usage_metadata=counts))
