"""The framework's side of a replay: what a chain has to offer, and where to find it.

The core imports no framework. Each integration has a module `replay_app` whose `open_app` builds
a real app of that framework with the wanted strategies switched on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import httpx

from llm_optimizers.caching import tenant
from llm_optimizers.costs import Ledger
from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import ContextBudget, RequestOptimizer
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.replay.provider import REPLAY_ID
from llm_optimizers.routing.learning.artefact import RouterArtefact

__all__ = [
    "FRAMEWORKS",
    "AppReply",
    "Endpoint",
    "ReplayApp",
    "Strategies",
    "for_request",
    "http_client",
    "open_app",
    "prompt_optimizer",
]

FRAMEWORKS: Mapping[str, tuple[str, str]] = {
    "langchain": ("langchain_llm_optimizers.replay_app", "langchain"),
    "llama-index": ("llama_index_llm_optimizers.replay_app", "llama-index"),
}
"""By name: the module that builds the app, and the extra that brings the framework."""
CONTEXT_TOKENS = 400
"""What of retrieved documents is sent where prompts are shortened."""
_request_id: ContextVar[str] = ContextVar("llm_optimizers_request_id", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the model is; `base_url` None means the provider's own, `model` None the log's.

    `recorded` means that the log's answers are served there, so that requests are named.
    """

    base_url: str | None = None
    api_key: str | None = None
    model: str | None = None
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategies:
    """What is switched on; nothing at all is the bare app.

    `cache_entries` is the cache's capacity. `router` is a calibrated router's file, without which
    nothing is routed. `later` sends background requests as a provider batch; the replay does that
    itself, for every framework.
    """

    cache: bool = False
    cache_entries: int = 10_000
    prompts: bool = False
    router: RouterArtefact | None = None
    later: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppReply:
    """What the app answered.

    `tier` names the cache's tier if a cache answered, `model` who answered else, as far as the
    app knows; `later` means in a batch.
    """

    text: str
    tier: str | None = None
    model: str = ""
    later: bool = False


class ReplayApp(Protocol):
    """An app that requests are replayed through."""

    def ask(self, logged: LoggedRequest) -> AppReply:
        """Send one request. Raises whatever the framework or the provider raises."""

    def close(self) -> None:
        """Release connections and files."""


def open_app(
    framework: str, strategies: Strategies, endpoint: Endpoint, ledger: Ledger
) -> ReplayApp:
    """Build the framework's app.

    Raises:
        ConfigurationError: the framework is not known, or not installed.
    """
    if framework not in FRAMEWORKS:
        raise ConfigurationError(f"no framework {framework!r}; known: {', '.join(FRAMEWORKS)}")
    module, extra = FRAMEWORKS[framework]
    try:
        build = import_module(module).open_app
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed: pip install 'llm-optimizers[{extra}]'"
        ) from error
    app: ReplayApp = build(strategies, endpoint, ledger)
    return app


@contextmanager
def for_request(logged: LoggedRequest) -> Iterator[None]:
    """Inside the block calls are made for this request, and for its tenant."""
    token = _request_id.set(logged.id)
    try:
        with tenant(logged.tenant):
            yield
    finally:
        _request_id.reset(token)


def http_client(endpoint: Endpoint) -> httpx.Client:
    """The HTTP client for an app's models; names requests to a recorded provider in a header."""
    hooks = {"request": [_name_request]} if endpoint.recorded else {}
    # A proxy that the environment names cannot reach the recorded provider on this machine.
    return httpx.Client(event_hooks=hooks, timeout=120, trust_env=not endpoint.recorded)


def prompt_optimizer(ledger: Ledger) -> RequestOptimizer:
    """What shortens an app's prompts: lossless passes, and a budget for retrieved context."""
    return RequestOptimizer(
        context=ContextBudget(max_tokens=CONTEXT_TOKENS),
        # One question over fresh context each time: there is no cached prefix to break.
        provider_cache=False,
        prices=ledger.prices,
        embed=StaticEmbedder().embed,
    )


def _name_request(request: httpx.Request) -> None:
    # In a header: the name must not enter cache keys.
    request.headers[REPLAY_ID] = _request_id.get()
