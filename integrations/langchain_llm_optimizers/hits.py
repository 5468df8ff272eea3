"""A served answer: marked as a saving, and shown to callbacks and traces as a run of its own."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_llm_optimizers.codec import Generations
from llm_optimizers.caching import Hit
from llm_optimizers.costs import Usage

__all__ = ["CACHE_HIT", "ReplayChatModel", "chunks_of", "mark_hit", "usage_of_mark"]

CACHE_HIT = "cache_hit"
"""The key of the mark in `response_metadata` (chat) or `generation_info` (completion)."""

_COUNTS = tuple(field.name for field in fields(Usage))
_counts = attrgetter(*_COUNTS)


def mark_hit(hit: Hit[Generations]) -> Generations:
    """The hit's generations, each marked with where it came from and what its call consumed.

    `id` names the hit in the account: whoever records it a second time records nothing.
    """
    mark = {
        "id": secrets.token_hex(16),
        "tier": hit.tier,
        "score": round(hit.score, 4),
        "age": round(hit.age, 3),
        "model": hit.model,
        "usage": None if hit.usage is None else dict(zip(_COUNTS, _counts(hit.usage), strict=True)),
    }
    for generation in hit.value:
        if isinstance(generation, ChatGeneration):
            generation.message.response_metadata[CACHE_HIT] = mark
        else:
            generation.generation_info = _MarkedInfo(generation.generation_info, mark)
    return hit.value


class _MarkedInfo(dict[str, Any]):
    """A completion's info with the mark in it, equal to the info without.

    What a cache returns for a completion has to equal what it was given: LangChain's standard
    suite says so.
    """

    def __init__(self, info: Mapping[str, Any] | None, mark: Mapping[str, Any]) -> None:
        super().__init__({**(info or {}), CACHE_HIT: mark})
        self._info = info

    def __eq__(self, other: object) -> bool:
        return self._info == other or dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as of every dict


def usage_of_mark(mark: Mapping[str, Any]) -> Usage | None:
    """What the call behind a marked answer consumed."""
    usage = mark.get("usage")
    return Usage(**usage) if isinstance(usage, Mapping) else None


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
