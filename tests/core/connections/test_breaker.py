"""The circuit breaker: closed, open, half-open."""

from __future__ import annotations

import pytest

from llm_optimizers.connections.breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock, first_pause=1.0, longest_pause=8.0)


def test_it_is_closed_until_a_failure(breaker: CircuitBreaker) -> None:
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.allow()


def test_it_opens_on_a_failure_and_lets_one_call_through_after_the_pause(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.failed()
    assert breaker.state == "open"
    assert not breaker.allow()
    clock.now += 1.0
    assert breaker.state == "half-open"
    assert [breaker.allow() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.allow()


def test_the_pause_doubles_up_to_the_longest_and_starts_over_after_a_success(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for pause in (1, 2, 4, 8, 8):
        breaker.failed()
        clock.now += pause - 0.01
        assert not breaker.allow()
        clock.now += 0.01
        assert breaker.allow()
    breaker.succeeded()
    breaker.failed()
    clock.now += 1.0
    assert breaker.allow()


def test_by_default_pauses_last_from_a_second_to_a_minute(clock: Clock) -> None:
    breaker = CircuitBreaker(clock)
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        breaker.failed()
        clock.now += pause - 0.01
        assert breaker.state == "open"
        clock.now += 0.01
        assert breaker.state == "half-open"


def test_after_a_call_without_a_reported_outcome_another_goes_through(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.failed()
    clock.now += 1.0
    assert breaker.allow()
    clock.now += 1.0
    assert breaker.allow()


def test_a_clock_set_back_does_not_prolong_the_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.failed()
    clock.now -= 3_600.0
    assert breaker.allow()
