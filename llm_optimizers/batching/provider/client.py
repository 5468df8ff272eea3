"""What passes between a batch, its provider and its owner.

`BatchClient` is a provider's batch API as it is seen from here: five calls, with `RemoteBatch` and
`LineOutcome` for answers. `BatchStatus` and `BatchResult` are what the owner is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from llm_optimizers.batching.provider.requests import BatchRequest, ShardLimits
from llm_optimizers.costs import Usage

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

LineStatus: TypeAlias = Literal["answered", "again", "refused", "cancelled"]
"""`again`: nothing was paid and asking again may help; `refused`: asking again cannot help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBatch:
    """A batch as the provider sees it.

    `ended` means that nothing more will be added to its results, which may be partial.
    `too_many_tokens` means it never started, for lack of room among the enqueued tokens.
    `line_errors` are reasons by position in the file for a batch that was refused as a whole;
    `reason` is one that concerns no line.
    """

    state: str
    ended: bool
    too_many_tokens: bool = False
    line_errors: Mapping[int, str] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOutcome:
    """What became of one line; `name` is the one it was sent under."""

    name: str
    status: LineStatus
    body: Mapping[str, Any] | None = None
    usage: Usage = field(default_factory=Usage)
    error: str | None = None
    error_kind: str | None = None


@runtime_checkable
class BatchClient(Protocol):
    """A provider's batch API. What it raises is the SDK's own."""

    @property
    def provider(self) -> str:
        """The provider's name in the price list."""

    @property
    def limits(self) -> ShardLimits:
        """What one batch may hold."""

    def create(self, lines: Sequence[tuple[str, BatchRequest]], label: str) -> str:
        """Send lines (name, request) of one endpoint as a batch; returns the provider's id."""

    def find(self, label: str) -> str | None:
        """The id of the batch that was sent under this label, if it can be known."""

    def look(self, remote_id: str) -> RemoteBatch:
        """The batch as it is now."""

    def results(self, remote_id: str) -> Iterable[LineOutcome]:
        """What there is of an ended batch, in any order."""

    def cancel(self, remote_id: str) -> None:
        """Ask the provider to stop; what is done by then is kept and billed."""


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
    """Where a job stands: its requests by what became of them, and its open shards."""

    id: str
    total: int
    answered: int
    failed: int
    cancelled: int
    shards: tuple[ShardStatus, ...] = ()

    @property
    def pending(self) -> int:
        """Requests whose end is not known yet."""
        return self.total - self.answered - self.failed - self.cancelled

    @property
    def finished(self) -> bool:
        """Whether every request has ended, one way or another."""
        return self.pending == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What became of one request.

    `body` is the provider's answer (a chat completion, an embedding, a message); `cost` is at
    batch price in dollars, None when nothing was answered or no price is known.
    """

    id: str
    state: ResultState
    body: Mapping[str, Any] | None = None
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    error: str | None = None
    error_kind: str | None = None

    @property
    def text(self) -> str | None:
        """The answer's text, of OpenAI's and Anthropic's chat formats, or None."""
        body = self.body or {}
        for choice in body.get("choices") or ():
            text = (choice.get("message") or {}).get("content")
            if isinstance(text, str):
                return text
        parts = [p.get("text") for p in body.get("content") or () if p.get("type") == "text"]
        return "".join(parts) if parts else None
