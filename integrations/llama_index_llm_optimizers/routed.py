"""A decision's calls, made of LlamaIndex's LLMs, and what is known of those to decide."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher

from llama_index_llm_optimizers.account import seller, text_of
from llama_index_llm_optimizers.binding import unpacked
from llama_index_llm_optimizers.call import ChatCall, ModelCall, Reply
from llama_index_llm_optimizers.conveying import conveyed_context, conveying
from llama_index_llm_optimizers.delegating import kind_of
from llama_index_llm_optimizers.messages import ROUTED, ROUTING, core_message
from llm_optimizers.effects import closing_async
from llm_optimizers.errors import InterruptedStreamError
from llm_optimizers.routing import Decision, Router
from llm_optimizers.routing.cascade.checks import Answer
from llm_optimizers.routing.session import CallModel
from llm_optimizers.types import ChatRequest

__all__ = [
    "LLMDraftSettledEvent",
    "Route",
    "interrupted",
    "read_reply",
]

_BESIDE = ("sample", "judge")
"""Calls that nobody would have made without a cascade."""
_dispatcher = get_dispatcher(__name__)


class LLMDraftSettledEvent(BaseEvent):
    """A cascade's cheap answer was kept, or thrown away; `call_id` is what its call was named."""

    call_id: str
    kept: bool

    @classmethod
    def class_name(cls) -> str:
        """See `BaseEvent.class_name`."""
        return "LLMDraftSettledEvent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A stream whose first chunk has come, so that nothing can be taken back."""

    model: str
    chunks: Iterator[Reply]
    source: Iterator[Reply]

    def close(self) -> None:
        """Leave the stream."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncOpened:
    """The same of an asynchronous stream."""

    model: str
    chunks: AsyncGenerator[Reply, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call, where it was decided to go, and how each attempt is made."""

    llms: Mapping[str, LLM]
    call: ModelCall
    request: ChatRequest
    decision: Decision
    drafts: list[str] = field(default_factory=list)

    def ask(self, effect: CallModel) -> Reply:
        """Make one attempt."""
        with conveying(**self._facts(effect)):
            return self._marked(self._attempt(effect).ask(self.llms[effect.model]), effect)

    async def aask(self, effect: CallModel) -> Reply:
        """The asynchronous twin of `ask`."""
        with conveying(**self._facts(effect)):
            reply = await self._attempt(effect).aask(self.llms[effect.model])
        return self._marked(reply, effect)

    def open(self, effect: CallModel) -> Opened:
        """Make one attempt at a stream; it has succeeded once the first chunk is there."""
        chunks = self._attempt(effect, streamed=True).stream(self.llms[effect.model])
        first = next(chunks, None)
        rest = chunks if first is None else chain((first,), chunks)
        marked = (self._marked(chunk, effect) for chunk in rest)
        return Opened(model=effect.model, chunks=marked, source=chunks)

    async def aopen(self, effect: CallModel) -> AsyncOpened:
        """The asynchronous twin of `open`."""
        chunks = self._attempt(effect, streamed=True).astream(self.llms[effect.model])
        first = await anext(chunks, None)

        async def marked() -> AsyncGenerator[Reply, None]:
            async with closing_async(chunks):
                if first is not None:
                    yield self._marked(first, effect)
                async for chunk in chunks:
                    yield self._marked(chunk, effect)

        return AsyncOpened(model=effect.model, chunks=marked())

    def settle(self, served: Reply | None) -> None:
        """Tell the account which drafts were kept; the others were paid for in vain."""
        mark = served.additional_kwargs[ROUTING] if served is not None else {}
        for call_id in self.drafts:
            kept = mark.get("call_id") == call_id
            _dispatcher.event(LLMDraftSettledEvent(call_id=call_id, kept=kept))

    def _attempt(self, effect: CallModel, *, streamed: bool = False) -> ModelCall:
        call = self.call
        if effect.request is not None:
            messages = [
                ChatMessage(role=MessageRole(message.role), content=message.text)
                for message in effect.request.messages
            ]
            call = ChatCall(messages=messages, context=call.context)
        if streamed:
            call = replace(call, context=conveyed_context(call.context, **self._facts(effect)))
        return unpacked(call, self.llms[effect.model])

    def _facts(self, effect: CallModel) -> dict[str, Any]:
        """What the account needs to know of an attempt."""
        baseline = self.llms[self.decision.baseline]
        if effect.role == "draft":
            self.drafts.append(effect.call_id)
        return {
            "call_id": effect.call_id,
            "draft": effect.role == "draft",
            "aside": ROUTING if effect.role in _BESIDE else None,
            "baseline_model": baseline.metadata.model_name,
            "baseline_provider": seller(kind_of(baseline)),
        }

    def _marked(self, reply: Reply, effect: CallModel) -> Reply:
        """The reply with who gave it; the message too, for the turns that follow it."""
        mark = {
            "model": effect.model,
            "call_id": effect.call_id,
            "decision_id": self.decision.id,
            "reason": self.decision.reason,
            "baseline_model": self.llms[self.decision.baseline].metadata.model_name,
        }
        beside = {"additional_kwargs": {**reply.additional_kwargs, ROUTING: mark}}
        if not isinstance(reply, ChatResponse):
            return reply.model_copy(update=beside)
        led = {"model": effect.model, "at": self.decision.time}
        kept = {**reply.message.additional_kwargs, ROUTED: led}
        message = reply.message.model_copy(update={"additional_kwargs": kept})
        return reply.model_copy(update={**beside, "message": message})


def interrupted(router: Router, model: str, error: Exception, text: str) -> InterruptedStreamError:
    """The error of a stream that broke when nothing could be taken back; the model rests."""
    router.health.failed(model, now=router.clock())
    return InterruptedStreamError(
        f"{model}'s stream broke midway ({type(error).__name__}); what had come is in `partial`, "
        "ask again for the rest",
        partial=text,
    )


def read_reply(reply: Reply) -> Answer:
    """A reply as checks see it."""
    model = (reply.additional_kwargs.get(ROUTING) or {}).get("model", "")
    calls = ""
    if isinstance(reply, ChatResponse):
        found = core_message(reply.message).tool_calls
        named = [{"name": call.name, "arguments": call.arguments} for call in found]
        calls = json.dumps(named, sort_keys=True) if named else ""
    return Answer(model=model, text=text_of(reply), tool_calls=calls)
