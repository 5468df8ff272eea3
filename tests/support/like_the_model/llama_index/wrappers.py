"""The wrappers whose likeness to the LLM in them is tested: the columns of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llama_index.core.llms.llm import LLM
from llama_index.llms.openai import OpenAIResponses
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


@cache
def _other() -> LLM:
    # It is called only where the safe one fails, and nothing listens there.
    nowhere = "http://127.0.0.1:9/v1"
    return OpenAIResponses(model="gpt-4o-mini", api_key="x", api_base=nowhere, max_retries=0)


def _two_classes(llm: LLM) -> LLM:
    return RoutedLLM({"other": _other().model_copy(), "safe": llm}, safe="safe")


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
