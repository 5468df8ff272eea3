"""`BatchedLLM`: concurrent questions in one prompt; `abatch_chat` sends many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms.llm import LLM
from pydantic import Field, PrivateAttr, SerializeAsAny

from llama_index_llm_optimizers.call import ChatCall, ModelCall, Reply
from llama_index_llm_optimizers.combining import (
    ask,
    ask_shared,
    combinable_request,
    reply_of,
)
from llama_index_llm_optimizers.delegating import DelegatingLLM
from llama_index_llm_optimizers.shared import announce_share
from llama_index_llm_optimizers.wrappers import underlying_models
from llm_optimizers.arguments import (
    field,
    flag,
    instance,
    number,
    optional,
    sequence,
    whole,
)
from llm_optimizers.batching import AgreementReport, GroupLimits
from llm_optimizers.batching.combining import (
    BoundCalls,
    CombinedCall,
    CombinedCalls,
)
from llm_optimizers.caching.options import one_batch
from llm_optimizers.evidence.comparison import Comparison, same_answer
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import check_function
from llm_optimizers.tenancy import CallerTenant, Namespace, checked_namespace

__all__ = ["BatchedLLM", "abatch_chat"]

_LOCK = ProcessLock()
"""Guards `_bound`. It is global because LLMs are copied and pickled, and a lock cannot be."""


class BatchedLLM(DelegatingLLM):
    """An LLM that sends short, independent, concurrent questions in one prompt.

    Example:
        ```python
        llm = BatchedLLM(OpenAI(model="gpt-4o-mini"))
        report = llm.check_combining(sample)  # combines from now on if the answers agree
        answers = await abatch_chat(llm, [[ChatMessage(text)] for text in texts])
        ```

    Questions that differ only in their last message are combined. Answers can get worse the more
    questions a prompt has, so nothing is combined until `check_combining` has shown that yours do
    not, or `combine=True`. Conversations, tools, images and streams are never combined, nor are
    the questions of two tenants. Each caller gets its own answer or error and its share of the
    cost. Put it directly around the LLM, inside routers and prompt optimisers.

    Args:
        llm: The LLM to call, from this wrapper's own threads.
        combine: Whether questions share prompts; set by `check_combining`.
        limits: When a group is sent; by default at 6 questions or after 30 ms.
        max_pending: Maximum callers waiting; further callers block until there is room.
        max_calls: Maximum calls in flight at the same time.
        timeout: Seconds a caller waits for an answer; no limit by default.
        namespace: The tenant's name, or a function that returns it for the running code; besides
            `tenant(...)` around the calls.
    """

    llm: SerializeAsAny[LLM]
    combine: Annotated[bool, field(flag)] = False
    timeout: Annotated[float | None, field(number, above=0, none=True)] = None
    namespace: Annotated[str | Callable[[], str] | None, field(checked_namespace)] = Field(
        default=None, exclude=True
    )
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
        namespace: Namespace = None,
        **data: Any,
    ) -> None:
        super().__init__(llm=llm, combine=combine, timeout=timeout, namespace=namespace, **data)
        self._limits = {"limits": limits, "max_pending": max_pending, "max_calls": max_calls}
        self._shared_calls()  # Raises for impossible limits now, not at the first call.

    def _travelling_fields(self) -> dict[str, Any]:
        check_function("namespace", self.namespace)
        return super()._travelling_fields()

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
        """Answer a sample one by one and combined; set `combine` to whether the answers agree.

        Raises:
            ConfigurationError: the sample is empty, or has questions that are never combined.
        """
        sequence("sample", sample, (str, Sequence), least=1)
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
        """See the function `abatch_chat`."""
        return await abatch_chat(self, conversations, **how)

    def close(self) -> None:
        """Answer the waiting callers and end the threads; later combined calls raise."""
        self._shared_calls().close()

    @property
    def _children(self) -> Sequence[LLM]:
        return (self.llm,)

    def _own_settings(self) -> Mapping[str, Any]:
        # Answers to combined prompts depend on how many questions they hold.
        return {"combine": self.combine, "limits": self._limits["limits"]}

    def _answer(self, call: ModelCall) -> Reply:
        shared = self._join(call)
        return call.ask(self.llm) if shared is None else reply_of(call, shared.result(), self.llm)

    async def _aanswer(self, call: ModelCall) -> Reply:
        shared = self._join(call)
        if shared is None:
            return await call.aask(self.llm)
        return reply_of(call, await shared.aresult(), self.llm)

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        return call.stream(self.llm)

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        return call.astream(self.llm)

    def _join(self, call: ModelCall) -> CombinedCall | None:
        """Join a shared call; None if this call goes to the LLM on its own."""
        if not self.combine:
            return None
        request = combinable_request(call, self.llm)
        return self._shared_calls().combined_call(
            request, tenant=CallerTenant.read(self.namespace), caller=call.context
        )

    def _shared_calls(self) -> CombinedCalls:
        with _LOCK:
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
    """Call `achat` for many conversations at once; return the answers in their order.

    Samples of one prompt (a temperature above 0) are separate calls, even behind a cache.
    With a `BatchedLLM` leave `max_concurrency` at None, so that its groups fill up; it limits the
    calls itself.

    Args:
        llm: Any LLM.
        conversations: The messages of each.
        max_concurrency: Maximum calls in flight at the same time; no limit by default.
        return_exceptions: Return errors in the list instead of raising the first.
        kwargs: Settings of every call.

    Raises:
        The exception of the first failing call, unless `return_exceptions`; the others are
        cancelled.
    """
    instance("llm", llm, LLM)
    for at, each in enumerate(sequence("conversations", conversations, Sequence)):
        sequence(f"conversations[{at}]", each, ChatMessage)
    optional(whole, "max_concurrency", max_concurrency, least=1)
    flag("return_exceptions", return_exceptions)
    slots = asyncio.Semaphore(max_concurrency or max(1, len(conversations)))

    async def one(messages: Sequence[ChatMessage]) -> ChatResponse | BaseException:
        async with slots:
            try:
                return await llm.achat(messages, **kwargs)
            except Exception as error:
                if return_exceptions:
                    return error
                raise

    try:
        async with asyncio.TaskGroup() as group:
            with one_batch():
                tasks = [group.create_task(one(messages)) for messages in conversations]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
