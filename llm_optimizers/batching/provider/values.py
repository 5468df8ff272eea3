"""What a batch tells its owner: where it stands, and what became of each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from llm_optimizers.costs import Usage

__all__ = ["BatchResult", "BatchStatus", "ResultState", "ShardStatus"]

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
