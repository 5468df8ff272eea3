"""`BatchingChatModel`: concurrent calls of a chat model share calls, each keeping its own run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, cast

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, get_executor_for_config
from pydantic import Field, PrivateAttr

from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.combining import ModelAsk, combinable_request
from langchain_llm_optimizers.delegating import DelegatingChatModel
from langchain_llm_optimizers.tickets import Lane, SharedRun, Ticket
from llm_optimizers.batching import GateReport, GroupLimits, compare_combined
from llm_optimizers.batching.combining.ask import Question
from llm_optimizers.batching.combining.prompts import combination_key
from llm_optimizers.caching.tenancy import current_tenant
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.comparison import Comparison, same_answer

__all__ = ["BatchingChatModel"]

_COMBINED_SIZE = 6
_PLAIN_SIZE = 20
_MAKING = threading.Lock()
"""Held while a model's lane is made or dropped: models are copied and pickled, locks are not."""


class BatchingChatModel(DelegatingChatModel):
    """A chat model whose concurrent calls, from any thread and event loop, go out together.

    Example:
        ```python
        model = BatchingChatModel(model=ChatOpenAI(model="gpt-4o-mini"))
        report = model.check_combining(sample)  # opens the gate if the answers agree
        answers = (prompt | model).batch(inputs)
        ```

    With `combine`, short questions under one system prompt share one prompt: their answers come
    back by id, what is missing is asked singly, and each caller's callbacks hear of its own run
    with its own share of the tokens. Calls with tools, images, several turns, stop words or other
    settings, and every stream, go to the model as they are. Without `combine` calls go to the
    model's own `batch` together.

    A combined prompt never holds questions of two tenants (`namespace`, or `tenant(...)` around
    the calls).
    """

    model: BaseChatModel
    """The model that is asked."""
    combine: bool = False
    """Whether questions share prompts; `check_combining` sets it by the outcome of a sample."""
    max_size: int | None = None
    """Calls in a group: 6 questions a prompt, or 20 a batch."""
    max_group_tokens: int | None = None
    """Tokens in a group, at four characters each."""
    max_delay: float = 0.03
    """Seconds a call waits for others; some seconds suit work nobody waits for."""
    max_calls: int = 8
    """Groups under way at the same time."""
    answer_timeout: float | None = None
    """Seconds after which a caller gets a TimeoutError."""
    namespace: str | Callable[[], str] | None = Field(default=None, exclude=True)
    """A tenant's name, or a function that returns the running code's."""

    _lane: Any = PrivateAttr(default=None)

    @property
    def _child(self) -> BaseChatModel:
        return self.model

    @property
    def _llm_type(self) -> str:
        return f"batching-{self.model._llm_type}"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model._identifying_params}

    def check_combining(
        self,
        sample: Sequence[LanguageModelInput],
        *,
        tolerance: float = 0.05,
        confidence: float = 0.9,
        agree: Comparison = same_answer,
    ) -> GateReport:
        """Answer a sample singly and combined, and combine from now on only if the two agree.

        Raises:
            ConfigurationError: the sample is empty, or holds inputs that are never combined.
        """
        requests = []
        for number, given in enumerate(sample):
            messages = self._convert_input(given).to_messages()
            request = combinable_request(self.model, messages, "")
            if request is None:
                raise ConfigurationError(
                    f"input {number} of the sample is never combined: the model's own settings "
                    "(n, stop, …) or its content do not allow it"
                )
            requests.append(request)
        report = compare_combined(
            requests,
            ModelAsk(self.model),
            size=self.max_size or _COMBINED_SIZE,
            tolerance=tolerance,
            confidence=confidence,
            agree=agree,
        )
        self.close()
        self.combine = report.passed
        return report

    def close(self) -> None:
        """Answer who waits and end the threads; the next call starts anew."""
        with _MAKING:
            lane, self._lane = self._lane, None
        if lane is not None:
            lane.coalescer.close()

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """See `Runnable.batch`; all inputs take their places at once, whatever its threads."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        calls = self._batch_calls(inputs, configs, kwargs)
        tickets = [self._ticket(call) for call in calls]
        if not self._may_be_cached():
            for ticket in tickets:
                if ticket is not None:
                    ticket.take()

        def finish(call: ModelCall, ticket: Ticket[Any, Any] | None) -> Any:
            try:
                return self._finish(call, ticket).generations[0].message
            except Exception as error:
                if return_exceptions:
                    return error
                raise

        try:
            with get_executor_for_config(configs[0]) as executor:
                return list(executor.map(finish, calls, tickets))
        finally:
            for ticket in tickets:
                if ticket is not None:
                    ticket.leave()

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """See `Runnable.abatch`; `max_concurrency` holds for calls that go out alone."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        calls = self._batch_calls(inputs, configs, kwargs)
        alone = asyncio.Semaphore(configs[0].get("max_concurrency") or len(calls))

        async def finish(call: ModelCall) -> AIMessage:
            ticket = self._ticket(call)
            if ticket is None:
                async with alone:
                    result = await call.agenerate(self.model)
            else:
                result = await self._afinish(call, ticket)
            return cast("AIMessage", result.generations[0].message)

        outcomes = await asyncio.gather(
            *(finish(call) for call in calls), return_exceptions=return_exceptions
        )
        return cast("list[AIMessage]", outcomes)

    def _answer(self, call: ModelCall) -> ChatResult:
        return self._finish(call, self._ticket(call))

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        ticket = self._ticket(call)
        if ticket is None:
            return await call.agenerate(self.model)
        return await self._afinish(call, ticket)

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        return call.stream(self.model)

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        return call.astream(self.model)

    def _finish(self, call: ModelCall, ticket: Ticket[Any, Any] | None) -> ChatResult:
        if ticket is None:
            return call.generate(self.model)
        if self.combine:
            return call.generate(self._run_of(ticket))
        return _plain_result(ticket.wait())

    async def _afinish(self, call: ModelCall, ticket: Ticket[Any, Any]) -> ChatResult:
        if self.combine:
            return await call.agenerate(self._run_of(ticket))
        return _plain_result(await ticket.await_())

    def _run_of(self, ticket: Ticket[Any, Any]) -> SharedRun:
        return SharedRun(
            child=self.model,
            ticket=ticket,
            name=self.get_name(),
            cache=self.model.cache,
            callbacks=self.model.callbacks,
            tags=self.model.tags,
            metadata=self.model.metadata,
        )

    def _ticket(self, call: ModelCall) -> Ticket[Any, Any] | None:
        """The call's place in a group; None when it must go out alone."""
        if call.stop or call.kwargs or getattr(self.model, "n", None) not in (None, 1):
            return None
        if not self.combine:
            return self._place(call, None, 0)
        try:
            tenant = current_tenant(self.namespace)
        except Exception:  # noqa: BLE001 - without a tenant nothing may be shared
            return None
        request = combinable_request(self.model, call.messages, tenant)
        key = None if request is None else combination_key(request)
        if request is None or key is None:
            return None
        return self._place(Question(request=request), key, len(request.messages[-1].text) // 4)

    def _place(self, item: Any, key: Any, tokens: int) -> Ticket[Any, Any]:
        with _MAKING:
            lane: Lane | None = self._lane
            # A copy of this model with another child shares nothing with it.
            if lane is None or lane.model is not self.model or lane.combine != self.combine:
                lane = self._lane = Lane(
                    self.model,
                    combine=self.combine,
                    limits=GroupLimits(
                        max_size=self.max_size or (_COMBINED_SIZE if self.combine else _PLAIN_SIZE),
                        max_tokens=self.max_group_tokens,
                        max_delay=self.max_delay,
                    ),
                    max_calls=self.max_calls,
                )
        return Ticket(lane.coalescer, item, key=key, tokens=tokens, timeout=self.answer_timeout)

    def _batch_calls(
        self,
        inputs: Sequence[LanguageModelInput],
        configs: Sequence[RunnableConfig],
        kwargs: dict[str, Any],
    ) -> list[ModelCall]:
        stop = kwargs.pop("stop", None)
        return [
            self._call(given, config, stop, dict(kwargs))
            for given, config in zip(inputs, configs, strict=True)
        ]

    def _may_be_cached(self) -> bool:
        """Whether a cache may answer, so that places are taken only for what it has not."""
        cache = self.model.cache
        return bool(cache) or (cache is None and get_llm_cache() is not None)


def _plain_result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])
