"""How a routed call's attempts are made on LangChain's models, and how their replies are read."""

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
from langchain_llm_optimizers.messages import MARK
from llm_optimizers.routing.calling import ReplyReader
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.plan import CallModel
from llm_optimizers.routing.routed_call import RoutedCall

__all__ = ["REPLIES", "Attempts", "Session"]

M = TypeVar("M", bound=AIMessage)
Session: TypeAlias = RoutedCall[ChatResult, AIMessageChunk]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Makes the attempts of one session on its children."""

    call: ModelCall
    session: Session
    models: Mapping[str, BaseChatModel]

    def ask(self, attempt: CallModel) -> ChatResult:
        """See `Caller.ask`."""
        child, call = self._prepared(attempt)
        return self._stamped(call.generate(child), attempt)

    async def aask(self, attempt: CallModel) -> ChatResult:
        """See `Caller.aask`."""
        child, call = self._prepared(attempt)
        return self._stamped(await call.agenerate(child), attempt)

    def stream(self, attempt: CallModel) -> Iterator[AIMessageChunk]:
        """See `Caller.stream`."""
        child, call = self._prepared(attempt)
        return call.stream(child)

    def astream(self, attempt: CallModel) -> AsyncIterator[AIMessageChunk]:
        """See `Caller.astream`."""
        child, call = self._prepared(attempt)
        return call.astream(child)

    def mark(self, chunk: AIMessageChunk, attempt: CallModel, *, first: bool) -> AIMessageChunk:
        """See `Caller.mark`; chunks add up, so that only the first carries the stamp."""
        return _with_stamp(chunk, self._stamp(attempt)) if first else chunk

    def _prepared(self, attempt: CallModel) -> tuple[BaseChatModel, ModelCall]:
        """The child, and the call as it is to be made on it."""
        child = self.models[attempt.model]
        call = replace(self.call, config={**self.call.config, "run_id": UUID(attempt.context.id)})
        if attempt.request is not None:
            asked = [_message(m.role, m.text) for m in attempt.request.messages]
            return child, replace(call, messages=asked, stop=None, kwargs={})
        return child, replace(call, kwargs=settings_for(child, self.call.kwargs))

    def _stamp(self, attempt: CallModel) -> dict[str, Any]:
        """What goes into a message: who led the conversation, and whom it would have asked."""
        return {
            MARK: {
                "routed": attempt.model,
                "decision_id": self.session.decision.id,
                "at": self.session.decision.time,
                "baseline_model": self.session.baseline_model,
            }
        }

    def _stamped(self, result: ChatResult, attempt: CallModel) -> ChatResult:
        stamp = self._stamp(attempt)
        generations = [
            ChatGeneration(
                message=_with_stamp(cast("AIMessage", each.message), stamp),
                generation_info=each.generation_info,
            )
            for each in result.generations
        ]
        return ChatResult(generations=generations, llm_output=result.llm_output)


def _with_stamp(message: M, stamp: dict[str, Any]) -> M:
    inside = message.response_metadata.get(MARK) or {}
    metadata = {**message.response_metadata, MARK: {**inside, **stamp[MARK]}}
    return message.model_copy(update={"response_metadata": metadata})


def _read(result: ChatResult) -> ModelAnswer:
    message = result.generations[0].message
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    named = [{"name": call["name"], "args": call["args"]} for call in calls]
    canonical = json.dumps(named, sort_keys=True, default=repr) if named else ""
    return ModelAnswer(model="", text=str(message.text), tool_calls=canonical)


def _chunks(result: ChatResult) -> Iterator[AIMessageChunk]:
    """A whole answer as one chunk, for a cascade that had to hold the stream back."""
    message = cast("AIMessage", result.generations[0].message)
    yield AIMessageChunk(**message.model_dump(exclude={"type"}), chunk_position="last")


def _message(role: str, text: str) -> BaseMessage:
    return SystemMessage(text) if role == "system" else HumanMessage(text)


REPLIES: ReplyReader[ChatResult, AIMessageChunk] = ReplyReader(
    read=_read, chunks=_chunks, text=lambda chunk: str(chunk.text)
)
