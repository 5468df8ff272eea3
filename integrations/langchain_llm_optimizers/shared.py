"""How an answer out of a shared call reaches its caller: in a run of the caller's own."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult

from langchain_llm_optimizers.messages import COMBINED
from langchain_llm_optimizers.usage import mark_spent
from llm_optimizers.batching.combining import Answered, CombinedCall, Settled
from llm_optimizers.costs import Usage
from llm_optimizers.costs.prices.names import provider_of

__all__ = ["SharedRun", "mark_failed", "result_of", "usage_metadata"]


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
        own = {key: getattr(child, key) for key in ("cache", "callbacks", "tags", "metadata")}
        return cls(child=child, shared=shared, name=name, **own)

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
        return result_of(self.shared.result())

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return result_of(await self.shared.aresult())
        except asyncio.CancelledError as left:
            # LangChain leaves the run of a cancelled caller open; its share is billed all the same.
            if run_manager is not None:
                run, error = run_manager.get_sync(), left
                self.shared.when_settled(lambda outcome: _end(run, error, outcome))
            raise


def mark_failed(settled: Settled) -> None:
    """Attach a failed caller's share of the combined call to its error, for the account."""
    if settled.error is not None and settled.usage.total_tokens:
        mark_spent(settled.error, settled.usage)


def result_of(answered: Answered) -> ChatResult:
    """A caller's own answer as its model's result, with its own share of the tokens."""
    raw: AIMessage = answered.raw
    if answered.unshared:
        return ChatResult(generations=[ChatGeneration(message=raw)])
    metadata = {k: v for k, v in raw.response_metadata.items() if k not in ("token_usage", "usage")}
    metadata[COMBINED] = {
        "asked_with": answered.asked_with,
        "alone": answered.alone.as_dict(),
        "estimated": answered.estimated,
    }
    message = AIMessage(
        content=answered.text,
        response_metadata=metadata,
        usage_metadata=usage_metadata(answered.usage) if raw.usage_metadata else None,
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _end(
    run: CallbackManagerForLLMRun, left: BaseException, outcome: Answered | BaseException
) -> None:
    """End a cancelled caller's run with its share of the call."""
    if isinstance(outcome, BaseException):
        run.on_llm_error(outcome)
    else:
        run.on_llm_error(left, response=LLMResult(generations=[[*result_of(outcome).generations]]))


def usage_metadata(usage: Usage) -> UsageMetadata:
    """The counts as LangChain carries them: whole numbers, for it adds them up."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details={
            "cache_read": usage.cache_read_tokens,
            "cache_creation": usage.cache_write_tokens,
        },
        output_token_details={"reasoning": usage.reasoning_tokens},
    )
