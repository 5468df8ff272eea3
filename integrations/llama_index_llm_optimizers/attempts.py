"""Make a routed call's attempts on LlamaIndex's LLMs and read their replies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.llms.llm import LLM

from llama_index_llm_optimizers.account import text_of
from llama_index_llm_optimizers.binding import with_bound_tools
from llama_index_llm_optimizers.call import ChatCall, ModelCall, Reply
from llama_index_llm_optimizers.codec import COUNTS
from llama_index_llm_optimizers.handover import readable_by
from llama_index_llm_optimizers.hits import chunks_of
from llama_index_llm_optimizers.messages import ROUTED_KEY, ROUTING_KEY, core_message
from llm_optimizers.costs.context import context_with_call
from llm_optimizers.effects import closing, closing_async
from llm_optimizers.failures.attributes import attribute
from llm_optimizers.routing.calling import ReplyReader
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.plan import CallModel
from llm_optimizers.routing.routed_call import RoutedCall

__all__ = ["REPLY_READER", "AttemptCaller", "RoutedLLMCall"]

RoutedLLMCall: TypeAlias = RoutedCall[Reply, Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCaller:
    """Calls a router's LLMs for the attempts of one routed call."""

    call: ModelCall
    routed_call: RoutedLLMCall
    llms: Mapping[str, LLM]

    def ask(self, attempt: CallModel) -> Reply:
        """See `Caller.ask`."""
        return self._marked(self._prepared(attempt).ask(self.llms[attempt.model]), attempt)

    async def aask(self, attempt: CallModel) -> Reply:
        """See `Caller.aask`."""
        reply = await self._prepared(attempt).aask(self.llms[attempt.model])
        return self._marked(reply, attempt)

    def stream(self, attempt: CallModel) -> Iterator[Reply]:
        """See `Caller.stream`."""
        with closing(self._streamed(attempt).stream(self.llms[attempt.model])) as chunks:
            for chunk in chunks:
                _check(chunk)
                yield chunk

    async def astream(self, attempt: CallModel) -> AsyncIterator[Reply]:
        """See `Caller.astream`."""
        stream = self._streamed(attempt).astream(self.llms[attempt.model])
        async with closing_async(stream) as chunks:
            async for chunk in chunks:
                _check(chunk)
                yield chunk

    def mark(self, chunk: Reply, attempt: CallModel, *, first: bool) -> Reply:
        """See `Caller.mark`; each chunk contains those before it, so all carry the mark."""
        return self._marked(chunk, attempt)

    def _prepared(self, attempt: CallModel) -> ModelCall:
        """Return the call in the format of the chosen LLM."""
        call = self.call
        if attempt.request is not None:
            messages = [
                ChatMessage(role=MessageRole(message.role), content=message.text)
                for message in attempt.request.messages
            ]
            call = ChatCall(messages=messages, context=call.context)
        elif isinstance(call, ChatCall):
            call = replace(call, messages=readable_by(attempt.model, call.messages))
        return with_bound_tools(call, self.llms[attempt.model])

    def _streamed(self, attempt: CallModel) -> ModelCall:
        """Return the call for a stream, which is read in its caller's context."""
        call = self._prepared(attempt)
        return replace(call, context=context_with_call(call.context, attempt.context))

    def _marked(self, reply: Reply, attempt: CallModel) -> Reply:
        """Return the reply marked with the LLM that gave it; its message too, for later calls."""
        decision = self.routed_call.decision
        mark = {
            "model": attempt.model,
            "call_id": attempt.call_id,
            "decision_id": decision.id,
            "reason": decision.reason,
            "baseline_model": self.routed_call.baseline_model,
        }
        marked: dict[str, Any] = {
            "additional_kwargs": {**reply.additional_kwargs, ROUTING_KEY: mark}
        }
        if isinstance(reply, ChatResponse):
            routed = {"model": attempt.model, "at": decision.time}
            kept = {**reply.message.additional_kwargs, ROUTED_KEY: routed}
            marked["message"] = reply.message.model_copy(update={"additional_kwargs": kept})
        return reply.model_copy(update=marked)


class FailedResponseError(RuntimeError):
    """A stream ended with an event that says it failed; `code` is the provider's."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the provider's stream failed: {code}")
        self.code = code


def _check(chunk: Reply) -> None:
    """Raise the failure that OpenAI's Responses state in an event.

    LlamaIndex passes it on as a chunk without text.
    """
    event = attribute(chunk, "raw")
    kind = attribute(event, "type")
    if kind == "response.failed":
        code = attribute(event, "response", "error", "code")
    elif kind == "error":
        code = attribute(event, "code")
    else:
        return
    raise FailedResponseError(str(code or "server_error"))


def _read(reply: Reply) -> ModelAnswer:
    calls = ""
    if isinstance(reply, ChatResponse):
        found = core_message(reply.message).tool_calls
        named = [{"name": call.name, "arguments": call.arguments} for call in found]
        calls = json.dumps(named, sort_keys=True) if named else ""
    return ModelAnswer(model="", text=text_of(reply), tool_calls=calls)


def _is_empty(chunk: Reply) -> bool:
    """Whether a chunk, with those before it, holds nothing of the answer."""
    if chunk.delta:
        return False
    if not isinstance(chunk, ChatResponse):
        return not chunk.text
    said = chunk.message
    extra = [value for name, value in said.additional_kwargs.items() if name not in COUNTS]
    return not any(extra) and all(map(_is_blank, said.blocks))


def _is_blank(block: ContentBlock) -> bool:
    """Whether a block is the start of a text or a thought, without content."""
    if isinstance(block, TextBlock):
        return not block.text
    return isinstance(block, ThinkingBlock) and not (block.content or block.additional_information)


REPLY_READER: ReplyReader[Reply, Reply] = ReplyReader(
    read=_read, chunks=chunks_of, text=lambda chunk: chunk.delta or "", is_empty=_is_empty
)
