"""Restores LlamaIndex's globals after every test."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator

import pytest
from llama_index.core import Settings
from llama_index_instrumentation import get_dispatcher

from support.llama_openai import OpenAIRunner
from support.openai_server import FakeOpenAI, openai_server


@pytest.fixture(autouse=True)
def _globals_restored() -> Iterator[None]:
    root = get_dispatcher()
    handlers, spans, settings = list(root.event_handlers), list(root.span_handlers), vars(Settings)
    saved = dict(settings)
    yield
    root.event_handlers, root.span_handlers = handlers, spans
    settings.clear()
    settings.update(saved)


@pytest.fixture(autouse=True)
def _no_loop_left_open(request: pytest.FixtureRequest) -> None:
    """Let the framework's synchronous code run and close its own event loops.

    Where the main thread has never had a loop, `asyncio.get_event_loop()` would make one that
    is never closed.
    """
    if not inspect.iscoroutinefunction(request.function):
        asyncio.set_event_loop(None)


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with openai_server() as fake:
        yield fake


@pytest.fixture
def runner(server: FakeOpenAI) -> Iterator[OpenAIRunner]:
    made = OpenAIRunner(server)
    yield made
    made.close()
