"""`BatchedLLM`: callers at the same time share a call; `abatch_chat` makes many callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms.llm import LLM
from pydantic import PrivateAttr, SerializeAsAny

from llama_index_llm_optimizers.call import ChatCall, ModelCall, Reply
from llama_index_llm_optimizers.combining import (
    ask,
    ask_shared,
    combinable_request,
    reply_of,
    underlying_models,
)
from llama_index_llm_optimizers.delegating import DelegatingLLM
from llama_index_llm_optimizers.shared import announce_share
from llm_optimizers.batching import AgreementReport, GroupLimits
from llm_optimizers.batching.combining import (
    BoundCalls,
    CombinedCall,
    CombinedCalls,
)
from llm_optimizers.evidence.comparison import Comparison, same_answer
from llm_optimizers.tenancy import current_tenant

__all__ = ["BatchedLLM", "abatch_chat"]

_MAKING = threading.Lock()
"""Held while an LLM's shared calls are made: LLMs are copied and pickled, locks are not."""


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
    _limits: dict[str, Any] = PrivateAttr(default_factory=dict)
    _bound: BoundCalls[CombinedCalls] | None = PrivateAttr(default=None)

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
        self._limits = {"limits": limits, "max_pending": max_pending, "max_calls": max_calls}
        self._shared_calls()  # Refuses impossible limits here rather than at the first call.

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
    ) -> AgreementReport:
        """Answer a sample singly and combined, and combine from now on only if the two agree.

        Raises:
            ConfigurationError: the sample is empty, or holds questions that are never combined.
        """
        asked = [[ChatMessage(each)] if isinstance(each, str) else each for each in sample]
        report = self._shared_calls().check(
            [combinable_request(ChatCall(messages=messages), self.llm) for messages in asked],
            tolerance=tolerance,
            confidence=confidence,
            agree=agree,
            ask=partial(ask, self.llm),
        )
        self.combine = report.passed
        return report

    async def abatch_chat(
        self, conversations: Sequence[Sequence[ChatMessage]], **how: Any
    ) -> list[ChatResponse | BaseException]:
        """Chat about many things at once; see the function of this name."""
        return await abatch_chat(self, conversations, **how)

    def close(self) -> None:
        """Answer the callers that wait, then refuse."""
        self._shared_calls().close()

    @property
    def _children(self) -> Sequence[LLM]:
        return (self.llm,)

    def _answer(self, call: ModelCall) -> Reply:
        shared = self._enter(call)
        return call.ask(self.llm) if shared is None else reply_of(call, shared.result(), self.llm)

    async def _aanswer(self, call: ModelCall) -> Reply:
        shared = self._enter(call)
        if shared is None:
            return await call.aask(self.llm)
        return reply_of(call, await shared.aresult(), self.llm)

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        return call.stream(self.llm)

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        return call.astream(self.llm)

    def _enter(self, call: ModelCall) -> CombinedCall | None:
        """The caller's end of a shared call; None when it goes to the LLM as it is."""
        if not self.combine:
            return None
        request = combinable_request(call, self.llm)
        return self._shared_calls().combined_call(
            request, tenant=current_tenant, caller=call.context
        )

    def _shared_calls(self) -> CombinedCalls:
        with _MAKING:
            bound = self._bound
            if bound is None or not bound.serves(self.llm, self.timeout):
                calls = CombinedCalls(
                    partial(ask_shared, self.llm),
                    models=list(underlying_models(self.llm)),
                    observe=partial(announce_share, self.llm),
                    timeout=self.timeout,
                    **self._limits,
                )
                bound = self._bound = BoundCalls(model=self.llm, settings=self.timeout, calls=calls)
        return bound.calls


async def abatch_chat(
    llm: LLM,
    conversations: Sequence[Sequence[ChatMessage]],
    *,
    max_concurrency: int | None = None,
    return_exceptions: bool = False,
    **kwargs: Any,
) -> list[ChatResponse | BaseException]:
    """Chat about many things at once; answers come in the order of the conversations.

    With a `BatchedLLM` leave `max_concurrency` at None:
    its groups fill up by themselves, and it bounds the calls.

    Args:
        llm: Any LLM.
        conversations: The messages of each.
        max_concurrency: How many are under way at the same time; all by default.
        return_exceptions: Give errors in their places instead of raising the first.
        kwargs: Settings of every call.

    Raises:
        What the first failing call raised, unless `return_exceptions`; the others are cancelled.
    """
    places = asyncio.Semaphore(max_concurrency or max(1, len(conversations)))

    async def one(messages: Sequence[ChatMessage]) -> ChatResponse | BaseException:
        async with places:
            try:
                return await llm.achat(messages, **kwargs)
            except Exception as error:
                if return_exceptions:
                    return error
                raise

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(messages)) for messages in conversations]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
