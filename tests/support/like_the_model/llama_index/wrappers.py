"""The wrappers whose likeness to the LLM in them is tested: the columns of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index_llm_optimizers import (
    BatchedLLM,
    CachedLLM,
    HybridCache,
    PromptOptimizingLLM,
    RoutedLLM,
)
from llm_optimizers.batching import GroupLimits

HIT = "CachedLLM, hit"
STACK_HIT = "stack, hit"
TWO_CLASSES = "RoutedLLM, two classes"


class OtherLLM(MockFunctionCallingLLM):
    """An LLM of another class, with the same limits; it is asked where the safe one fails."""

    model: str = "other"
    temperature: float = 0.1

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            model_name="other",
            context_window=128_000,
            num_output=-1,
            is_chat_model=True,
            is_function_calling_model=True,
        )

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return ChatResponse(message=ChatMessage("the other's answer", role="assistant"))


def _two_classes(llm: LLM) -> LLM:
    return RoutedLLM({"other": OtherLLM(), "safe": llm}, safe="safe")


def _stack(llm: LLM) -> LLM:
    inner = PromptOptimizingLLM(BatchedLLM(llm))
    return _cached(RoutedLLM({"only": inner}))


def _cached(llm: LLM) -> LLM:
    return CachedLLM(llm, HybridCache(semantic=False))


WRAPPERS: dict[str, Callable[[Any], LLM]] = {
    "CachedLLM": _cached,
    HIT: _cached,
    "PromptOptimizingLLM": PromptOptimizingLLM,
    "BatchedLLM": BatchedLLM,
    "BatchedLLM, combining": lambda llm: BatchedLLM(
        llm, combine=True, limits=GroupLimits(max_delay=0.001)
    ),
    "RoutedLLM": lambda llm: RoutedLLM({"weak": llm.model_copy(), "safe": llm}),
    TWO_CLASSES: _two_classes,
    "stack": _stack,
    STACK_HIT: _stack,
}
"""A stack is a cache around a router, a prompt optimiser and a batcher."""
