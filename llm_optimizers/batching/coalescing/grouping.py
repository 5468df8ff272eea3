"""Which callers share a call: a pure book of groups, without lock, thread or clock.

Callers that give the same key wait in one open group. A group is sealed when it is full (items or
tokens) and becomes due when its oldest member has waited `max_delay` or when a member's deadline
comes near. A due group stays open until it is taken: while every upstream call is busy it goes on
filling, so the calls get fuller exactly when the load is high.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from llm_optimizers.errors import ConfigurationError

__all__ = ["GroupLimits", "Grouping"]

Member = TypeVar("Member", bound=Hashable)

_USUAL_SIZE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """When a group is sent: at `max_size` items, `max_tokens` tokens or `max_delay` seconds.

    `max_size` None stands for 20 items, or 6 questions in a combined prompt.
    """

    max_size: int | None = None
    max_tokens: int | None = None
    max_delay: float = 0.03

    def __post_init__(self) -> None:
        if self.max_size is not None and self.max_size < 1:
            raise ConfigurationError(f"max_size is {self.max_size}; give at least 1 or None")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigurationError(f"max_tokens is {self.max_tokens}; give at least 1 or None")
        if self.max_delay < 0:
            raise ConfigurationError(f"max_delay is {self.max_delay} s; give 0 or more")


@dataclass(slots=True)
class _Group(Generic[Member]):
    due: float
    tokens: int = 0
    members: dict[Member, int] = field(default_factory=dict)


class Grouping(Generic[Member]):
    """The book: `add` members under a key, `take` what is to be sent, `next_due` to know when."""

    def __init__(self, limits: GroupLimits) -> None:
        self._limits = limits
        self._max_size = limits.max_size or _USUAL_SIZE
        self._open: dict[Hashable, _Group[Member]] = {}
        self._sealed: deque[list[Member]] = deque()

    def add(
        self,
        member: Member,
        *,
        key: Hashable,
        now: float,
        tokens: int = 0,
        send_by: float | None = None,
    ) -> None:
        """Put a member into its key's group; `send_by` is when it must be on its way at the latest.

        A member that would take its group over the token limit opens the next one; a single
        member over the limit goes alone.
        """
        limit = self._limits.max_tokens
        group = self._open.get(key)
        if group is not None and limit is not None and group.tokens + tokens > limit:
            self._seal(key)
            group = None
        if group is None:
            group = self._open[key] = _Group(due=now + self._limits.max_delay)
        group.members[member] = tokens
        group.tokens += tokens
        if send_by is not None:
            group.due = min(group.due, send_by)
        full = len(group.members) >= self._max_size
        if full or (limit is not None and group.tokens >= limit):
            self._seal(key)

    def discard(self, member: Member, *, key: Hashable) -> None:
        """Take a member out of its open group, so that its place goes to somebody else."""
        group = self._open.get(key)
        if group is None or member not in group.members:
            return
        group.tokens -= group.members.pop(member)
        if not group.members:
            del self._open[key]

    def add_alone(self, member: Member) -> None:
        """Queue a member for a call of its own."""
        self._sealed.append([member])

    def take(self, now: float) -> list[Member]:
        """Remove and return the next group to send: full ones first, then the longest overdue."""
        if not self._sealed:
            if not self._open:
                return []
            key, group = min(self._open.items(), key=lambda entry: entry[1].due)
            if group.due > now:
                return []
            self._seal(key)
        return self._sealed.popleft()

    def seal_all(self) -> None:
        """Let every open group be taken at once, whatever its size and age."""
        for key in list(self._open):
            self._seal(key)

    def next_due(self) -> float | None:
        """When the next open group becomes due, or None when none is open."""
        return min((group.due for group in self._open.values()), default=None)

    def _seal(self, key: Hashable) -> None:
        self._sealed.append(list(self._open.pop(key).members))
