"""A provider on loopback, and real `ChatOpenAI` models that talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI

from support.openai_server import FakeOpenAI, openai_server


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with openai_server() as fake:
        yield fake


@pytest.fixture
def chat(server: FakeOpenAI) -> Iterator[Callable[..., ChatOpenAI]]:
    """A function that makes models; their connections are closed when the test ends."""
    with httpx.Client() as client:

        def maker(**settings: Any) -> ChatOpenAI:
            return ChatOpenAI(
                **{
                    "model": "gpt-4o-mini",
                    "base_url": server.url,
                    "api_key": "sk-secret-of-the-test",
                    "max_retries": 0,
                    "http_client": client,
                    # Without kept connections none outlives its test's event loop.
                    "http_async_client": httpx.AsyncClient(
                        limits=httpx.Limits(max_keepalive_connections=0)
                    ),
                    **settings,
                }
            )

        yield maker


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def looped(chat: Callable[..., ChatOpenAI], runner: asyncio.Runner) -> Iterator[Any]:
    """A function that makes models for this thread and for the runner's loop."""
    client = httpx.AsyncClient()
    yield partial(chat, http_async_client=client)
    runner.run(client.aclose())


@pytest.fixture
def global_cache() -> Iterator[Callable[[Any], None]]:
    yield set_llm_cache
    set_llm_cache(None)
