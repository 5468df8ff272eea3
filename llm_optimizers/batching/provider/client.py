"""The types of provider batches.

`BatchClient` is the interface to a provider's batch API; its methods return `RemoteBatch` and
`LineOutcome`. Users get `BatchStatus` and `BatchResult`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from llm_optimizers.batching.provider.requests import BatchRequest, ShardLimits
from llm_optimizers.costs import Usage
from llm_optimizers.costs.records import JSON

__all__ = [
    "BatchClient",
    "BatchResult",
    "BatchStatus",
    "LineOutcome",
    "LineStatus",
    "RemoteBatch",
    "ResultState",
    "ShardStatus",
]

LineStatus: TypeAlias = Literal["answered", "retry", "refused", "cancelled"]
"""`retry`: nothing was billed and a retry may help; `refused`: a retry cannot help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBatch:
    """A batch's state at the provider.

    `ended` means that nothing more will be added to its results, which may be partial.
    `too_many_tokens` means that it did not start, since the limit of enqueued tokens was reached.
    For a batch that was refused as a whole, `line_errors` are messages by position in the file,
    and `reason` is a message about no particular line.
    """

    state: str
    ended: bool
    too_many_tokens: bool = False
    line_errors: Mapping[int, str] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOutcome:
    """The outcome of one request; `name` is the name it was sent under."""

    name: str
    status: LineStatus
    body: Mapping[str, Any] | None = None
    usage: Usage = field(default_factory=Usage)
    error: str | None = None
    error_kind: str | None = None


@runtime_checkable
class BatchClient(Protocol):
    """A provider's batch API. Methods raise the SDK's errors."""

    @property
    def provider(self) -> str:
        """The provider's name in the price list."""

    @property
    def limits(self) -> ShardLimits:
        """What one batch may hold."""

    def create(self, lines: Sequence[tuple[str, BatchRequest]], label: str) -> str:
        """Send (name, request) pairs of one endpoint as a batch; returns the batch's id."""

    def find(self, label: str) -> str | None:
        """Return the id of the batch sent under this label, None if unknown."""

    def look(self, remote_id: str) -> RemoteBatch:
        """Return the batch's current state."""

    def results(self, remote_id: str) -> Iterable[LineOutcome]:
        """Return the outcomes of an ended batch, in any order."""

    def cancel(self, remote_id: str) -> None:
        """Ask the provider to cancel the batch; requests done by then are kept and billed."""


ResultState: TypeAlias = Literal["answered", "failed", "cancelled", "pending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """One batch at the provider. `remote_id` is None while it is being sent."""

    number: int
    remote_id: str | None
    state: str
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """A job's progress: its requests by state, and its shards."""

    id: str
    total: int
    answered: int
    failed: int
    cancelled: int
    shards: tuple[ShardStatus, ...] = ()

    @property
    def pending(self) -> int:
        """Requests without a final result."""
        return self.total - self.answered - self.failed - self.cancelled

    @property
    def finished(self) -> bool:
        """Whether every request has a final result."""
        return self.pending == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """The result of one request.

    `body` is the provider's response (a chat completion, an embedding, a message). `cost` is in
    dollars at batch price, None if there is no answer or no price. `note` is that of the
    `PreparedRequest`.
    """

    id: str
    state: ResultState
    body: Mapping[str, Any] | None = None
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    error: str | None = None
    error_kind: str | None = None
    note: JSON = None

    @property
    def text(self) -> str | None:
        """The answer's text in OpenAI's or Anthropic's chat format, else None."""
        body = self.body or {}
        for choice in body.get("choices") or ():
            text = (choice.get("message") or {}).get("content")
            if isinstance(text, str):
                return text
        parts = [p.get("text") for p in body.get("content") or () if p.get("type") == "text"]
        return "".join(parts) if parts else None
