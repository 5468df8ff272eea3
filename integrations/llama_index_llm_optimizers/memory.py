"""`HistoryBlock`: what falls out of a chat's short-term memory, in few words."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory.memory import BaseMemoryBlock
from pydantic import Field, PrivateAttr

from llama_index_llm_optimizers.messages import core_message
from llm_optimizers.prompts import History, TokenCounter
from llm_optimizers.prompts.history import safe_cuts
from llm_optimizers.types import Message

__all__ = ["HistoryBlock"]


class HistoryBlock(BaseMemoryBlock[str]):
    """Earlier turns of a conversation, each stretch summarised once and never touched again.

    Example:
        ```python
        memory = Memory.from_defaults(token_limit=8_000, memory_blocks=[HistoryBlock()])
        ```

    Without a model for it (`History(summariser=…)`) the telling sentences are picked out. Turns
    that are too few for a summary, or whose summary failed, stand word for word. A block belongs
    to one conversation, as the memory does.
    """

    name: str = "earlier"
    description: str | None = "What was said earlier in this conversation."
    priority: int = 1
    history: History = Field(default_factory=History, exclude=True)
    model: str = Field(default="gpt-4o", description="The model whose tokens are counted.")
    _counter: TokenCounter = PrivateAttr(default_factory=TokenCounter)
    _summaries: list[str] = PrivateAttr(default_factory=list)
    _waiting: list[Message] = PrivateAttr(default_factory=list)
    _folding: list[Message] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        with self._lock:
            words = [f"{m.role}: {m.text}" for m in (*self._folding, *self._waiting) if m.text]
            return "\n".join([*self._summaries, *words])

    async def _aput(self, messages: list[ChatMessage]) -> None:
        with self._lock:
            self._waiting += [core_message(message) for message in messages]
            end = self._end()
            if self._folding or not end:
                return
            self._folding, self._waiting = self._waiting[:end], self._waiting[end:]
        summary: Message | None = None
        try:
            summary = await self._summary(self._folding)
        finally:
            with self._lock:
                if summary is None:
                    self._waiting[:0] = self._folding
                else:
                    self._summaries.append(summary.text)
                self._folding = []

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Leave out the oldest lines, as many as it takes; None when nothing would be left."""
        lines = content.splitlines()
        over = tokens_to_truncate
        while lines and over > 0:
            over -= self._counter.count(lines.pop(0) + "\n", self.model).tokens
        return "\n".join(lines) or None

    def _end(self) -> int:
        """Where the next stretch ends, 0 if there is none: no tool call is left without result."""
        following = Message(role="user")
        cuts = safe_cuts([*self._waiting, following])
        return max((cut for cut in cuts if cut >= self.history.every), default=0)

    async def _summary(self, messages: list[Message]) -> Message | None:
        if self.history.summariser is None:
            return self.history.summary(messages, self._counter, self.model)
        return await asyncio.to_thread(self.history.summary, messages, self._counter, self.model)
