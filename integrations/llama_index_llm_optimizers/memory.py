"""`HistoryBlock`: a summary of what no longer fits in a chat's short-term memory."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Annotated, Any, Self

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory.memory import BaseMemoryBlock
from pydantic import ConfigDict, Field, PrivateAttr

from llama_index_llm_optimizers.messages import core_message
from llm_optimizers.arguments import field, text
from llm_optimizers.forks import ProcessLock
from llm_optimizers.prompts import History, TokenCounter
from llm_optimizers.prompts.history import safe_cuts
from llm_optimizers.types import Message

__all__ = ["HistoryBlock"]


class HistoryBlock(BaseMemoryBlock[str]):
    """Summarises earlier messages of a conversation, each group of them once.

    Example:
        ```python
        memory = Memory.from_defaults(token_limit=8_000, memory_blocks=[HistoryBlock()])
        ```

    A model can write the summaries (`History(summariser=…)`); without one the most important
    sentences are kept. Messages that are too few for a summary, or whose summary failed, are kept
    in full. A block belongs to one conversation, as the memory does, and takes it along when it is
    pickled or copied.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = "earlier"
    description: str | None = "What was said earlier in this conversation."
    priority: int = 1
    history: History = Field(default_factory=History, exclude=True)
    model: Annotated[str, field(text)] = Field(
        default="gpt-4o", description="The model whose tokens are counted."
    )
    _counter: TokenCounter = PrivateAttr(default_factory=TokenCounter)
    _summaries: list[str] = PrivateAttr(default_factory=list)
    _waiting: list[Message] = PrivateAttr(default_factory=list)
    _in_progress: list[Message] = PrivateAttr(default_factory=list)
    _lock: ProcessLock = PrivateAttr(default_factory=ProcessLock)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        with self._lock:
            private = dict(self.__pydantic_private__ or {})
            # A summary in progress will not end in the copy.
            private |= {"_waiting": [*self._in_progress, *self._waiting], "_in_progress": []}
            private["_summaries"] = list(self._summaries)
        return {**state, "__pydantic_private__": private}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied: Self = type(self).__new__(type(self))
        copied.__setstate__(deepcopy(self.__getstate__(), memo))
        return copied

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        with self._lock:
            words = [f"{m.role}: {m.text}" for m in (*self._in_progress, *self._waiting) if m.text]
            return "\n".join([*self._summaries, *words])

    async def _aput(self, messages: list[ChatMessage]) -> None:
        with self._lock:
            self._waiting += [core_message(message) for message in messages]
            end = self._end()
            if self._in_progress or not end:
                return
            self._in_progress, self._waiting = self._waiting[:end], self._waiting[end:]
        summary: Message | None = None
        try:
            summary = await self._summary(self._in_progress)
        finally:
            with self._lock:
                if summary is None:
                    self._waiting[:0] = self._in_progress
                else:
                    self._summaries.append(summary.text)
                self._in_progress = []

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Remove the oldest lines until the tokens are saved; None if nothing is left."""
        return await asyncio.to_thread(self._truncated, content, tokens_to_truncate)

    def _truncated(self, content: str, tokens_to_truncate: int) -> str | None:
        lines = content.splitlines()
        excess = tokens_to_truncate
        while lines and excess > 0:
            excess -= self._counter.count(lines.pop(0) + "\n", self.model).tokens
        return "\n".join(lines) or None

    def _end(self) -> int:
        """Return where the next group ends, 0 if none; tool calls stay with their results."""
        following = Message(role="user")
        cuts = safe_cuts([*self._waiting, following])
        return max((cut for cut in cuts if cut >= self.history.every), default=0)

    async def _summary(self, messages: list[Message]) -> Message | None:
        return await asyncio.to_thread(self.history.summary, messages, self._counter, self.model)
