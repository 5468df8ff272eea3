"""`PromptOptimizingLLM`: an LLM with shorter prompts.

LlamaIndex has no hook for histories and system prompts, so this is a wrapper.
`llm_optimizers.prompts` decides what is removed; here messages are translated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms.llm import LLM
from pydantic import Field, SerializeAsAny

from llama_index_llm_optimizers.call import (
    ChatCall,
    CompletionCall,
    ModelCall,
    Reply,
)
from llama_index_llm_optimizers.delegating import DelegatingLLM
from llama_index_llm_optimizers.messages import SHORTENED_KEY, core_message, with_text
from llm_optimizers.costs.context import CallContext, call_scope, context_of, context_with_call
from llm_optimizers.costs.removed import NOTHING_REMOVED, RemovedTokens
from llm_optimizers.effects import closing_async
from llm_optimizers.prompts import Optimized, RequestOptimizer
from llm_optimizers.prompts.building import build_optimizer
from llm_optimizers.types import ChatRequest, Message

__all__ = ["PromptOptimizingLLM"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShortenedCall:
    """The shortened call, with what was removed from the original one."""

    call: ModelCall
    removed: RemovedTokens = NOTHING_REMOVED

    @property
    def context(self) -> CallContext:
        """The context with which the call is recorded."""
        return context_of(within=self.call.context).with_removed(self.removed)

    def streamed(self) -> ModelCall:
        """Return the call for a stream, which the caller reads in its own context."""
        return replace(self.call, context=context_with_call(self.call.context, self.context))

    def marked(self, reply: Reply) -> Reply:
        """Return the reply with the record of removed tokens, which a cache hit then includes."""
        if not self.removed.tokens:
            return reply
        mark = {SHORTENED_KEY: {"tokens": self.removed.tokens, "repeated": self.removed.repeated}}
        return reply.model_copy(update={"additional_kwargs": {**reply.additional_kwargs, **mark}})


class PromptOptimizingLLM(DelegatingLLM):
    """An LLM with shorter prompts.

    Example:
        ```python
        history = History(keep=5)
        llm = PromptOptimizingLLM(llm=OpenAI("gpt-4o"), optimizer=RequestOptimizer(history=history))
        ```

    By default only the blanks in JSON are removed, in tool outputs and in marked context; for an
    agent that edits JSON files by their exact text use `RequestOptimizer(passes=frozenset())`. A
    prompt that cannot be shortened is sent unchanged. The ledger shows the saving.

    Args:
        llm: The LLM that gets the shorter prompts.
        optimizer: Shortens the prompts; steps that lose information are off by default.
        context_tokens: Instead of `optimizer`: maximum tokens of retrieved context per message.
        embed_model: Used to choose context by meaning; the bundled static model by default.

    Raises:
        ConfigurationError: `context_tokens` is below one, or given together with `optimizer`.
    """

    llm: SerializeAsAny[LLM]
    optimizer: RequestOptimizer = Field(default_factory=RequestOptimizer, exclude=True)

    def __init__(
        self,
        llm: LLM,
        optimizer: RequestOptimizer | None = None,
        *,
        context_tokens: int | None = None,
        embed_model: BaseEmbedding | None = None,
        **data: Any,
    ) -> None:
        data["optimizer"] = build_optimizer(
            context_tokens, optimizer, embed_model, argument="embed_model"
        )
        super().__init__(llm=llm, **data)

    @classmethod
    def class_name(cls) -> str:
        """See `BaseComponent.class_name`."""
        return "PromptOptimizingLLM"

    @property
    def _children(self) -> Sequence[LLM]:
        return (self.llm,)

    def warm_up(self) -> None:
        """See `DelegatingLLM.warm_up`."""
        self.optimizer.warm_up(self.llm.metadata.model_name)
        super().warm_up()

    def _own_settings(self) -> Mapping[str, Any]:
        return {"optimizer": self.optimizer}

    def _answer(self, call: ModelCall) -> Reply:
        shorter = self._shorter(call)
        with call_scope(shorter.context):
            return shorter.marked(shorter.call.ask(self.llm))

    async def _aanswer(self, call: ModelCall) -> Reply:
        shorter = await self._ashorter(call)
        with call_scope(shorter.context):
            return shorter.marked(await shorter.call.aask(self.llm))

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        shorter = self._shorter(call)
        return (shorter.marked(chunk) for chunk in shorter.streamed().stream(self.llm))

    async def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        shorter = await self._ashorter(call)
        async with closing_async(shorter.streamed().astream(self.llm)) as chunks:
            async for chunk in chunks:
                yield shorter.marked(chunk)

    def _shorter(self, call: ModelCall) -> _ShortenedCall:
        return self.optimizer.apply(*self._translation(call), otherwise=_ShortenedCall(call=call))

    async def _ashorter(self, call: ModelCall) -> _ShortenedCall:
        return await self.optimizer.aapply(
            *self._translation(call), otherwise=_ShortenedCall(call=call)
        )

    def _translation(
        self, call: ModelCall
    ) -> tuple[Callable[[], ChatRequest], Callable[[Optimized], _ShortenedCall]]:
        """Return functions that read the core request, and write the optimised one back."""
        return lambda: self._request(call), lambda optimized: _rewritten(call, optimized)

    def _request(self, call: ModelCall) -> ChatRequest:
        tools = call.kwargs.get("tools")
        return ChatRequest(
            messages=tuple(core_message(message) for message in _messages(call)),
            model=self.llm.metadata.model_name,
            params={"tools": tools} if tools else {},
        )


def _messages(call: ModelCall) -> Sequence[ChatMessage]:
    if isinstance(call, ChatCall):
        return call.messages
    assert isinstance(call, CompletionCall)
    return (ChatMessage(role=MessageRole.USER, content=call.prompt),)


def _rewritten(call: ModelCall, optimized: Optimized) -> _ShortenedCall:
    """Return the call with the optimised messages."""
    added = {k: v for k, v in optimized.request.params.items() if k != "tools"}
    kwargs = {**added, **call.kwargs}
    if isinstance(call, ChatCall):
        pairs = zip(optimized.request.messages, optimized.origins, strict=True)
        messages = [_written(new, origin, call.messages) for new, origin in pairs]
        call = replace(call, messages=messages, kwargs=kwargs)
        return _ShortenedCall(call=call, removed=optimized.removed)
    assert isinstance(call, CompletionCall)
    if len(optimized.request.messages) != 1:
        return _ShortenedCall(call=call)
    prompt = optimized.request.messages[0].text
    return _ShortenedCall(
        call=replace(call, prompt=prompt, kwargs=kwargs), removed=optimized.removed
    )


def _written(new: Message, origin: int | None, before: Sequence[ChatMessage]) -> ChatMessage:
    """Return an optimised message: a summary, or an original one with its new text."""
    if origin is None:
        return ChatMessage(role=MessageRole.SYSTEM, content=new.text)
    return with_text(before[origin], new)
