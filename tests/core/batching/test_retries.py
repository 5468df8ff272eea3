"""When a failed attempt is repeated, and when it is not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.batching.queue.job import Job
from llm_optimizers.batching.queue.rules import (
    Bucket,
    Rates,
    RetryPolicy,
    admit,
    after_failure,
)
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.failures import retry_after

NOW = 1_800_000_000.0
RNG = random.Random(0)


class HTTPError(Exception):
    def __init__(self, status: int, headers: object = None) -> None:
        self.status_code = status
        self.response = type("Response", (), {"headers": headers})()


def job(attempts: int) -> Job:
    return Job(id="a", queue="q", payload=None, submitted_at=NOW, attempts=attempts)


def test_waits_grow_to_the_cap_and_the_last_attempt_ends_dead() -> None:
    policy = RetryPolicy(max_attempts=9, base=1, cap=10)
    waits = [
        after_failure(job(n), OSError(), policy, now=NOW, rng=RNG).not_before - NOW
        for n in range(1, 9)
    ]
    for wait, expected in zip(waits, [1, 2, 4, 8, 10, 10, 10, 10], strict=True):
        assert expected * 0.75 <= wait <= expected
    assert len(set(waits[4:])) == 4, "jobs that failed together must not be retried together"
    assert after_failure(job(9), OSError("x"), policy, now=NOW, rng=RNG).state == "dead"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_permanent_errors_are_not_retried(status: int) -> None:
    outcome = after_failure(job(1), HTTPError(status), RetryPolicy(), now=NOW, rng=RNG)
    assert (outcome.state, outcome.error_kind) == ("dead", "HTTPError")


def test_a_status_is_read_where_google_puts_it() -> None:
    error = OSError("bad request")
    error.code = 400  # type: ignore[attr-defined]
    assert after_failure(job(1), error, RetryPolicy(), now=NOW, rng=RNG).state == "dead"
    error.code = "invalid_request"  # type: ignore[attr-defined]
    assert after_failure(job(1), error, RetryPolicy(), now=NOW, rng=RNG).state == "waiting"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_passing_errors_are_retried(status: int) -> None:
    outcome = after_failure(job(1), HTTPError(status), RetryPolicy(), now=NOW, rng=RNG)
    assert outcome.state == "waiting"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}, 60),
        ({"retry-after": "Fri, 15 Jan 2020 08:01:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"Retry-After": "3"}, 3),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3),
        ({}, None),
        (None, None),
    ],
)
def test_retry_after_is_read(headers: object, seconds: float | None) -> None:
    assert retry_after(HTTPError(429, headers), now=NOW) == seconds


@pytest.mark.parametrize(("attempt", "least"), [(1, 5), (4, 6)])
def test_the_longer_of_retry_after_and_backoff_is_used(attempt: int, least: float) -> None:
    error = HTTPError(429, {"retry-after": "5"})
    outcome = after_failure(job(attempt), error, RetryPolicy(base=1), now=NOW, rng=RNG)
    assert outcome.not_before >= NOW + least


def test_invalid_policies_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(max_attempts=0)
    with pytest.raises(ConfigurationError):
        Rates(tokens_per_minute=0)


@given(
    limit=st.integers(1, 300),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_no_minute_holds_more_requests_than_the_limit(limit: int, gaps: list[float]) -> None:
    bucket: Bucket | None = None
    now = 0.0
    started: list[float] = []
    for gap in gaps:
        now += gap
        bucket, wait = admit(Rates(requests_per_minute=limit), bucket, tokens=0, now=now)
        if wait is None:
            started.append(now)
        else:
            assert wait > now
    for first in started:
        assert sum(1 for at in started if first <= at < first + 59.9) <= limit


@pytest.mark.parametrize(
    "rates",
    [Rates(requests_per_minute=100), Rates(tokens_per_minute=1_000)],
    ids=["calls", "tokens"],
)
def test_an_idle_hour_saves_up_no_more_than_the_burst(rates: Rates) -> None:
    bucket, _ = admit(rates, None, tokens=10, now=NOW)
    started, wait = 0, None
    while wait is None:
        bucket, wait = admit(rates, bucket, tokens=10, now=NOW + 3_600)
        started += wait is None
    assert started == 10


def test_a_clock_set_back_does_not_stop_the_refill() -> None:
    rates = Rates(requests_per_minute=1)
    bucket, wait = admit(rates, None, tokens=0, now=NOW)
    assert wait is None
    bucket, wait = admit(rates, bucket, tokens=0, now=NOW - 3_600)
    assert wait == NOW - 3_540
    _, wait = admit(rates, bucket, tokens=0, now=NOW - 3_540)
    assert wait is None


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=30))
def test_every_job_may_start_at_the_time_that_was_returned(tokens: list[int]) -> None:
    rates = Rates(requests_per_minute=100, tokens_per_minute=10_000)
    bucket: Bucket | None = None
    now = 0.0
    for needed in tokens:
        bucket, wait = admit(rates, bucket, tokens=needed, now=now)
        if wait is not None:
            now = wait
            bucket, wait = admit(rates, bucket, tokens=needed, now=now)
            assert wait is None
    assert now <= 60 * (len(tokens) / 90 + sum(tokens) / 9_000) + 1
