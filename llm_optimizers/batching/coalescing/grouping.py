"""Which callers share a call: pure logic of groups, without a lock, a thread or a clock.

Callers with the same key wait in one open group. A group is sealed when it is full (of items or
tokens). It becomes due when its oldest member has waited `max_delay`, or earlier for a member's
deadline. A due group stays open until it is taken, so that groups keep filling while all upstream
calls are busy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from llm_optimizers.arguments import keep, number, optional, whole

__all__ = ["GroupLimits", "Grouping"]

Member = TypeVar("Member", bound=Hashable)

_DEFAULT_SIZE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """When a group is sent: at `max_size` items, `max_tokens` tokens or `max_delay` seconds.

    `max_size` None means 20 items, or 6 questions in a combined prompt.
    """

    max_size: int | None = None
    max_tokens: int | None = None
    max_delay: float = 0.03

    def __post_init__(self) -> None:
        for name in ("max_size", "max_tokens"):
            keep(self, name, optional(whole, name, getattr(self, name), least=1))
        keep(self, "max_delay", number("max_delay", self.max_delay, least=0))


@dataclass(slots=True)
class _Group(Generic[Member]):
    due: float
    tokens: int = 0
    members: dict[Member, int] = field(default_factory=dict)


class Grouping(Generic[Member]):
    """Groups of members by key: `add` members, `take` groups to send, `next_due` says when."""

    def __init__(self, limits: GroupLimits) -> None:
        self._limits = limits
        self._max_size = limits.max_size or _DEFAULT_SIZE
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
        """Add a member to its key's group, to be sent at `send_by` at the latest.

        A member that would exceed its group's token limit starts a new group; a single member
        over the limit gets a group to itself.
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
        """Remove a member from its open group, so that another can take its place."""
        group = self._open.get(key)
        if group is None or member not in group.members:
            return
        group.tokens -= group.members.pop(member)
        if not group.members:
            del self._open[key]

    def add_alone(self, member: Member) -> None:
        """Add a member as a separate group, to be sent next."""
        self._sealed.append([member])

    def take(self, now: float) -> list[Member]:
        """Remove and return the next group to send: full ones first, then the earliest due."""
        if not self._sealed:
            if not self._open:
                return []
            key, group = min(self._open.items(), key=lambda entry: entry[1].due)
            if group.due > now:
                return []
            self._seal(key)
        return self._sealed.popleft()

    def seal_all(self) -> None:
        """Seal all open groups, so that they can be taken at once."""
        for key in list(self._open):
            self._seal(key)

    def next_due(self) -> float | None:
        """Return when the next open group becomes due, None if none is open."""
        return min((group.due for group in self._open.values()), default=None)

    def _seal(self, key: Hashable) -> None:
        self._sealed.append(list(self._open.pop(key).members))
