"""When a failed attempt is repeated, and when it is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.batching.queue.job import Job, Priority
from llm_optimizers.batching.queue.rules import (
    Bucket,
    QueueRules,
    Rates,
    RetryPolicy,
    admit,
    after_failure,
    burst_and_rate,
    priority_key,
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


@pytest.mark.parametrize(
    ("code", "state"), [("insufficient_quota", "dead"), ("rate_limit_exceeded", "waiting")]
)
def test_a_used_up_quota_is_not_waited_for(code: str, state: str) -> None:
    error = HTTPError(429, {"retry-after": "1"})
    error.code = code  # type: ignore[attr-defined]
    assert after_failure(job(1), error, RetryPolicy(), now=NOW, rng=RNG).state == state


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


class FixedRandom(random.Random):
    """Draws the same number each time."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self._value = value

    def random(self) -> float:
        return self._value


def test_a_wait_is_shortened_by_up_to_a_quarter() -> None:
    policy = RetryPolicy(base=8, cap=100)
    error = OSError()
    assert policy.pause(1, error, now=NOW, rng=FixedRandom(0.0)) == 8
    assert policy.pause(1, error, now=NOW, rng=FixedRandom(0.5)) == 7
    assert policy.pause(1, error, now=NOW, rng=FixedRandom(1.0)) == 6
    assert policy.pause(3, error, now=NOW, rng=FixedRandom(0.0)) == 32
    assert policy.pause(5, error, now=NOW, rng=FixedRandom(0.0)) == 100


def test_without_a_base_and_without_retry_after_there_is_no_wait() -> None:
    policy = RetryPolicy(max_attempts=1, base=0, cap=0)
    assert policy.pause(4, OSError(), now=NOW, rng=FixedRandom(0.0)) == 0.0


def test_a_retry_after_date_counts_from_the_time_of_the_failure() -> None:
    error = HTTPError(429, {"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"})
    outcome = after_failure(job(1), error, RetryPolicy(), now=NOW, rng=RNG)
    assert outcome.not_before == NOW + 60


def test_the_wait_starts_at_the_time_of_the_failure() -> None:
    policy = RetryPolicy(base=2)
    outcome = after_failure(job(2), OSError(), policy, now=NOW, rng=FixedRandom(0.0))
    assert (outcome.state, outcome.not_before) == ("waiting", NOW + 4)


@pytest.mark.parametrize(("attempts", "state"), [(2, "waiting"), (3, "dead"), (4, "dead")])
def test_the_error_is_kept_in_storable_text_whatever_follows(attempts: int, state: str) -> None:
    error = ValueError("lone \ud800 " + "x" * 3_000)
    outcome = after_failure(job(attempts), error, RetryPolicy(max_attempts=3), now=NOW, rng=RNG)
    assert (outcome.state, outcome.error_kind) == (state, "ValueError")
    assert outcome.error == "lone ? " + "x" * 1_993


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Rates(requests_per_minute=0),
        lambda: Rates(requests_per_minute=5, tokens_per_minute=-1),
        lambda: RetryPolicy(base=-0.5),
        lambda: RetryPolicy(cap=-0.5),
        lambda: QueueRules(aging=0),
        lambda: QueueRules(lease=0),
    ],
)
def test_settings_with_which_no_job_would_start_are_refused(bad: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        bad()


def test_the_smallest_settings_that_work_are_accepted() -> None:
    Rates(requests_per_minute=1, tokens_per_minute=1)
    RetryPolicy(max_attempts=1, base=0, cap=0)
    QueueRules(aging=0.5, lease=0.5)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("medium", 0), ("medium", 1)),
        (("high", 59), ("medium", 0)),
        (("medium", 0), ("high", 61)),
        (("high", 119), ("low", 0)),
        (("low", 0), ("high", 121)),
        (("medium", 59), ("low", 0)),
    ],
)
def test_a_job_overtakes_newer_ones_of_each_higher_priority_after_the_aging_time(
    first: tuple[Priority, int], second: tuple[Priority, int]
) -> None:
    keys = [
        priority_key(
            Job(id="a", queue="q", payload=None, submitted_at=NOW + at, priority=priority), 60.0
        )
        for priority, at in (first, second)
    ]
    assert keys[0] < keys[1]


def starts(rates: Rates, jobs: Sequence[int]) -> list[float]:
    """When jobs of these numbers of tokens start that all wait from `NOW`, each after the last."""
    bucket: Bucket | None = None
    now, started = NOW, []
    for tokens in jobs:
        bucket, wait = admit(rates, bucket, tokens=tokens, now=now)
        if wait is not None:
            now = wait
            bucket, wait = admit(rates, bucket, tokens=tokens, now=now)
        assert wait is None
        started.append(now - NOW)
    return started


@pytest.mark.parametrize(
    ("rates", "jobs", "expected"),
    [
        # A tenth of the minute's 60 starts at once, the other 54 are spread over the minute.
        (Rates(requests_per_minute=60), [500] * 9, [0] * 6 + [60 / 54, 120 / 54, 180 / 54]),
        (Rates(tokens_per_minute=600), [20] * 5, [0, 0, 0, 120 / 54, 240 / 54]),
        # A job larger than the burst starts with a full bucket; the next one waits for its tokens.
        (Rates(tokens_per_minute=100), [25, 10], [0, 25 / 1.5]),
        (Rates(tokens_per_minute=100), [4, 25, 10], [0, 4 / 1.5, 29 / 1.5]),
        # Of two limits the stricter one decides.
        (Rates(requests_per_minute=10, tokens_per_minute=100), [1, 1], [0, 60 / 9]),
        (Rates(requests_per_minute=60, tokens_per_minute=100), [10, 10], [0, 10 / 1.5]),
        # At least one job starts at once.
        (Rates(requests_per_minute=5), [0, 0, 0], [0, 15, 30]),
        (Rates(requests_per_minute=1), [0, 0, 0], [0, 60, 120]),
        (Rates(tokens_per_minute=1), [1, 1], [0, 60]),
        (Rates(), [10**9] * 3, [0, 0, 0]),
    ],
)
def test_a_tenth_starts_at_once_and_the_rest_is_spread_over_the_minute(
    rates: Rates, jobs: list[int], expected: list[float]
) -> None:
    assert starts(rates, jobs) == pytest.approx(expected, abs=1e-5)


def test_asking_again_too_early_does_not_change_when_a_job_may_start() -> None:
    rates = Rates(requests_per_minute=10, tokens_per_minute=100)
    bucket, _ = admit(rates, None, tokens=10, now=NOW)
    times = []
    for seconds in (0.0, 1.0, 1.0, 4.0, 6.5):
        bucket, wait = admit(rates, bucket, tokens=10, now=NOW + seconds)
        times.append(wait)
    assert times == pytest.approx([NOW + 60 / 9] * 5, abs=1e-5)


def test_a_job_does_not_start_a_hundredth_of_a_second_early() -> None:
    rates = Rates(requests_per_minute=60)
    bucket = Bucket(requests=0.0, tokens=0.0, at=NOW)
    _, wait = admit(rates, bucket, tokens=0, now=NOW + 60 / 54 - 0.01)
    assert wait == pytest.approx(NOW + 60 / 54, abs=1e-5)
    _, wait = admit(rates, bucket, tokens=0, now=NOW + 60 / 54 - 1e-5)
    assert wait is None


def test_a_bucket_without_a_limit_has_neither_capacity_nor_rate() -> None:
    assert burst_and_rate(None) == (0.0, 0.0)
