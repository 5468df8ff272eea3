"""A served answer as a model run of its own, so that callbacks and traces see it happen."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

__all__ = ["ReplayChatModel", "chunks_of"]

_PIECE = re.compile(r"\s*\S+(?:\s+\S+){0,3}\s*")


class ReplayChatModel(BaseChatModel):
    """Answers once with `generations`, under the tracing parameters of the model that made them."""

    generations: list[ChatGeneration]
    ls_params: dict[str, Any]

    @property
    def _llm_type(self) -> str:
        return "replay"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return dict(self.ls_params)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=self.generations)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=self.generations)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in chunks_of(cast("AIMessage", self.generations[0].message)):
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages, stop, None, **kwargs):
            yield chunk


def chunks_of(message: AIMessage) -> Iterator[AIMessageChunk]:
    """A message in chunks whose sum is the message: words, then tool calls, then the figures."""
    if isinstance(message.content, str):
        for piece in _PIECE.findall(message.content):
            yield AIMessageChunk(content=piece, id=message.id)
        rest: str | list[Any] = "" if message.content.strip() else message.content
    else:
        rest = message.content
    calls = [
        tool_call_chunk(
            name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place
        )
        for place, call in enumerate(message.tool_calls)
    ]
    yield AIMessageChunk(
        content=rest,
        id=message.id,
        tool_call_chunks=calls,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )
