"""A job: what is to be done, how urgent it is, and how it ended. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from llm_optimizers.costs.records import JSON
from llm_optimizers.errors import ConfigurationError

__all__ = [
    "Claim",
    "Job",
    "JobState",
    "Priority",
    "QueueStats",
    "Settlement",
    "Times",
    "check_priority",
    "turn",
]

Priority: TypeAlias = Literal["high", "medium", "low"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
JobState: TypeAlias = Literal["waiting", "running", "done", "dead", "expired"]
"""`dead` jobs failed for good and can be replayed; `expired` ones were refused unpaid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job of a queue; times are seconds since the epoch.

    `tokens` is what it is expected to use, for the queue's token rate. `attempts` counts how
    often a worker has started it. `payload` is None once the job is done.
    """

    id: str
    queue: str
    payload: JSON
    submitted_at: float
    priority: Priority = "medium"
    tokens: int = 0
    expires_at: float | None = None
    state: JobState = "waiting"
    attempts: int = 0
    not_before: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    result: JSON = None
    error: str | None = None
    error_kind: str | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in ("done", "dead", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a worker may start now, and when it is worth asking again if nothing changes.

    `held` says that it is the rates that hold the next job back until then.
    """

    jobs: tuple[Job, ...] = ()
    retry_at: float | None = None
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How an attempt ended: done with a result, dead, or waiting again until `not_before`."""

    state: Literal["done", "dead", "waiting"]
    result: JSON = None
    error: str | None = None
    error_kind: str | None = None
    not_before: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds at the median and the 95th percentile of the jobs finished last."""

    median: float
    p95: float

    @classmethod
    def of(cls, seconds: list[float]) -> Times | None:
        """The percentiles of what was measured, None of nothing."""
        if not seconds:
            return None
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(median=ordered[last // 2], p95=ordered[round(last * 0.95)])


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """A queue at a moment: depth by priority, what runs, what is settled, and how long it took."""

    queue: str
    waiting: dict[Priority, int]
    running: int
    done: int
    dead: int
    expired: int
    oldest_waiting_s: float | None
    waited: Times | None
    ran: Times | None

    @property
    def depth(self) -> int:
        """Jobs waiting, of all priorities."""
        return sum(self.waiting.values())


def check_priority(priority: str) -> Priority:
    """The priority, if it is one.

    Raises:
        ConfigurationError: it is none; names those there are.
    """
    for known in PRIORITIES:
        if priority == known:
            return known
    raise ConfigurationError(f"priority {priority!r} is none of {', '.join(PRIORITIES)}")


def turn(job: Job, ageing: float) -> float:
    """A job's place in the line, smallest first.

    A job is ahead of every job of a lower priority that came less than `ageing` seconds (a level)
    before it, so that nothing waits for ever.
    """
    return job.submitted_at + PRIORITIES.index(job.priority) * ageing
