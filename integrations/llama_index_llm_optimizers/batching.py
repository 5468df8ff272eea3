"""`BatchedLLM`: callers at the same time share a call."""

from __future__ import annotations

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
from llama_index_llm_optimizers.batch import abatch_chat
from llama_index_llm_optimizers.call import ChatCall, CompletionCall, ModelCall, Reply
from llama_index_llm_optimizers.codec import Answered as FromModel
from llama_index_llm_optimizers.codec import answered
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
from llm_optimizers.batching.combining.ask import Answered, Question, Settled
from llm_optimizers.batching.combining.ask import Reply as Told
from llm_optimizers.batching.combining.prompts import combination_key
from llm_optimizers.caching.tenancy import current_tenant
from llm_optimizers.costs import Usage
from llm_optimizers.costs.call import CallContext, calling
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.comparison import Comparison, same_answer
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
        llm = BatchedLLM(OpenAI(model="gpt-4o-mini"))
        report = llm.check_combining(sample_of_questions)  # opens the gate if the answers agree
        answers = await abatch_chat(llm, [[ChatMessage(text)] for text in texts])
        ```

    Questions that share everything but the last message go in one prompt. Answers get worse with
    their number and place, so nothing is combined until `check_combining` has shown that yours do
    not, or `combine` says so. Conversations, tools, images, streams and tenants are never mixed.
    Each caller gets its own answer or error, and its share of the bill. Put it around the LLM
    itself, inside routers and prompt optimisers.

    Args:
        llm: The LLM that answers, called from threads of this wrapper's own.
        combine: Whether questions share prompts; `check_combining` sets it.
        limits: When a group is sent; 6 questions or 30 ms unless given.
        max_pending: Callers beyond this many wait for a place.
        max_calls: Calls at the same time.
        timeout: Seconds a caller waits for an answer; for ever by default.
    """

    llm: SerializeAsAny[LLM]
    combine: bool = False
    timeout: float | None = None
    _coalescer: Coalescer[Question, Answered] = PrivateAttr()
    _contexts: dict[int, Context] = PrivateAttr(default_factory=dict)

    def __init__(
        self,
        llm: LLM,
        *,
        combine: bool = False,
        limits: GroupLimits | None = None,
        max_pending: int = 1_000,
        max_calls: int = 8,
        timeout: float | None = None,
        **data: Any,
    ) -> None:
        super().__init__(llm=llm, combine=combine, timeout=timeout, **data)
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

    def check_combining(
        self,
        sample: Sequence[str | Sequence[ChatMessage]],
        *,
        tolerance: float = 0.05,
        confidence: float = 0.9,
        agree: Comparison = same_answer,
    ) -> GateReport:
        """Answer a sample singly and combined, and combine from now on only if the two agree.

        Raises:
            ConfigurationError: the sample is empty, or holds questions that are never combined.
        """
        asked = [[ChatMessage(each)] if isinstance(each, str) else each for each in sample]
        report = compare_combined(
            [_request(ChatCall(messages=messages), self.llm) for messages in asked],
            self._told,
            tolerance=tolerance,
            confidence=confidence,
            agree=agree,
        )
        self.combine = report.passed
        return report

    async def abatch_chat(
        self, conversations: Sequence[Sequence[ChatMessage]], **how: Any
    ) -> list[ChatResponse | BaseException]:
        """Chat about many things at once; see the function of this name."""
        return await abatch_chat(self, conversations, **how)

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
        if not self.combine:
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
        with calling(CallContext(shared=True)):
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
        return Told(text=text_of(answer.reply), usage=answer.usage or Usage(), raw=answer)

    def _settled(self, settled: Settled) -> None:
        context = self._contexts.get(id(settled.request), Context())
        model = settled.answered.raw.model if settled.answered else ""
        asked, kind = self.llm.metadata.model_name, kind_of(self.llm)
        announce_share(settled, context, model=model, asked=asked, asked_class=kind)

    def _reply(self, call: ModelCall, answer: Answered) -> Reply:
        """The caller's own answer; `raw` of a shared one tells what a call alone would have."""
        made: FromModel = answer.raw
        if answer.asked_with == 1 and isinstance(call, ChatCall):
            return made.reply
        told = {
            "model": made.model or self.llm.metadata.model_name,
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
