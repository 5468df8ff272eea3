"""`BatchingChatModel`: concurrent calls of a chat model go out together, each in its own run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, TypeAlias, cast

from langchain_core.callbacks import CallbackManager
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, get_executor_for_config
from pydantic import Field, PrivateAttr

from langchain_llm_optimizers.call import CAPTURE, ModelCall
from langchain_llm_optimizers.children import WrapperOfOne
from langchain_llm_optimizers.codec import generation_of
from langchain_llm_optimizers.combining import ModelCaller, combinable_request
from langchain_llm_optimizers.refusals import wants_fresh_answer
from langchain_llm_optimizers.shared import SharedRun, cache_of
from langchain_llm_optimizers.wrappers import underlying_models
from llm_optimizers.arguments import field, flag, number, sequence, whole
from llm_optimizers.batching import AgreementReport, Coalescer, GroupLimits
from llm_optimizers.batching.coalescing import SharedCall
from llm_optimizers.batching.combining import BoundCalls, CombinedCall, CombinedCalls, choices_of
from llm_optimizers.evidence.comparison import Comparison, same_answer
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import check_function
from llm_optimizers.tenancy import CallerTenant, checked_namespace

__all__ = ["BatchingChatModel"]

_Joined: TypeAlias = SharedCall[ModelCall, AIMessage] | CombinedCall
_LOCK = ProcessLock()
"""Guards `_bound`. It is global because models are copied and a lock cannot be."""


class BatchingChatModel(WrapperOfOne):
    """A chat model that sends concurrent calls, from any thread or event loop, together.

    Example:
        ```python
        model = BatchingChatModel(ChatOpenAI(model="gpt-4o-mini"))
        report = model.check_combining(sample)  # combines from now on if the answers agree
        answers = (prompt | model).batch(inputs)
        ```

    With `combine=True`, short questions with the same system prompt are sent in one prompt. Answers
    are matched by id and a missing one is requested again on its own. Each caller's callbacks see
    its own run with its share of the tokens. Calls with tools, images, several turns, stop words or
    other settings, and all streams, go to the model unchanged. With `combine=False`, calls go to
    the model's own `batch` together.

    A combined prompt never mixes the questions of two tenants (`namespace`, or `tenant(...)` around
    the calls).
    """

    combine: Annotated[bool, field(flag)] = False
    """Whether questions share prompts; set by `check_combining`."""
    max_size: Annotated[int | None, field(whole, least=1, none=True)] = None
    """Maximum calls in a group; by default 6 questions in a prompt, or 20 in a batch."""
    max_group_tokens: Annotated[int | None, field(whole, least=1, none=True)] = None
    """Maximum tokens in a group, counted as four characters each."""
    max_delay: Annotated[float, field(number, least=0)] = 0.03
    """Seconds a call waits for others; background work can wait several seconds."""
    max_calls: Annotated[int, field(whole, least=1)] = 8
    """Maximum groups in flight at the same time."""
    max_pending: Annotated[int, field(whole, least=1)] = 1_000
    """Maximum callers waiting; further callers block until there is room."""
    answer_timeout: Annotated[float | None, field(number, above=0, none=True)] = None
    """Seconds after which a caller gets a TimeoutError."""
    namespace: Annotated[str | Callable[[], str] | None, field(checked_namespace)] = Field(
        default=None, exclude=True
    )
    """The tenant's name, or a function that returns it for the running code."""

    _bound: BoundCalls[Any] | None = PrivateAttr(default=None)

    def _travelling_fields(self) -> dict[str, Any]:
        check_function("namespace", self.namespace)
        return super()._travelling_fields()

    def _own_settings(self) -> Mapping[str, Any]:
        # Answers to combined prompts depend on how many questions they hold.
        return {"combine": self.combine, "size": self.max_size, "tokens": self.max_group_tokens}

    def check_combining(
        self,
        sample: Sequence[LanguageModelInput],
        *,
        tolerance: float = 0.05,
        confidence: float = 0.9,
        agree: Comparison = same_answer,
    ) -> AgreementReport:
        """Answer a sample one by one and combined; set `combine` to whether the answers agree.

        Raises:
            ConfigurationError: the sample is empty, or has inputs that are never combined.
        """
        sequence("sample", sample, (str, Sequence, PromptValue), least=1)
        calls = [self._call(given, None, None, {}) for given in sample]
        report = self._combined_calls().check(
            [combinable_request(call) for call in calls],
            tolerance=tolerance,
            confidence=confidence,
            agree=agree,
            ask=ModelCaller(self.model),
        )
        self.close()
        self.combine = report.passed
        return report

    def close(self) -> None:
        """Answer the waiting callers and end the threads; later calls start new threads."""
        with _LOCK:
            bound, self._bound = self._bound, None
        if bound is not None:
            bound.calls.close()

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """See `Runnable.batch`; all inputs join groups at once, however few threads there are."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        calls = self._batch_calls(inputs, configs, kwargs)
        shared = [self._join(call) for call in calls]
        joined = [each for each in shared if each is not None]
        if not self._may_be_cached():
            for each in joined:
                each.submit()

        def finish(call: ModelCall, own: _Joined | None) -> Any:
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
            for each in joined:
                each.cancel()

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """See `Runnable.abatch`; `max_concurrency` limits only the calls that go out alone."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        calls = self._batch_calls(inputs, configs, kwargs)
        alone = asyncio.Semaphore(configs[0].get("max_concurrency") or len(calls))

        async def finish(call: ModelCall) -> AIMessage:
            shared = self._join(call)
            async with alone if shared is None else nullcontext():
                result = await self._afinish(call, shared)
            return cast("AIMessage", result.generations[0].message)

        outcomes = await asyncio.gather(
            *(finish(call) for call in calls), return_exceptions=return_exceptions
        )
        return cast("list[AIMessage]", outcomes)

    def _answer(self, call: ModelCall) -> ChatResult:
        if CAPTURE.get() is not None:
            return call.generate(self.model)
        return self._finish(call, self._join(call))

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        return await self._afinish(call, self._join(call))

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        return call.stream(self.model)

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        return call.astream(self.model)

    def _finish(self, call: ModelCall, shared: _Joined | None) -> ChatResult:
        if shared is None:
            return call.generate(self.model)
        if isinstance(shared, CombinedCall):
            run, call = SharedRun.for_call(self.model, call, shared)
            return call.generate(run)
        return ChatResult(generations=[generation_of(shared.result())])

    async def _afinish(self, call: ModelCall, shared: _Joined | None) -> ChatResult:
        if shared is None:
            return await call.agenerate(self.model)
        if isinstance(shared, CombinedCall):
            run, call = SharedRun.for_call(self.model, call, shared)
            return await call.agenerate(run)
        return ChatResult(generations=[generation_of(await shared.aresult())])

    def _join(self, call: ModelCall) -> _Joined | None:
        """Join a shared call; None if this call goes to the model on its own."""
        calls = self._calls_of_model()
        fresh = wants_fresh_answer(call.config)
        tenant = replace(CallerTenant.read(self.namespace), fresh=fresh)
        if isinstance(calls, CombinedCalls):
            return calls.combined_call(combinable_request(call), tenant=tenant)
        # The model's own `batch` takes one set of settings and gives one answer per call.
        if (
            call.stop
            or call.kwargs
            or any(choices_of(m) != 1 for m in underlying_models(self.model))
        ):
            return None
        return calls.shared(_in_any_thread(call), timeout=self.answer_timeout, tenant=tenant)

    def _calls_of_model(self) -> CombinedCalls | Coalescer[ModelCall, AIMessage]:
        limits = (self._limits, self.max_pending, self.max_calls, self.answer_timeout)
        settings = (self.combine, *limits)
        with _LOCK:
            bound = self._bound
            # A copy of this model with another child or other settings needs separate calls.
            if bound is None or bound.calls.closed or not bound.serves(self.model, settings):
                calls = self._combined_calls() if self.combine else self._plain_calls()
                bound = self._bound = BoundCalls(model=self.model, settings=settings, calls=calls)
        return cast("CombinedCalls | Coalescer[ModelCall, AIMessage]", bound.calls)

    def _combined_calls(self) -> CombinedCalls:
        return CombinedCalls(
            ModelCaller(self.model, shared=True),
            models=list(underlying_models(self.model)),
            takes_settings=False,  # Not every model can bind both a schema and settings.
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
        """Whether LangChain asks a cache first; then only cache misses may join a group."""
        cache = cache_of(self.model)
        return bool(cache) or (cache is None and get_llm_cache() is not None)


def _in_any_thread(call: ModelCall) -> ModelCall:
    """Return the call with the handlers of the running code, which the group's thread has not.

    LangChain finds tracers and `get_usage_metadata_callback` through context variables.
    """
    callbacks = CallbackManager.configure(call.config.get("callbacks"))
    return replace(call, config={**call.config, "callbacks": callbacks})


def _batched(model: BaseChatModel, calls: Sequence[ModelCall]) -> list[AIMessage | Exception]:
    """Make the calls with the model's own `batch`, which opens a run for each caller."""
    messages, configs = [call.messages for call in calls], [call.config for call in calls]
    answers = model.batch(cast("Any", messages), configs, return_exceptions=True)
    return cast("list[AIMessage | Exception]", answers)
