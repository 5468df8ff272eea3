"""The options of one call."""

from __future__ import annotations

from llm_optimizers.caching import CallOptions, ResponseCache
from llm_optimizers.types import ChatRequest, Message


def test_a_run_of_many_calls_remembers_only_the_last_samples() -> None:
    batch: set[str] = set()
    cache: ResponseCache[str] = ResponseCache()
    options: CallOptions[str] = CallOptions(batches=(batch,))
    for number in range(5_000):
        question = Message(role="user", content=f"Question {number}?")
        cache.lookup(ChatRequest(messages=(question,), sampled=True), options)
    assert 0 < len(batch) < 5_000
