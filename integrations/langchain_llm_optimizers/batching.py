"""`BatchingChatModel`: concurrent calls of a chat model share calls, each keeping its own run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeAlias, cast

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, get_executor_for_config
from pydantic import Field, PrivateAttr

from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.combining import ModelAsk, request_of
from langchain_llm_optimizers.delegating import DelegatingChatModel, models_behind
from langchain_llm_optimizers.shared import SharedRun, cache_of
from llm_optimizers.batching import AgreementReport, Coalescer, GroupLimits
from llm_optimizers.batching.coalescing import SharedCall
from llm_optimizers.batching.combining import BoundCalls, CombinedCall, CombinedCalls, choices_of
from llm_optimizers.evidence.comparison import Comparison, same_answer
from llm_optimizers.tenancy import current_tenant

__all__ = ["BatchingChatModel"]

_Place: TypeAlias = SharedCall[ModelCall, AIMessage] | CombinedCall
_MAKING = threading.Lock()
"""Held while a model's shared calls are made or let go: models are copied, locks are not."""


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
    max_pending: int = Field(default=1_000, ge=1)
    """Callers beyond this many wait for a place."""
    answer_timeout: float | None = None
    """Seconds after which a caller gets a TimeoutError."""
    namespace: str | Callable[[], str] | None = Field(default=None, exclude=True)
    """A tenant's name, or a function that returns the running code's."""

    _kept: BoundCalls[Any] | None = PrivateAttr(default=None)

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
    ) -> AgreementReport:
        """Answer a sample singly and combined, and combine from now on only if the two agree.

        Raises:
            ConfigurationError: the sample is empty, or holds inputs that are never combined.
        """
        calls = [self._call(given, None, None, {}) for given in sample]
        report = self._combined_calls().check(
            [request_of(call) for call in calls],
            tolerance=tolerance,
            confidence=confidence,
            agree=agree,
            ask=ModelAsk(self.model),
        )
        self.close()
        self.combine = report.passed
        return report

    def close(self) -> None:
        """Answer the callers that wait and end the threads; later calls start new ones."""
        with _MAKING:
            kept, self._kept = self._kept, None
        if kept is not None:
            kept.calls.close()

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
        shared = [self._enter(call) for call in calls]
        together = [each for each in shared if each is not None]
        if not self._may_be_cached():
            for each in together:
                each.submit()

        def finish(call: ModelCall, own: _Place | None) -> Any:
            try:
                return self._finish(call, own).generations[0].message
            except Exception as error:
                if return_exceptions:
                    return error
                raise

        try:
            with get_executor_for_config(configs[0]) as executor:
                return list(executor.map(finish, calls, shared))
        finally:
            for each in together:
                each.cancel()

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
            shared = self._enter(call)
            async with alone if shared is None else nullcontext():
                result = await self._afinish(call, shared)
            return cast("AIMessage", result.generations[0].message)

        outcomes = await asyncio.gather(
            *(finish(call) for call in calls), return_exceptions=return_exceptions
        )
        return cast("list[AIMessage]", outcomes)

    def _answer(self, call: ModelCall) -> ChatResult:
        return self._finish(call, self._enter(call))

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        return await self._afinish(call, self._enter(call))

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        return call.stream(self.model)

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        return call.astream(self.model)

    def _finish(self, call: ModelCall, shared: _Place | None) -> ChatResult:
        if shared is None:
            return call.generate(self.model)
        if isinstance(shared, CombinedCall):
            return call.generate(SharedRun.of(self.model, shared, name=self.get_name()))
        return _plain_result(shared.result())

    async def _afinish(self, call: ModelCall, shared: _Place | None) -> ChatResult:
        if shared is None:
            return await call.agenerate(self.model)
        if isinstance(shared, CombinedCall):
            return await call.agenerate(SharedRun.of(self.model, shared, name=self.get_name()))
        return _plain_result(await shared.aresult())

    def _enter(self, call: ModelCall) -> _Place | None:
        """The caller's end of a shared call; None when it goes to the model as it is."""
        calls = self._calls_of_model()
        if isinstance(calls, CombinedCalls):
            return calls.combined_call(
                request_of(call), tenant=lambda: current_tenant(self.namespace)
            )
        # The model's own `batch` takes one set of settings and gives one answer a call.
        if call.stop or call.kwargs or any(choices_of(m) != 1 for m in models_behind(self.model)):
            return None
        return calls.shared(call, timeout=self.answer_timeout)

    def _calls_of_model(self) -> CombinedCalls | Coalescer[ModelCall, AIMessage]:
        limits = (self._limits, self.max_pending, self.max_calls, self.answer_timeout)
        settings = (self.combine, *limits)
        with _MAKING:
            kept = self._kept
            # A copy of this model with another child or other settings shares nothing with it.
            if kept is None or kept.calls.closed or not kept.serves(self.model, settings):
                calls = self._combined_calls() if self.combine else self._plain_calls()
                kept = self._kept = BoundCalls(model=self.model, settings=settings, calls=calls)
        return cast("CombinedCalls | Coalescer[ModelCall, AIMessage]", kept.calls)

    def _combined_calls(self) -> CombinedCalls:
        return CombinedCalls(
            ModelAsk(self.model, shared=True),
            models=list(models_behind(self.model)),
            takes_settings=False,  # Not every model binds a schema and settings together.
            limits=self._limits,
            max_pending=self.max_pending,
            max_calls=self.max_calls,
            timeout=self.answer_timeout,
        )

    def _plain_calls(self) -> Coalescer[ModelCall, AIMessage]:
        return Coalescer(
            partial(_batched, self.model),
            limits=self._limits,
            max_pending=self.max_pending,
            max_calls=self.max_calls,
        )

    @property
    def _limits(self) -> GroupLimits:
        return GroupLimits(
            max_size=self.max_size, max_tokens=self.max_group_tokens, max_delay=self.max_delay
        )

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
        cache = cache_of(self.model)
        return bool(cache) or (cache is None and get_llm_cache() is not None)


def _batched(model: BaseChatModel, calls: Sequence[ModelCall]) -> list[AIMessage | Exception]:
    """Calls through the model's own `batch`, which opens every caller's run itself."""
    messages, configs = [call.messages for call in calls], [call.config for call in calls]
    answers = model.batch(cast("Any", messages), configs, return_exceptions=True)
    return cast("list[AIMessage | Exception]", answers)


def _plain_result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])
