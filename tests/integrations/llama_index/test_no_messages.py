"""A call without messages is the LLM's business: no wrapper fails in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import LLM

from llama_index_llm_optimizers import BatchedLLM, CachedLLM, PromptOptimizingLLM, RoutedLLM
from support.llama_fakes import FakeLLM

WRAPPERS: dict[str, Callable[[LLM], Any]] = {
    "cached": CachedLLM,
    "optimizing": PromptOptimizingLLM,
    "batched": BatchedLLM,
    "combining": lambda llm: BatchedLLM(llm, combine=True),
    "routed": lambda llm: RoutedLLM({"a": llm, "b": llm}),
}


class Refusing(FakeLLM):
    """Fails as a provider does that needs a message."""

    def _respond(self, messages: Any, kwargs: Any) -> Any:
        raise LookupError(f"{len(messages)} messages")


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
async def test_the_error_is_the_llms_own(wrap: Callable[[LLM], Any]) -> None:
    llm = wrap(Refusing())
    for call in (lambda: llm.chat([]), lambda: list(llm.stream_chat([]))):
        with pytest.raises(LookupError, match="0 messages"):
            call()
    with pytest.raises(LookupError, match="0 messages"):
        await llm.achat([])
    with pytest.raises(LookupError, match="0 messages"):
        [chunk async for chunk in await llm.astream_chat([])]
