"""A stream that its reader leaves is closed at the provider at once, without the collector."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from llama_index.core.llms import LLM, ChatMessage

from llama_index_llm_optimizers import CachedLLM, HybridCache, PromptOptimizingLLM, RoutedLLM
from support.llama_openai import OpenAIRunner
from support.openai_server import openai_server

pytestmark = pytest.mark.loopback

WRAPPERS: dict[str, Callable[[LLM], LLM]] = {
    "cached": lambda llm: CachedLLM(llm, HybridCache()),
    "routed": lambda llm: RoutedLLM({"only": llm}),
    "optimized": PromptOptimizingLLM,
    "all": lambda llm: CachedLLM(PromptOptimizingLLM(RoutedLLM({"only": llm})), HybridCache()),
}
ASKED = [ChatMessage(role="user", content="Tell me a long story")]


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def provider() -> Iterator[tuple[OpenAIRunner, list[httpx.Response]]]:
    responses: list[httpx.Response] = []

    async def note(response: httpx.Response) -> None:
        responses.append(response)

    story = " ".join(f"word{number}" for number in range(5_000))
    with openai_server(reply=lambda _: story) as server:
        runner = OpenAIRunner(server)
        runner.sync_client.event_hooks = {"response": [responses.append]}
        runner.async_client.event_hooks = {"response": [note]}
        yield runner, responses
        runner.close()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("wrapped", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("method", ["stream_chat", "stream_complete"])
@pytest.mark.parametrize("read", [1, 3])
def test_sync(
    provider: tuple[OpenAIRunner, list[httpx.Response]],
    wrapped: Callable[[LLM], LLM],
    method: str,
    read: int,
) -> None:
    runner, responses = provider
    chunks: Any = getattr(wrapped(runner.llm()), method)(ASKED if "chat" in method else "Tell me")
    for _ in range(read):
        next(chunks)
    chunks.close()
    assert [response.is_closed for response in responses] == [True]


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("wrapped", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("method", ["astream_chat", "astream_complete"])
def test_async(
    provider: tuple[OpenAIRunner, list[httpx.Response]],
    wrapped: Callable[[LLM], LLM],
    method: str,
) -> None:
    runner, responses = provider

    async def leave() -> None:
        asked = ASKED if "chat" in method else "Tell me"
        chunks: Any = await getattr(wrapped(runner.llm()), method)(asked)
        await anext(chunks)
        await chunks.aclose()

    runner.run(leave())
    assert [response.is_closed for response in responses] == [True]
