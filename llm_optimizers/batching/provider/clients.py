"""From whatever SDK client a user has to a `BatchClient`."""

from __future__ import annotations

from typing import Any, cast

from llm_optimizers.batching.provider.anthropic import AnthropicBatches
from llm_optimizers.batching.provider.client import BatchClient
from llm_optimizers.batching.provider.openai import OpenAIBatches
from llm_optimizers.errors import ConfigurationError

__all__ = ["batch_client"]

_METHODS = ("create", "find", "look", "results", "cancel", "limits", "provider")


def batch_client(client: Any) -> BatchClient:
    """Wrap an SDK's client by what it can do; a `BatchClient` is returned as it is.

    Raises:
        ConfigurationError: it is none of them; says what would do.
    """
    if client is None:
        return OpenAIBatches()
    if all(hasattr(client, method) for method in _METHODS):
        return cast("BatchClient", client)
    if hasattr(client, "files") and hasattr(client, "batches"):
        if type(client).__name__.startswith("Async"):
            raise ConfigurationError(
                "give the synchronous OpenAI client; asubmit and acollect do not block with it"
            )
        return OpenAIBatches(client)
    batches = getattr(getattr(client, "messages", None), "batches", None)
    if batches is not None:
        return AnthropicBatches(batches)
    raise ConfigurationError(
        f"a {type(client).__name__} has no batch API known here; give an openai.OpenAI, an "
        "anthropic.Anthropic or a BatchClient of your own"
    )
