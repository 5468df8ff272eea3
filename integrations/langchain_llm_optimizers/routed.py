"""One routed call on its way: the core's decision carried out on LangChain's models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig

from langchain_llm_optimizers.binding import settings_for
from langchain_llm_optimizers.callbacks import CostCallbackHandler
from langchain_llm_optimizers.delegating import ModelCall
from langchain_llm_optimizers.messages import MARK
from llm_optimizers.routing.cascade.checks import Answer
from llm_optimizers.routing.decision import Decision
from llm_optimizers.routing.session import CallModel
from llm_optimizers.routing.specs import ModelSpec
from llm_optimizers.types import ChatRequest

__all__ = ["AsyncOpened", "Opened", "Reply", "Routed", "read_reply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A child's answer, and which call it came from."""

    model: str
    call_id: str
    result: ChatResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A child's stream whose first chunk has come, so that nothing can be taken back."""

    model: str
    first: AIMessageChunk | None
    rest: Iterator[AIMessageChunk]

    def close(self) -> None:
        """Leave the stream."""
        close = getattr(self.rest, "close", None)
        if close is not None:
            close()


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncOpened:
    """The same of an asynchronous stream."""

    model: str
    first: AIMessageChunk | None
    rest: AsyncIterator[AIMessageChunk]


@dataclass(slots=True, kw_only=True)
class Routed:
    """A call with its decision: performs the core's effects on the chosen children."""

    call: ModelCall
    decision: Decision
    request: ChatRequest
    models: Mapping[str, BaseChatModel]
    specs: Mapping[str, ModelSpec]
    drafts: dict[str, str] = field(default_factory=dict)

    @property
    def first_call_id(self) -> str | None:
        """The run id the caller asked for."""
        given = self.call.config.get("run_id")
        return None if given is None else str(given)

    def generate(self, effect: CallModel) -> Reply:
        """Let a child answer."""
        child, call = self._prepared(effect)
        return Reply(model=effect.model, call_id=effect.call_id, result=call.generate(child))

    async def agenerate(self, effect: CallModel) -> Reply:
        """The asynchronous twin of `generate`."""
        child, call = self._prepared(effect)
        result = await call.agenerate(child)
        return Reply(model=effect.model, call_id=effect.call_id, result=result)

    def open(self, effect: CallModel) -> Opened:
        """Open a child's stream and wait for its first chunk."""
        child, call = self._prepared(effect)
        chunks = call.stream(child)
        return Opened(model=effect.model, first=next(chunks, None), rest=chunks)

    async def aopen(self, effect: CallModel) -> AsyncOpened:
        """The asynchronous twin of `open`."""
        child, call = self._prepared(effect)
        chunks = call.astream(child)
        return AsyncOpened(model=effect.model, first=await anext(chunks, None), rest=chunks)

    def settle(self, served: Reply | None) -> None:
        """Tell the account which drafts were served; the others were paid for in vain."""
        for call_id, model in self.drafts.items():
            for handler in _accounts(self.call.config, self.models[model]):
                handler.settle(call_id, kept=served is not None and served.call_id == call_id)

    def stamp(self, model: str) -> dict[str, Any]:
        """What goes into a message: who led the conversation, and whom it would have asked."""
        return {
            MARK: {
                "routed": model,
                "decision_id": self.decision.id,
                "at": self.decision.time,
                "baseline_model": self.specs[self.decision.baseline].priced_as,
            }
        }

    def stamped(self, reply: Reply) -> ChatResult:
        """The result with the stamp on every message."""
        generations = [self._stamped(g, reply.model) for g in reply.result.generations]
        return ChatResult(generations=generations, llm_output=reply.result.llm_output)

    def stamped_chunk(self, chunk: AIMessageChunk, model: str) -> AIMessageChunk:
        """A stream's first chunk with the stamp; the others carry none, since chunks add up."""
        metadata = {**chunk.response_metadata, **self.stamp(model)}
        return chunk.model_copy(update={"response_metadata": metadata})

    def _stamped(self, generation: Any, model: str) -> ChatGeneration:
        message: AIMessage = generation.message
        metadata = {**message.response_metadata, **self.stamp(model)}
        return ChatGeneration(
            message=message.model_copy(update={"response_metadata": metadata}),
            generation_info=generation.generation_info,
        )

    def _prepared(self, effect: CallModel) -> tuple[BaseChatModel, ModelCall]:
        """The child, and the call as it is to be made on it."""
        child = self.models[effect.model]
        told = self.call.config.get("metadata") or {}
        config: RunnableConfig = {
            **self.call.config,
            "run_id": UUID(effect.call_id),
            "metadata": {**told, MARK: self._conveyed(effect)},
        }
        if effect.role == "draft":
            self.drafts[effect.call_id] = effect.model
        call = replace(self.call, config=config)
        if effect.request is not None:
            asked = [_message(m.role, m.text) for m in effect.request.messages]
            return child, replace(call, messages=asked, stop=None, kwargs={})
        return child, replace(call, kwargs=settings_for(child, self.call.kwargs))

    def _conveyed(self, effect: CallModel) -> dict[str, Any]:
        """What the account is to know of a call; the keys are those `account` reads."""
        baseline = self.specs[self.decision.baseline]
        conveyed: dict[str, Any] = {
            "decision_id": self.decision.id,
            "role": effect.role,
            "baseline_model": baseline.priced_as,
        }
        if baseline.provider:
            conveyed["baseline_provider"] = baseline.provider
        return conveyed


def read_reply(reply: Reply) -> Answer:
    """A reply as the core's checks see it."""
    message = reply.result.generations[0].message
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    named = [{"name": call["name"], "args": call["args"]} for call in calls]
    return Answer(
        model=reply.model,
        text=str(message.text),
        tool_calls=json.dumps(named, sort_keys=True, default=repr) if named else "",
    )


def _accounts(config: RunnableConfig, child: BaseChatModel) -> list[CostCallbackHandler]:
    """The cost handlers that hear of a child's run."""
    manager = CallbackManager.configure(config.get("callbacks"), child.callbacks)
    return [each for each in manager.handlers if isinstance(each, CostCallbackHandler)]


_MESSAGES: Mapping[str, Callable[..., BaseMessage]] = {"system": SystemMessage}


def _message(role: str, text: str) -> BaseMessage:
    return _MESSAGES.get(role, HumanMessage)(content=text)
