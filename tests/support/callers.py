"""A router's caller without a framework: models are functions, replies are strings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from llm_optimizers.routing.calling import ReplyReader
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.plan import CallModel

TEXT_READER: ReplyReader[str, str] = ReplyReader(
    read=lambda reply: ModelAnswer(model="", text=reply),
    chunks=lambda reply: iter(reply.split(" ")),
    text=lambda chunk: chunk,
    is_empty=lambda chunk: not chunk,
)


@dataclass
class FunctionCaller:
    """Calls a function for each attempt and awaits a coroutine that it returns."""

    call: Callable[[CallModel], Any]

    def ask(self, attempt: CallModel) -> Any:
        return self.call(attempt)

    async def aask(self, attempt: CallModel) -> Any:
        reply = self.call(attempt)
        return await reply if hasattr(reply, "__await__") else reply

    def stream(self, attempt: CallModel) -> Iterator[Any]:
        yield from self.call(attempt)

    async def astream(self, attempt: CallModel) -> AsyncIterator[Any]:
        for chunk in self.call(attempt):
            yield chunk

    def mark(self, chunk: Any, attempt: CallModel, *, first: bool) -> Any:
        return chunk
