"""Jobs and queue statistics as values, and their JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeGuard, cast, get_args

from llm_optimizers.arguments import number, one_of, optional, refuse, string, text, whole
from llm_optimizers.costs.records import JSON
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.lazy import renamed_attributes

__all__ = [
    "MOST_TOKENS",
    "PRIORITIES",
    "STATES",
    "AttemptOutcome",
    "Claim",
    "Job",
    "JobState",
    "Priority",
    "QueueStats",
    "Times",
    "check_key",
    "digest",
    "dump_json",
    "load_json",
    "other_payload",
]

Priority: TypeAlias = Literal["high", "medium", "low"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
JobState: TypeAlias = Literal["waiting", "running", "done", "dead", "expired"]
"""`dead` jobs failed permanently and can be replayed; `expired` ones were not started in time."""
STATES: tuple[JobState, ...] = get_args(JobState)

MOST_TOKENS = 2**53 - 1
"""What Redis and SQLite both count without rounding."""


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

    def __post_init__(self) -> None:
        if self._is_plain():
            return
        check_key("id", self.id)
        check_key("queue", self.queue)
        one_of("priority", self.priority, PRIORITIES)
        one_of("state", self.state, STATES)
        whole("tokens", self.tokens, least=0, most=MOST_TOKENS)
        whole("attempts", self.attempts, least=0)
        number("submitted_at", self.submitted_at)
        number("not_before", self.not_before)
        for name in ("expires_at", "started_at", "finished_at"):
            optional(number, name, getattr(self, name))
        optional(string, "error", self.error)
        optional(string, "error_kind", self.error_kind)

    def _is_plain(self) -> bool:
        """Whether nothing needs a closer look; made several times for every job, so it is quick."""
        times = (self.expires_at, self.started_at, self.finished_at)
        return (
            type(self.id) is type(self.queue) is str
            and self.id.isalnum()
            and self.queue.isalnum()
            and (self.id + self.queue).isascii()
            and self.priority in PRIORITIES
            and self.state in STATES
            and type(self.tokens) is type(self.attempts) is int
            and 0 <= self.tokens <= MOST_TOKENS
            and self.attempts >= 0
            and type(self.submitted_at) is type(self.not_before) is float
            and math.isfinite(self.submitted_at + self.not_before)
            and all(each is None or (type(each) is float and math.isfinite(each)) for each in times)
        )

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
        oldest: Any,
        latest: Sequence[Sequence[Any]],
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

        What is stored as a time and is none is left out.
        """
        sound = [row for row in latest if len(row) == 3 and all(map(_is_finite, row))]
        return cls(
            queue=queue,
            waiting={priority: waiting.get(priority, 0) for priority in PRIORITIES},
            running=states.get("running", 0),
            done=states.get("done", 0),
            dead=states.get("dead", 0),
            expired=states.get("expired", 0),
            oldest_waiting_s=max(0.0, now - oldest) if _is_finite(oldest) else None,
            waited=Times.of([started - submitted for submitted, started, _ in sound]),
            ran=Times.of([finished - started for _, started, finished in sound]),
        )

    @property
    def depth(self) -> int:
        """Jobs waiting, of all priorities."""
        return sum(self.waiting.values())


def check_key(name: str, value: object) -> str:
    """Check a text that every store can keep: one with bytes."""
    given = text(name, value)
    try:
        given.encode()
    except UnicodeEncodeError:
        refuse(name, value, "a text without half a surrogate pair, such as a cut emoji")
    return given


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


def _is_finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
