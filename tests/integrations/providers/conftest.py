"""Other providers on loopback: their servers and models, made once, and no look at an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.openai_server import FakeOpenAI, openai_server
from support.provider_servers.anthropic import ANTHROPIC
from support.provider_servers.base import Answer, ProviderServer, fixed, provider_server
from support.provider_servers.bedrock import BEDROCK
from support.provider_servers.gemini import GEMINI
from support.provider_servers.ollama import OLLAMA
from support.provider_servers.provider import FrameworkName, Provider

PROVIDERS = (ANTHROPIC, BEDROCK, GEMINI, OLLAMA)

# Accounts, endpoints and tracing that a developer's machine may have set.
_FOREIGN = (
    *("ANTHROPIC_", "AWS_", "GOOGLE_", "GEMINI_", "OLLAMA_"),
    *("LANGSMITH_", "LANGCHAIN_", "HTTP_PROXY", "HTTPS_PROXY"),
)


@pytest.fixture(autouse=True, scope="session")
def _no_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the SDKs from this machine's accounts, and botocore from asking for an instance's."""
    import os

    nowhere = str(Path(tmp_path_factory.mktemp("account")) / "none")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(_FOREIGN):
                patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", nowhere)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", nowhere)
        patch.setenv("NO_GCE_CHECK", "true")
        yield


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, ProviderServer]]:
    with ExitStack() as stack:
        yield {
            provider.name: stack.enter_context(
                provider_server(provider.handler, fixed(Answer(text="Hello")))
            )
            for provider in PROVIDERS
        }


@pytest.fixture(params=PROVIDERS, ids=str)
def provider(request: pytest.FixtureRequest) -> Provider:
    return request.param


@pytest.fixture
def server(provider: Provider, _servers: dict[str, ProviderServer]) -> ProviderServer:
    """The provider's server, which answers "Hello" until its test says otherwise."""
    found = _servers[provider.name]
    found.reset(fixed(Answer(text="Hello")))
    return found


@pytest.fixture(scope="session")
def _made() -> dict[Any, Any]:
    return {}


@pytest.fixture
def made(provider: Provider, server: ProviderServer, _made: dict[Any, Any]) -> Callable[..., Any]:
    """A function that makes a framework's model of the provider; equal ones are made once.

    To make a client for Amazon takes longer than a hundred calls of it.
    """

    def make(framework: FrameworkName, **settings: Any) -> Any:
        key = (provider.name, framework, repr(sorted(settings.items())))
        if key not in _made:
            maker = provider.langchain if framework == "langchain" else provider.llama_index
            _made[key] = maker(server, **settings)
        return _made[key]

    return make


@pytest.fixture
def openai() -> Iterator[FakeOpenAI]:
    """The other provider of a router."""
    with openai_server(reply=lambda _: "OpenAI says: sunny.") as server:
        yield server


@pytest.fixture
def clients() -> Iterator[tuple[httpx.Client, httpx.AsyncClient]]:
    """Clients for it; no connection of theirs outlives the event loop of its test."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client() as client:
        yield client, httpx.AsyncClient(limits=limits)
