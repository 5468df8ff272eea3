"""Make a routed call's attempts on LangChain's models and read their results."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar, cast
from uuid import UUID

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_llm_optimizers.binding import settings_for
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.messages import METADATA_KEY
from langchain_llm_optimizers.wrappers import is_wrapper
from llm_optimizers.routing.calling import ReplyReader
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.plan import CallModel
from llm_optimizers.routing.routed_call import RoutedCall

__all__ = ["REPLY_READER", "AttemptCaller", "RoutedChatCall", "without_mark"]

M = TypeVar("M", bound=BaseMessage)
_OWN_MARK = ("routed", "decision_id", "at", "baseline_model")
_PLACE = frozenset({"type", "id", "index"})
"""Keys of a block that say where it belongs."""
_INNER = "inner"
"""The key in a router's mark for that of a router inside."""
RoutedChatCall: TypeAlias = RoutedCall[ChatResult, AIMessageChunk]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCaller:
    """Calls a router's children for the attempts of one routed call."""

    call: ModelCall
    routed_call: RoutedChatCall
    models: Mapping[str, BaseChatModel]

    def ask(self, attempt: CallModel) -> ChatResult:
        """See `Caller.ask`."""
        child, call = self._prepared(attempt)
        return self._marked(call.generate(child), attempt)

    async def aask(self, attempt: CallModel) -> ChatResult:
        """See `Caller.aask`."""
        child, call = self._prepared(attempt)
        return self._marked(await call.agenerate(child), attempt)

    def stream(self, attempt: CallModel) -> Iterator[AIMessageChunk]:
        """See `Caller.stream`."""
        child, call = self._prepared(attempt)
        return call.stream(child)

    def astream(self, attempt: CallModel) -> AsyncIterator[AIMessageChunk]:
        """See `Caller.astream`."""
        child, call = self._prepared(attempt)
        return call.astream(child)

    def mark(self, chunk: AIMessageChunk, attempt: CallModel, *, first: bool) -> AIMessageChunk:
        """See `Caller.mark`; chunks are added up, so only the first carries the mark."""
        return _with_mark(chunk, self._mark(attempt)) if first else chunk

    def _prepared(self, attempt: CallModel) -> tuple[BaseChatModel, ModelCall]:
        """Return the child to call, and the call in its format."""
        child = self.models[attempt.model]
        call = replace(self.call, config={**self.call.config, "run_id": UUID(attempt.context.id)})
        if attempt.request is not None:
            asked = [_message(m.role, m.text) for m in attempt.request.messages]
            return child, replace(call, messages=asked, stop=None, kwargs={})
        call = replace(call, kwargs=settings_for(child, self.call.kwargs))
        if is_wrapper(child):  # A router in it reads its own marks, not this router's.
            call = replace(call, messages=[without_mark(each) for each in call.messages])
        return child, call

    def _mark(self, attempt: CallModel) -> dict[str, Any]:
        """Return the mark on a message: the model that was chosen, and the one it saves against."""
        return {
            METADATA_KEY: {
                "routed": attempt.model,
                "decision_id": self.routed_call.decision.id,
                "at": self.routed_call.decision.time,
                "baseline_model": self.routed_call.baseline_model,
            }
        }

    def _marked(self, result: ChatResult, attempt: CallModel) -> ChatResult:
        mark = self._mark(attempt)
        generations = [
            ChatGeneration(
                message=_with_mark(cast("AIMessage", each.message), mark),
                generation_info=each.generation_info,
            )
            for each in result.generations
        ]
        return result.model_copy(update={"generations": generations})


def _with_mark(message: M, mark: dict[str, Any]) -> M:
    inside = message.response_metadata.get(METADATA_KEY) or {}
    own = {**inside, **mark[METADATA_KEY]}
    if "routed" in inside:  # by a router among this one's models
        own[_INNER] = {name: inside[name] for name in (*_OWN_MARK, _INNER) if name in inside}
    metadata = {**message.response_metadata, METADATA_KEY: own}
    return message.model_copy(update={"response_metadata": metadata})


def without_mark(message: M) -> M:
    """Return an answer as it came from the model that a router called, with that model's mark."""
    mark = message.response_metadata.get(METADATA_KEY)
    if not isinstance(message, AIMessage) or not isinstance(mark, Mapping) or "routed" not in mark:
        return message
    rest = {name: value for name, value in mark.items() if name not in (*_OWN_MARK, _INNER)}
    metadata = {**message.response_metadata, METADATA_KEY: {**rest, **(mark.get(_INNER) or {})}}
    return message.model_copy(update={"response_metadata": metadata})


def _read(result: ChatResult) -> ModelAnswer:
    message = result.generations[0].message
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    named = [{"name": call["name"], "args": call["args"]} for call in calls]
    canonical = json.dumps(named, sort_keys=True, default=repr) if named else ""
    return ModelAnswer(model="", text=str(message.text), tool_calls=canonical)


def _chunks(result: ChatResult) -> Iterator[AIMessageChunk]:
    """Yield a whole answer as one chunk, for a cascade, which checks it before streaming it."""
    message = cast("AIMessage", result.generations[0].message)
    yield AIMessageChunk(**message.model_dump(exclude={"type"}), chunk_position="last")


def _message(role: str, text: str) -> BaseMessage:
    return SystemMessage(text) if role == "system" else HumanMessage(text)


def _is_empty(chunk: AIMessageChunk) -> bool:
    """Whether a chunk holds only an id, metadata, usage, or the start of blocks without content."""
    extra = {key: value for key, value in chunk.additional_kwargs.items() if value}
    said = any(map(_is_said, chunk.content))
    return not (said or chunk.tool_call_chunks or chunk.tool_calls or extra)


def _is_said(block: str | dict[str, Any]) -> bool:
    """Whether a block, or a piece of text, holds anything but its kind and place."""
    if isinstance(block, str):
        return bool(block)
    return any(value for name, value in block.items() if name not in _PLACE)


REPLY_READER: ReplyReader[ChatResult, AIMessageChunk] = ReplyReader(
    read=_read, chunks=_chunks, text=lambda chunk: str(chunk.text), is_empty=_is_empty
)
