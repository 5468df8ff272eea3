"""`SharedRun`: return each caller's answer from a combined call in a separate run."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatResult, LLMResult
from pydantic import Field

from langchain_llm_optimizers.account import SHARED_CALLS
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.codec import generation_of
from langchain_llm_optimizers.delegating import DelegatingChatModel
from langchain_llm_optimizers.messages import SHARE_KEY, USED, without_billing
from langchain_llm_optimizers.stand_in import StandIn, called_model
from langchain_llm_optimizers.wrappers import underlying_models
from llm_optimizers.batching.combining import CombinedCall, QuestionOutcome, SharedAnswer
from llm_optimizers.caching.answers import CACHE_HIT
from llm_optimizers.costs import Usage

__all__ = ["SharedRun", "cache_of", "usage_metadata"]

_CALL_METADATA = ("token_usage", "usage", CACHE_HIT)
"""Keys of response metadata that are about the whole call, not about one answer."""
_RUN_ID_PREFIXES = ("lc_run-", "run-")
"""Prefixes of the answer ids that LangChain derives from run ids."""


class SharedRun(StandIn):
    """Opens a run for one caller of a combined call, with the caller's share of the usage.

    LangChain asks the child's cache first, as if the child had been called.
    """

    child: BaseChatModel = Field(exclude=True, repr=False)
    """The model inside the `BatchingChatModel`, which may be a wrapper."""
    shared: Any = Field(exclude=True, repr=False)
    """The caller's `CombinedCall`."""

    @classmethod
    def for_call(
        cls, child: BaseChatModel, call: ModelCall, shared: CombinedCall
    ) -> tuple[SharedRun, ModelCall]:
        """Return a run that the combined call answers, and the call to make of it."""
        called, call = called_model(child, call)
        return cls.of(called, child=child, shared=shared, cache=cache_of(child)), call

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
            # LangChain never ends a cancelled caller's run, but its share is billed all the same.
            if run_manager is not None:
                run = run_manager.get_sync()
                self.shared.when_done(lambda outcome: _end(run, outcome))
            raise

    def _announce(
        self, run: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None
    ) -> None:
        """Let the callback handler find the combined call that this run waits for."""
        if run is not None:
            SHARED_CALLS[str(run.run_id)] = self.shared


def cache_of(model: BaseChatModel) -> Any:
    """Return the cache that LangChain uses for a model, None for the global one.

    For a wrapper only whether there is none counts: a group may go to several models.
    """
    if not isinstance(model, DelegatingChatModel):
        return model.cache
    return False if all(each.cache is False for each in underlying_models(model)) else None


def _result_of(answer: SharedAnswer) -> ChatResult:
    """Return a caller's answer as a chat result, with its share of the tokens."""
    raw: AIMessage = answer.raw
    # With the id of the shared run, the answer would count as already recorded.
    id_ = None if (raw.id or "").startswith(_RUN_ID_PREFIXES) else raw.id
    if answer.unshared:
        message = raw.model_copy(update={"id": id_})
        return ChatResult(generations=[generation_of(message)])
    metadata = {
        k: v for k, v in without_billing(raw.response_metadata).items() if k not in _CALL_METADATA
    }
    metadata[SHARE_KEY] = {"asked_with": answer.asked_with, **answer.share.as_dict()}
    if answer.share.counted:  # A guess is shown to nobody but the account.
        metadata[SHARE_KEY][USED] = answer.usage.as_dict()
    if answer.tier != "standard":
        metadata["service_tier"] = answer.tier
    own: dict[str, Any] = {
        "response_metadata": metadata,
        "usage_metadata": usage_metadata(answer.usage) if raw.usage_metadata else None,
    }
    if answer.asked_with == 1:
        message = raw.model_copy(update={**own, "id": id_})
    else:
        message = AIMessage(content=answer.text, **own)
    return ChatResult(generations=[generation_of(message)])


def _end(run: CallbackManagerForLLMRun, outcome: QuestionOutcome) -> None:
    """End a cancelled caller's run with its share of the call."""
    answer = outcome.answered
    made = [] if answer is None else [list(_result_of(answer).generations)]
    response = LLMResult(generations=cast("list[list[Any]]", made))
    if outcome.error is None:
        run.on_llm_end(response)
    else:
        run.on_llm_error(outcome.error, response=response)


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Return the counts in LangChain's form."""
    details = {
        "cache_read": usage.cache_read_tokens,
        "cache_creation": usage.cache_write_tokens,
    }
    if usage.cache_write_1h_tokens:
        # langchain-anthropic's name for cache writes kept an hour, which have their own price.
        details["ephemeral_1h_input_tokens"] = usage.cache_write_1h_tokens
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=cast("InputTokenDetails", details),
        output_token_details={"reasoning": usage.reasoning_tokens},
    )
