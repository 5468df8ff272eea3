"""A call's place among concurrent ones, and the run in which its caller hears of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult

from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.combining import ModelAsk, result_of
from langchain_llm_optimizers.usage import mark_spent
from llm_optimizers.batching import Coalescer, CombinedAsk, GroupLimits
from llm_optimizers.batching.combining.ask import Answered, Settled
from llm_optimizers.costs.prices.names import provider_of

__all__ = ["Lane", "SharedRun", "Ticket"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Ticket(Generic[Item, Answer]):
    """A place in a group, taken when somebody waits for it or, in a batch, at once."""

    def __init__(
        self,
        coalescer: Coalescer[Item, Answer],
        item: Item,
        *,
        key: Hashable,
        tokens: int,
        timeout: float | None,
    ) -> None:
        self._coalescer = coalescer
        self._item = item
        self._place = {"key": key, "tokens": tokens, "timeout": timeout}
        self._timeout = timeout
        self._future: Future[Answer] | None = None

    def take(self) -> None:
        """Take the place now."""
        if self._future is None:
            self._future = self._coalescer.submit(self._item, **self._place)  # type: ignore[arg-type]

    def leave(self) -> None:
        """Give the place up, if its call has not been made."""
        if self._future is not None:
            self._future.cancel()

    def wait(self) -> Answer:
        """The answer, waiting in this thread."""
        self.take()
        assert self._future is not None
        return self._coalescer.wait(self._future, self._timeout)

    async def await_(self) -> Answer:
        """The answer, without blocking the event loop."""
        if self._future is None:
            return await self._coalescer.acall(self._item, **self._place)  # type: ignore[arg-type]
        return await asyncio.wrap_future(self._future)


class SharedRun(BaseChatModel):
    """The child as its caller sees it: one run, in the caller's context, with its own share.

    The child's callbacks, cache, tags and tracing parameters apply as if it had been called.
    """

    child: BaseChatModel
    ticket: Any

    @property
    def _llm_type(self) -> str:
        return self.child._llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return dict(self.child._identifying_params)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        params = dict(self.child._get_ls_params(stop=stop, **kwargs))
        # LangChain makes a provider of the class's name where none is stated: the child's class.
        kind = type(self.child).__name__
        params["ls_provider"] = provider_of(kind, str(params.get("ls_provider") or "")) or ""
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        return self.child._get_llm_string(stop=stop, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answered: Answered = self.ticket.wait()
        return result_of(answered)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answered: Answered = await self.ticket.await_()
        return result_of(answered)


class Lane:
    """The coalescer of one child: combined prompts, or the child's own `batch`."""

    def __init__(
        self, model: BaseChatModel, *, combine: bool, limits: GroupLimits, max_calls: int
    ) -> None:
        self.model = model
        self.combine = combine
        shared = CombinedAsk(ModelAsk(model), observe=_note_spent)
        call: Any = shared if combine else self._batch
        self.coalescer: Coalescer[Any, Any] = Coalescer(call, limits=limits, max_calls=max_calls)

    def _batch(self, calls: Sequence[ModelCall]) -> list[AIMessage | Exception]:
        """Plain calls: the child opens every caller's run itself."""
        return cast(
            "list[AIMessage | Exception]",
            self.model.batch(
                [call.messages for call in calls],
                [call.config for call in calls],
                return_exceptions=True,
            ),
        )


def _note_spent(settled: Settled) -> None:
    """Let the failed caller's run tell the account of its share of the combined call."""
    if settled.error is not None and settled.usage.total_tokens:
        mark_spent(settled.error, settled.usage)
