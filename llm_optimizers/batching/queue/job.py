"""A job: what is to be done, how urgent it is, how it ended; as values, and as stored text.

Stored text may be anybody's: it is parsed as JSON, never unpickled or evaluated, and checked.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from llm_optimizers.costs.records import JSON
from llm_optimizers.errors import ConfigurationError

__all__ = [
    "Claim",
    "Job",
    "JobState",
    "Priority",
    "QueueStats",
    "AttemptOutcome",
    "Times",
    "check_priority",
    "digest",
    "dump_json",
    "load_json",
    "other_payload",
    "read_job",
    "read_job_or_dead",
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
class AttemptOutcome:
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

    @classmethod
    def of(
        cls,
        queue: str,
        states: Mapping[str, int],
        waiting: Mapping[Priority, int],
        oldest: float | None,
        latest: Sequence[Sequence[float]],
        now: float,
    ) -> QueueStats:
        """The jobs by state, those that wait by priority too, and when the oldest of those came.

        `latest` are the times of the jobs done last: submitted, started, finished.
        """
        return cls(
            queue=queue,
            waiting={priority: waiting.get(priority, 0) for priority in PRIORITIES},
            running=states.get("running", 0),
            done=states.get("done", 0),
            dead=states.get("dead", 0),
            expired=states.get("expired", 0),
            oldest_waiting_s=None if oldest is None else max(0.0, now - oldest),
            waited=Times.of([started - submitted for submitted, started, _ in latest]),
            ran=Times.of([finished - started for _, started, finished in latest]),
        )

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


def dump_json(value: Any, what: str) -> str:
    """The value as compact JSON with sorted keys, which UTF-8 can hold.

    Raises:
        ConfigurationError: it is not JSON; says what `what` may hold instead.
    """
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
        )
        text.encode()  # Half a surrogate pair, such as a cut emoji, has no bytes.
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the {what} cannot be stored: {error}; use only dicts with string keys, lists, "
            "whole strings, finite numbers, booleans and None"
        ) from error
    return text


def load_json(text: str) -> JSON:
    """Read stored JSON; raises ValueError for anything else, however deep."""
    try:
        return cast("JSON", json.loads(text))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def other_payload(id_: str) -> ConfigurationError:
    """The error for a key that is used a second time, for something else."""
    return ConfigurationError(
        f"the key {id_!r} was used for another payload; a key stands for one piece of work"
    )


def digest(text: str) -> str:
    """A payload's fingerprint, kept when the payload is not."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_job(fields: Mapping[str, Any]) -> Job:
    """A job from what a store holds of it: typed values, or all of them as text.

    Raises:
        ValueError: they are damaged.
    """
    try:
        return Job(
            id=fields["id"],
            queue=fields["queue"],
            payload=load_json(fields["payload"]),
            submitted_at=float(fields["submitted_at"]),
            priority=check_priority(fields["priority"]),
            tokens=int(fields["tokens"]),
            expires_at=_moment(fields, "expires_at"),
            state=cast("JobState", fields["state"]),
            attempts=int(fields["attempts"]),
            not_before=float(fields.get("not_before") or 0.0),
            started_at=_moment(fields, "started_at"),
            finished_at=_moment(fields, "finished_at"),
            result=None if fields.get("result") is None else load_json(fields["result"]),
            error=fields.get("error"),
            error_kind=fields.get("error_kind"),
        )
    except (LookupError, TypeError, OverflowError, ConfigurationError) as error:
        raise ValueError("a stored job is damaged") from error


def read_job_or_dead(fields: Mapping[str, Any]) -> Job:
    """`read_job`; a damaged one is shown as dead instead of failing others."""
    try:
        return read_job(fields)
    except ValueError:
        return Job(
            id=str(fields.get("id")),
            queue=str(fields.get("queue")),
            payload=None,
            submitted_at=_number(fields.get("submitted_at")) or 0.0,
            attempts=int(_number(fields.get("attempts")) or 0),
            finished_at=_number(fields.get("finished_at")),
            state="dead",
            error="its stored text is not JSON",
            error_kind="PoisonedPayload",
        )


def _moment(fields: Mapping[str, Any], name: str) -> float | None:
    """A time, None if there is none; Redis sorts jobs without a deadline under infinity."""
    value = fields.get(name)
    return None if value is None or float(value) == float("inf") else float(value)


def _number(value: Any) -> float | None:
    """A finite number, None for anything else."""
    try:
        return float(value) if math.isfinite(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None
