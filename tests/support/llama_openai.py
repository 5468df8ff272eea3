"""Real `OpenAI` LLMs that talk to a server on loopback, also from one event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from llama_index.llms.openai import OpenAI

from support.openai_server import FakeOpenAI


class OpenAIRunner:
    """Makes LLMs for this thread and one event loop, and runs coroutines in the loop.

    `client` are settings of its HTTP clients.
    """

    def __init__(self, server: FakeOpenAI, **client: Any) -> None:
        self.server = server
        self.loop = asyncio.Runner()
        self.sync_client, self.async_client = httpx.Client(**client), httpx.AsyncClient(**client)

    def llm(self, model: str = "gpt-4o-mini", **settings: Any) -> OpenAI:
        """Return an LLM of this server, with the runner's clients unless others are given."""
        clients = {"http_client": self.sync_client, "async_http_client": self.async_client}
        return OpenAI(
            model=model,
            api_base=self.server.url,
            api_key="x",
            max_retries=0,
            **{**clients, **settings},
        )

    def run(self, coroutine: Any) -> Any:
        return self.loop.run(coroutine)

    def close(self) -> None:
        self.sync_client.close()
        self.loop.run(self.async_client.aclose())
        self.loop.close()
