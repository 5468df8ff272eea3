"""Requests and tokens a minute, as two leaky buckets; pure, the store keeps the levels."""

from __future__ import annotations

from dataclasses import dataclass

from llm_optimizers.errors import ConfigurationError

__all__ = ["Bucket", "Rates", "admit", "shape"]

_BURST = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """A queue's limits for all its workers together; None is no limit.

    A tenth of the minute's allowance may go at once; the rest is spread, so that no 60 seconds
    hold more than the limit.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        for limit in (self.requests_per_minute, self.tokens_per_minute):
            if limit is not None and limit < 1:
                raise ConfigurationError(f"a rate of {limit} a minute lets nothing through")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """How much may go at once at the moment `at`; below zero after a job larger than the burst."""

    requests: float
    tokens: float
    at: float


def admit(
    rates: Rates, bucket: Bucket | None, *, tokens: int, now: float
) -> tuple[Bucket, float | None]:
    """Let a job of `tokens` tokens through, or say when to ask again.

    Returns the bucket after it, and None if the job may start or else the time at which it may.
    A job larger than the burst goes when the bucket is full, and is paid off afterwards.
    """
    request_burst, request_rate = shape(rates.requests_per_minute)
    token_burst, token_rate = shape(rates.tokens_per_minute)
    if bucket is None:
        bucket = Bucket(requests=request_burst, tokens=token_burst, at=now)
    passed = max(0.0, now - bucket.at)
    requests = min(request_burst, bucket.requests + passed * request_rate)
    left = min(token_burst, bucket.tokens + passed * token_rate)
    wait = max(
        _wait(1.0, requests, request_rate) if rates.requests_per_minute else 0.0,
        _wait(min(tokens, token_burst), left, token_rate) if rates.tokens_per_minute else 0.0,
    )
    if wait > 0:
        return Bucket(requests=requests, tokens=left, at=now), now + wait
    return Bucket(requests=requests - 1, tokens=left - tokens, at=now), None


def shape(limit: int | None) -> tuple[float, float]:
    """What may go at once, and what is added a second; zeros for no limit."""
    if limit is None:
        return 0.0, 0.0
    burst = max(1.0, limit * _BURST)
    # A limit of one leaves nothing to spread: it is earned anew in a minute.
    return burst, max(limit - burst, 1.0) / 60


def _wait(needed: float, level: float, rate: float) -> float:
    # Seconds since the epoch are exact to a fraction of a microsecond only.
    return 0.0 if level >= needed - 1e-3 else (needed - level) / rate
