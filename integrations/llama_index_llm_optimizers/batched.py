"""`BatchedLLM`: callers at the same time share a call."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
)
from llama_index.core.llms.llm import LLM
from pydantic import PrivateAttr, SerializeAsAny

from llama_index_llm_optimizers.account import text_of
from llama_index_llm_optimizers.answers import answered
from llama_index_llm_optimizers.calls import ChatCall, CompletionCall, ModelCall, Reply
from llama_index_llm_optimizers.conveying import conveying
from llama_index_llm_optimizers.delegating import DelegatingLLM, kind_of
from llama_index_llm_optimizers.messages import request_of
from llama_index_llm_optimizers.shared import announce_share
from llm_optimizers.batching import (
    Coalescer,
    CombinedAsk,
    GateReport,
    GroupLimits,
    compare_combined,
)
from llm_optimizers.batching.combined import Answered, Question, Settled
from llm_optimizers.batching.combined import Reply as Told
from llm_optimizers.batching.combining import combination_key
from llm_optimizers.caching.tenancy import current_tenant
from llm_optimizers.costs import Usage
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message

__all__ = ["BatchedLLM"]

_TOGETHER = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shareable:
    """A call that may be asked together with others of its key."""

    request: ChatRequest
    key: Hashable


class BatchedLLM(DelegatingLLM):
    """An LLM whose short, independent questions are asked together while others wait.

    Example:
        ```python
        gate = BatchedLLM(llm).compare(sample_of_questions)
        batched = BatchedLLM(llm, gate=gate)
        answers = await abatch_chat(batched, [[ChatMessage(text)] for text in texts])
        ```

    Questions that share everything but the last message go in one prompt. Answers get worse with
    their number and place, so let `compare` show that yours do not: with a gate that did not
    pass, every question is asked alone. Conversations, tools, images, streams and tenants are
    never mixed. Each caller gets its own answer or error, and its share of the bill. Put it around
    the LLM itself, inside routers and prompt optimisers.

    Args:
        llm: The LLM that answers, called from threads of this wrapper's own.
        gate: What `compare` found; None combines without proof.
        limits: When a group is sent; 6 questions or 30 ms unless given.
        max_pending: Callers beyond this many wait for a place.
        max_calls: Calls at the same time.
        timeout: Seconds a caller waits for an answer; for ever by default.
    """

    llm: SerializeAsAny[LLM]
    timeout: float | None = None
    _combining: bool = PrivateAttr(default=True)
    _coalescer: Coalescer[Question, Answered] = PrivateAttr()
    _last: Any = PrivateAttr(default_factory=threading.local)
    _contexts: dict[int, Context] = PrivateAttr(default_factory=dict)

    def __init__(
        self,
        llm: LLM,
        *,
        gate: GateReport | None = None,
        limits: GroupLimits | None = None,
        max_pending: int = 1_000,
        max_calls: int = 8,
        timeout: float | None = None,
        **data: Any,
    ) -> None:
        super().__init__(llm=llm, timeout=timeout, **data)
        self._combining = gate is None or gate.passed
        self._coalescer = Coalescer(
            CombinedAsk(self._ask, observe=self._settled),
            limits=limits or GroupLimits(max_size=_TOGETHER),
            max_pending=max_pending,
            max_calls=max_calls,
        )

    @classmethod
    def class_name(cls) -> str:
        """See `BaseComponent.class_name`."""
        return "BatchedLLM"

    def compare(self, sample: Sequence[str | Sequence[ChatMessage]], **how: Any) -> GateReport:
        """Answer a sample singly and combined; `how` goes to `compare_combined`.

        Raises:
            ConfigurationError: the sample is empty, or holds questions that are never combined.
        """
        asked = [[ChatMessage(each)] if isinstance(each, str) else each for each in sample]
        requests = [_request(ChatCall(messages=messages), self.llm) for messages in asked]
        return compare_combined(requests, lambda request: self._told(request), **how)

    def close(self) -> None:
        """Answer everybody who waits, then refuse."""
        self._coalescer.close()

    @property
    def _children(self) -> Sequence[LLM]:
        return (self.llm,)

    def _answer(self, call: ModelCall) -> Reply:
        found = self._shareable(call)
        if found is None:
            return call.ask(self.llm)
        question = Question(request=found.request)
        try:
            answer = self._coalescer.call(question, key=found.key, timeout=self.timeout)
        finally:
            self._contexts.pop(id(found.request), None)
        return self._reply(call, answer)

    async def _aanswer(self, call: ModelCall) -> Reply:
        found = self._shareable(call)
        if found is None:
            return await call.aask(self.llm)
        question = Question(request=found.request)
        try:
            answer = await self._coalescer.acall(question, key=found.key, timeout=self.timeout)
        finally:
            self._contexts.pop(id(found.request), None)
        return self._reply(call, answer)

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        return call.stream(self.llm)

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        return call.astream(self.llm)

    def _shareable(self, call: ModelCall) -> _Shareable | None:
        if not self._combining:
            return None
        try:
            request = _request(call, self.llm)
        except ConfigurationError:
            return None
        key = combination_key(request)
        if key is None:
            return None
        self._contexts[id(request)] = call.context
        return _Shareable(request=request, key=key)

    def _ask(self, request: ChatRequest) -> Told:
        """One call for a group, in a thread; its bill is shared out among those who asked."""
        with conveying(shared=True):
            return self._told(request)

    def _told(self, request: ChatRequest) -> Told:
        settings = dict(request.params)
        if _ours(settings) and "openai" not in kind_of(self.llm).lower():
            # The prompt asks for JSON in words too; not every LLM takes OpenAI's setting.
            del settings["response_format"]
        messages = [
            ChatMessage(role=MessageRole(message.role), content=message.text)
            for message in request.messages
        ]
        answer = answered(self.llm.chat(messages, **settings))
        self._last.model = answer.model
        return Told(text=text_of(answer.reply), usage=answer.usage or Usage())

    def _settled(self, settled: Settled) -> None:
        context = self._contexts.get(id(settled.request), Context())
        # The thread that asked is the one that tells.
        model = getattr(self._last, "model", "") if settled.answered else ""
        asked, kind = self.llm.metadata.model_name, kind_of(self.llm)
        announce_share(settled, context, model=model, asked=asked, asked_class=kind)

    def _reply(self, call: ModelCall, answer: Answered) -> Reply:
        """The caller's own answer; `raw` tells what a call for it alone would have."""
        told = {
            "model": self.llm.metadata.model_name,
            "usage": {
                "prompt_tokens": answer.alone.input_tokens,
                "completion_tokens": answer.alone.output_tokens,
            },
        }
        beside = {"asked_with": answer.asked_with}
        if isinstance(call, CompletionCall):
            return CompletionResponse(text=answer.text, raw=told, additional_kwargs=beside)
        message = ChatMessage(role=MessageRole.ASSISTANT, content=answer.text)
        return ChatResponse(message=message, raw=told, additional_kwargs=beside)


def _ours(settings: Mapping[str, Any]) -> bool:
    """Whether the answer's format is the one that combined questions ask for."""
    schema = (settings.get("response_format") or {}).get("json_schema") or {}
    return bool(schema.get("name") == "answers")


def _request(call: ModelCall, llm: LLM) -> ChatRequest:
    """The call as the core's request, a bare prompt as a question without context.

    Raises:
        ConfigurationError: a message holds something that cannot be seen.
    """
    tenant, model = current_tenant(), llm.metadata.model_name
    if isinstance(call, CompletionCall) and llm.metadata.is_chat_model:
        messages = (Message(role="user", content=call.prompt),)
        return ChatRequest(messages=messages, model=model, params=call.kwargs, tenant=tenant)
    request = request_of(call, call.kwargs)
    return ChatRequest(messages=request.messages, model=model, params=request.params, tenant=tenant)
