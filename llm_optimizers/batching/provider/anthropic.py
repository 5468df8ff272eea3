"""Anthropic's Message Batches through its SDK, which is imported only if no client is given.

https://docs.anthropic.com/en/docs/build-with-claude/batch-processing. The bodies are those of
`POST /v1/messages`. Batches have no labels, so that a batch created just before the process is
killed cannot be found again and is sent a second time.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from llm_optimizers.arguments import instance, with_methods
from llm_optimizers.batching.provider.client import LineOutcome, LineStatus, RemoteBatch
from llm_optimizers.batching.provider.requests import BatchRequest, ShardLimits
from llm_optimizers.costs.reports import used_in
from llm_optimizers.failures import may_pass

__all__ = ["AnthropicBatches", "MessageBatches"]

LIMITS = ShardLimits(max_requests=100_000, max_bytes=256_000_000)


class MessageBatches(Protocol):
    """The methods of `anthropic.Anthropic().messages.batches` that are used."""

    def create(self, *, requests: Iterable[Any]) -> Any:
        """Start a batch; the result has an `id`."""

    def retrieve(self, message_batch_id: str) -> Any:
        """Return a batch with its `processing_status`."""

    def results(self, message_batch_id: str) -> Iterable[Any]:
        """Return entries with a `custom_id` and a `result`, which has a `type`."""

    def cancel(self, message_batch_id: str) -> Any:
        """Ask to cancel a batch."""


class AnthropicBatches:
    """Message batches of one Anthropic account.

    Args:
        batches: `anthropic.Anthropic().messages.batches`; from the environment if not given.
        limits: the limits of one batch; Anthropic's by default.
    """

    def __init__(
        self, batches: MessageBatches | None = None, *, limits: ShardLimits = LIMITS
    ) -> None:
        give = "`messages.batches` of an anthropic.Anthropic(…)"
        if batches is not None:
            with_methods("batches", batches, "create", "retrieve", "results", give=give)
        self.limits = instance("limits", limits, ShardLimits)
        self._batches = _from_environment() if batches is None else batches
        self.provider = "anthropic"

    def create(self, lines: Sequence[tuple[str, BatchRequest]], label: str) -> str:  # noqa: ARG002
        """Start the batch."""
        batch = self._batches.create(
            requests=[
                {"custom_id": name, "params": json.loads(request.body)} for name, request in lines
            ]
        )
        return str(batch.id)

    def find(self, label: str) -> str | None:  # noqa: ARG002
        """Return None: batches have no labels."""
        return None

    def look(self, remote_id: str) -> RemoteBatch:
        """Return the batch's current state."""
        state = str(self._batches.retrieve(remote_id).processing_status)
        return RemoteBatch(state=state, ended=state == "ended")

    def results(self, remote_id: str) -> Iterator[LineOutcome]:
        """Read the results of the batch."""
        for entry in self._batches.results(remote_id):
            yield _outcome(str(entry.custom_id), entry.result)

    def cancel(self, remote_id: str) -> None:
        """Ask Anthropic to cancel the batch."""
        self._batches.cancel(remote_id)


def _outcome(name: str, result: Any) -> LineOutcome:
    if result.type == "succeeded":
        body = result.message.model_dump(mode="json")
        return LineOutcome(
            name=name,
            status="answered",
            body=body,
            usage=used_in(body),
        )
    if result.type == "errored":
        # The SDK wraps the error in an error response.
        error = getattr(result.error, "error", result.error)
        kind = str(error.type)
        status: LineStatus = "refused" if may_pass(None, kind) is False else "retry"
        return LineOutcome(name=name, status=status, error=str(error.message), error_kind=kind)
    status = "cancelled" if result.type == "canceled" else "retry"
    return LineOutcome(
        name=name, status=status, error=f"the request was {result.type}", error_kind=result.type
    )


def _from_environment() -> MessageBatches:
    try:
        sdk = importlib.import_module("anthropic")
    except ModuleNotFoundError as error:
        raise ImportError("Anthropic batches need its SDK: pip install anthropic") from error
    batches: MessageBatches = sdk.Anthropic().messages.batches
    return batches
