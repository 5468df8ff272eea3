"""The app that requests are replayed through: its interface, and how to open one.

The core imports no framework. Each integration has a module `replay_app` whose `open_app` builds
a real app of that framework with the given strategies switched on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from openai import DefaultHttpxClient

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
"""For each framework: the module that builds its app, and the extra that installs it."""
_request_id: ContextVar[str] = ContextVar("llm_optimizers_request_id", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the model is: `base_url` None is the provider's own URL, `model` None the log's model.

    `recorded` means that a recorded provider answers there, which needs each request's id.
    """

    base_url: str | None = None
    api_key: str | None = None
    model: str | None = None
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategies:
    """The strategies that are switched on; by default none.

    `cache_entries` is the cache's capacity. `context_tokens` is the budget for retrieved documents
    when prompts are shortened; None keeps them. `router` is a fitted router; None routes nothing.
    `later` sends background requests as a provider batch, which the replay itself does for every
    framework.
    """

    cache: bool = False
    cache_entries: int = 10_000
    prompts: bool = False
    context_tokens: int | None = None
    router: RouterArtefact | None = None
    later: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppReply:
    """The app's answer.

    `tier` is the cache tier if the cache answered, else None; `model` is the model that answered,
    "" if the app does not know it; `later` is True for an answer from a batch.
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
        raise ConfigurationError(f"unknown framework {framework!r}; known: {', '.join(FRAMEWORKS)}")
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
    """Give calls made inside the block this request's id and tenant."""
    token = _request_id.set(logged.id)
    try:
        with tenant(logged.tenant) if logged.tenant.strip() else nullcontext():
            yield
    finally:
        _request_id.reset(token)


def http_client(endpoint: Endpoint) -> DefaultHttpxClient:
    """Return the HTTP client for an app's models; it sends request ids to a recorded provider."""
    hooks = {"request": [_name_request]} if endpoint.recorded else {}
    # A proxy that the environment names cannot reach the recorded provider on this machine. The
    # class is of httpx with openai 2, of httpx2 with openai 3.
    return DefaultHttpxClient(event_hooks=hooks, timeout=120, trust_env=not endpoint.recorded)


def prompt_optimizer(ledger: Ledger, context_tokens: int | None) -> RequestOptimizer:
    """Return an optimizer with the default passes and this token budget for retrieved context."""
    budget = None if context_tokens is None else ContextBudget(max_tokens=context_tokens)
    return RequestOptimizer(
        context=budget,
        # Each request has other context, so there is no cached prefix to break.
        provider_cache=False,
        prices=ledger.prices,
        embed=StaticEmbedder().embed,
    )


def _name_request(request: Any) -> None:
    # A header, because it is not part of the cache key.
    request.headers[REPLAY_ID] = _request_id.get()
