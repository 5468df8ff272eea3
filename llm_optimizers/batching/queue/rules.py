"""The rules of a queue as pure decisions; stores and workers carry them out.

`priority_key`: which job is next. `admit`: whether the rates let it through. `after_failure`:
again later, or dead.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from llm_optimizers.arguments import instance, number, optional, whole
from llm_optimizers.batching.queue.job import PRIORITIES, AttemptOutcome, Job
from llm_optimizers.failures import is_permanent, retry_after
from llm_optimizers.secrets import redacted

__all__ = [
    "LONGEST_PAUSE",
    "Bucket",
    "QueueRules",
    "Rates",
    "RetryPolicy",
    "admit",
    "after_failure",
    "burst_and_rate",
    "priority_key",
    "too_large",
]

LONGEST_PAUSE = 366 * 86_400.0
"""Seconds; a job that is to wait longer for its next attempt is damaged."""

_BURST = 0.1
_MOST_DOUBLINGS = 60  # more would overflow, and any cap is reached
_MOST = 10**12  # more than anything has, and exact in every store
_LONGEST_S = 10 * 365 * 86_400.0
_LONGEST_ERROR = 2_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """A queue's limits for all its workers together; None is no limit.

    A tenth of a minute's allowance may start at once; the rest is spread over the minute, so that
    no 60 seconds hold more than the limit.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        optional(whole, "requests_per_minute", self.requests_per_minute, least=1, most=_MOST)
        optional(whole, "tokens_per_minute", self.tokens_per_minute, least=1, most=_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """At most `max_attempts` starts; the nth wait is `base` · 2ⁿ⁻¹ seconds, at most `cap`.

    Each wait is shortened at random by up to a quarter, so that jobs that failed together are not
    retried together. The provider's Retry-After is used where it is longer.
    """

    max_attempts: int = 5
    base: float = 1.0
    cap: float = 60.0

    def __post_init__(self) -> None:
        whole("max_attempts", self.max_attempts, least=1, most=_MOST)
        number("base", self.base, least=0, most=LONGEST_PAUSE)
        number("cap", self.cap, least=0, most=LONGEST_PAUSE)

    def pause(self, attempt: int, error: BaseException, *, now: float, rng: random.Random) -> float:
        """Return the seconds to wait after attempt number `attempt` (from 1) failed."""
        doublings = min(attempt - 1, _MOST_DOUBLINGS)
        wait: float = min(self.cap, self.base * 2.0**doublings) * (1 - rng.random() / 4)
        return max(wait, retry_after(error, now=now) or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRules:
    """The rules of all workers of a queue.

    A job that its worker did not renew for `lease` seconds is taken over by another. After `aging`
    seconds a job overtakes newer ones of the next higher priority. Finished jobs, and so their
    idempotency keys, are kept for `keep` seconds.
    """

    rates: Rates = field(default_factory=Rates)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    aging: float = 60.0
    lease: float = 30.0
    keep: float = 7 * 86_400.0

    def __post_init__(self) -> None:
        instance("retries", self.retries, RetryPolicy)
        number("aging", self.aging, above=0, most=_LONGEST_S)
        number("lease", self.lease, least=0.01, most=_LONGEST_S)
        number("keep", self.keep, least=0, most=_LONGEST_S)


def priority_key(job: Job, aging: float) -> float:
    """Return a job's sort key (a time in seconds); the smallest is started first.

    A job goes before every job of the next lower priority that was submitted less than `aging`
    seconds earlier, and after older ones, so that none waits forever.
    """
    return job.submitted_at + PRIORITIES.index(job.priority) * aging


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Token bucket: how much may start at the time `at`; negative after a job above the burst."""

    requests: float
    tokens: float
    at: float


def admit(
    rates: Rates, bucket: Bucket | None, *, tokens: int, now: float
) -> tuple[Bucket | None, float | None]:
    """Decide whether a job of `tokens` tokens may start now.

    Returns the bucket afterwards, and None if the job may start or else the time at which it may.
    A job larger than the burst starts when the bucket is full and leaves it negative.
    """
    if rates.requests_per_minute is None and rates.tokens_per_minute is None:
        return bucket, None
    request_burst, request_rate = burst_and_rate(rates.requests_per_minute)
    token_burst, token_rate = burst_and_rate(rates.tokens_per_minute)
    if bucket is None:
        bucket = Bucket(requests=request_burst, tokens=token_burst, at=now)
    # If the clock was set back, the bucket's time lies in the future: it fills from now on.
    passed = max(0.0, now - bucket.at)
    requests = _filled(bucket.requests, rates.requests_per_minute, passed)
    left = _filled(bucket.tokens, rates.tokens_per_minute, passed)
    wait = max(
        _wait(1.0, requests, request_rate) if rates.requests_per_minute else 0.0,
        _wait(min(tokens, token_burst), left, token_rate) if rates.tokens_per_minute else 0.0,
    )
    if wait > 0:
        return Bucket(requests=requests, tokens=left, at=now), now + wait
    return Bucket(requests=requests - 1, tokens=left - tokens, at=now), None


def burst_and_rate(limit: int | None) -> tuple[float, float]:
    """Return a bucket's capacity and what is added per second; zeros for no limit."""
    if limit is None:
        return 0.0, 0.0
    burst = max(1.0, limit * _BURST)
    # A limit of 1 leaves nothing to spread: the bucket fills again within a minute.
    return burst, max(limit - burst, 1.0) / 60


def too_large(rates: Rates, tokens: int) -> str | None:
    """Say why a job can never be done within the rates; None if it can."""
    most = rates.tokens_per_minute
    if most is None or tokens <= most:
        return None
    return f"it needs {tokens} tokens and the queue lets {most} a minute start"


def _filled(level: float, limit: int | None, passed: float) -> float:
    """Return a bucket's level after so many seconds.

    No job takes more than a minute's allowance, so a level far below is damaged; it would hold the
    queue back for as long.
    """
    burst, rate = burst_and_rate(limit)
    return min(burst, max(level, -float(limit or 0)) + passed * rate)


def _wait(needed: float, level: float, rate: float) -> float:
    # Seconds since the epoch are exact to a fraction of a microsecond only.
    return 0.0 if level >= needed - 1e-3 else (needed - level) / rate


def after_failure(
    job: Job, error: BaseException, policy: RetryPolicy, *, now: float, rng: random.Random
) -> AttemptOutcome:
    """Decide what follows a failed attempt.

    The error's text is kept with the job, without secrets, and never logged.
    """
    text = _text_of(error)
    kind = type(error).__name__
    if is_permanent(error) or job.attempts >= policy.max_attempts:
        return AttemptOutcome(state="dead", error=text, error_kind=kind)
    pause = policy.pause(job.attempts, error, now=now, rng=rng)
    return AttemptOutcome(state="waiting", error=text, error_kind=kind, not_before=now + pause)


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as unreadable:  # noqa: BLE001 - it is the user's own code
        text = f"its text cannot be read ({type(unreadable).__name__})"
    # Redacted before it is cut, or half a key would stay. A lone surrogate cannot be stored.
    text = redacted(text[: 2 * _LONGEST_ERROR])[:_LONGEST_ERROR]
    return text.encode(errors="replace").decode()
