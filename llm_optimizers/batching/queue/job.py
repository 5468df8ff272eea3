"""Jobs and queue statistics: as values, and as stored text.

Stored text is not trusted: it is parsed as JSON and checked, never unpickled or evaluated.
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
from llm_optimizers.lazy import renamed_attributes

__all__ = [
    "AttemptOutcome",
    "Claim",
    "Job",
    "JobState",
    "Priority",
    "QueueStats",
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
"""`dead` jobs failed permanently and can be replayed; `expired` ones were not started in time."""


@renamed_attributes(settled="finished")
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
    def finished(self) -> bool:
        """Whether it is done, dead or expired, so that no worker will start it."""
        return self.state in ("done", "dead", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The jobs that a worker starts now, and when to claim again if nothing changes.

    `held`: the next job waits for the rates, or for a store that failed.
    """

    jobs: tuple[Job, ...] = ()
    retry_at: float | None = None
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutcome:
    """How an attempt ended: done with a result, dead, or to be started again at `not_before`."""

    state: Literal["done", "dead", "waiting"]
    result: JSON = None
    error: str | None = None
    error_kind: str | None = None
    not_before: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Median and 95th percentile, in seconds, of the jobs finished last."""

    median: float
    p95: float

    @classmethod
    def of(cls, seconds: list[float]) -> Times | None:
        """Return the percentiles of these seconds, None if there are none."""
        if not seconds:
            return None
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(median=ordered[last // 2], p95=ordered[round(last * 0.95)])


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """A queue's state: depth by priority, jobs by state, and how long the last jobs took."""

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
        """Compute the statistics from counts and times.

        Args:
            queue: its name.
            states: jobs by state.
            waiting: waiting jobs by priority.
            oldest: when the oldest waiting job was submitted.
            latest: when each of the jobs done last was submitted, started and finished.
            now: seconds since the epoch.
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
    """Return the text as a priority.

    Raises:
        ConfigurationError: it is not a priority.
    """
    for known in PRIORITIES:
        if priority == known:
            return known
    raise ConfigurationError(f"unknown priority {priority!r}; use one of {', '.join(PRIORITIES)}")


def dump_json(value: Any, what: str) -> str:
    """Return the value as compact JSON with sorted keys, encodable as UTF-8.

    Raises:
        ConfigurationError: it is not JSON; the message calls it `what`.
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
    """Parse stored JSON; raises ValueError if it is not JSON or nested too deeply."""
    try:
        return cast("JSON", json.loads(text))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def other_payload(id_: str) -> ConfigurationError:
    """Return the error for a key that is used again for something else."""
    return ConfigurationError(
        f"the key {id_!r} was used for another payload; use one key for one piece of work"
    )


def digest(text: str) -> str:
    """Return the hash of a payload; it is kept after the payload is deleted."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_job(fields: Mapping[str, Any]) -> Job:
    """Return the job that a store holds as these fields, typed (SQLite) or all text (Redis).

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
    """Return the job, or a dead one in place of a damaged one, so that lists can be read."""
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
    """Return a time, None if there is none (on Redis: "inf")."""
    value = fields.get(name)
    return None if value is None or float(value) == float("inf") else float(value)


def _number(value: Any) -> float | None:
    """Return a finite number, None for anything else."""
    try:
        return float(value) if math.isfinite(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None
