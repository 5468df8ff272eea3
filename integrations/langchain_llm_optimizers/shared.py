"""How an answer out of a shared call reaches its caller: in a run of the caller's own."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult

from langchain_llm_optimizers.account import SHARED
from langchain_llm_optimizers.delegating import DelegatingChatModel
from langchain_llm_optimizers.messages import COMBINED, without_bill
from llm_optimizers.batching.combining import CombinedCall, QuestionOutcome, SharedAnswer
from llm_optimizers.caching.answers import CACHE_HIT
from llm_optimizers.costs import Usage
from llm_optimizers.costs.prices.names import provider_of

__all__ = ["SharedRun", "cache_of", "usage_metadata"]

_BILL = ("token_usage", "usage", CACHE_HIT)
"""What a response's metadata says of the whole call, or of where its answer came from."""
_RUN = ("lc_run-", "run-")
"""How the ids begin that LangChain gives to answers, after their run."""


class SharedRun(BaseChatModel):
    """The child as its caller sees it: one run, in the caller's context, with its own share.

    The child's callbacks, cache, tags and tracing parameters apply as if it had been called.
    """

    child: BaseChatModel
    shared: Any
    """The caller's `CombinedCall`."""

    @classmethod
    def of(cls, child: BaseChatModel, shared: CombinedCall, *, name: str) -> SharedRun:
        """A run of the child's, answered by the shared call."""
        own = {key: getattr(child, key) for key in ("callbacks", "tags", "metadata")}
        return cls(child=child, shared=shared, name=name, cache=cache_of(child), **own)

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
        self._announce(run_manager)
        return _result_of(self.shared.result())

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._announce(run_manager)
        try:
            return _result_of(await self.shared.aresult())
        except asyncio.CancelledError:
            # LangChain leaves the run of a cancelled caller open; its share is billed all the same.
            if run_manager is not None:
                run = run_manager.get_sync()
                self.shared.when_done(lambda settled: _end(run, settled))
            raise

    def _announce(
        self, run: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None
    ) -> None:
        """Let the account know whose share this run waits for."""
        if run is not None:
            SHARED[str(run.run_id)] = self.shared


def cache_of(model: BaseChatModel) -> Any:
    """The cache that LangChain asks before it calls a model, None for the global one.

    A wrapper is never asked for its own: the models inside it are.
    """
    return None if isinstance(model, DelegatingChatModel) else model.cache


def _result_of(answered: SharedAnswer) -> ChatResult:
    """A caller's own answer as its model's result, with its own share of the tokens."""
    raw: AIMessage = answered.raw
    # An answer named after the run of the shared call would pass for counted there.
    id_ = None if (raw.id or "").startswith(_RUN) else raw.id
    if answered.unshared:
        message = raw.model_copy(update={"id": id_})
        return ChatResult(generations=[ChatGeneration(message=message)])
    said = {k: v for k, v in without_bill(raw.response_metadata).items() if k not in _BILL}
    said[COMBINED] = {"asked_with": answered.asked_with, **answered.share.as_dict()}
    if answered.tier != "standard":
        said["service_tier"] = answered.tier
    own: dict[str, Any] = {
        "response_metadata": said,
        "usage_metadata": usage_metadata(answered.usage) if raw.usage_metadata else None,
    }
    if answered.asked_with == 1:
        message = raw.model_copy(update={**own, "id": id_})
    else:
        message = AIMessage(content=answered.text, **own)
    return ChatResult(generations=[ChatGeneration(message=message)])


def _end(run: CallbackManagerForLLMRun, settled: QuestionOutcome) -> None:
    """End a cancelled caller's run as its share of the call was settled."""
    answered = settled.answered
    made = [] if answered is None else [list(_result_of(answered).generations)]
    response = LLMResult(generations=cast("list[list[Any]]", made))
    if settled.error is None:
        run.on_llm_end(response)
    else:
        run.on_llm_error(settled.error, response=response)


def usage_metadata(usage: Usage) -> UsageMetadata:
    """The counts as LangChain carries them: whole numbers, for it adds them up."""
    details = {
        "cache_read": usage.cache_read_tokens,
        "cache_creation": usage.cache_write_tokens,
    }
    if usage.cache_write_1h_tokens:
        # As langchain-anthropic names what is written for an hour, which has a price of its own.
        details["ephemeral_1h_input_tokens"] = usage.cache_write_1h_tokens
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=cast("InputTokenDetails", details),
        output_token_details={"reasoning": usage.reasoning_tokens},
    )
