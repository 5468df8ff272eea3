"""How long a model that failed is passed over."""

from __future__ import annotations

import pytest

from llm_optimizers.routing.health import Health

NOW = 1_000.0


def test_a_failed_model_rests_for_the_cooldown_and_then_is_free() -> None:
    health = Health(cooldown_s=10)
    health.failed("small", now=NOW)
    assert health.cooling(now=NOW + 4) == {"small": 6.0}
    assert health.cooling(now=NOW + 10) == {}


def test_without_a_setting_a_model_rests_for_half_a_minute() -> None:
    health = Health()
    health.failed("small", now=NOW)
    assert health.cooling(now=NOW) == {"small": 30.0}


def test_a_later_failure_does_not_shorten_the_rest_that_the_provider_asked_for() -> None:
    health = Health(cooldown_s=10)
    health.failed("small", now=NOW, retry_after_s=60)
    health.failed("small", now=NOW + 1)
    health.failed("small", now=NOW + 2, retry_after_s=3)
    assert health.cooling(now=NOW + 2) == {"small": 58.0}


@pytest.mark.parametrize("seconds", [0.0, 2.5, 60.0])
def test_the_providers_wish_counts_instead_of_the_cooldown(seconds: float) -> None:
    health = Health(cooldown_s=10)
    health.failed("small", now=NOW, retry_after_s=seconds)
    assert health.cooling(now=NOW) == ({"small": seconds} if seconds else {})


def test_an_answer_ends_the_rest_of_its_model_only() -> None:
    health = Health(cooldown_s=10)
    health.served("small")
    for model in ("small", "middle"):
        health.failed(model, now=NOW)
    health.served("small")
    assert health.cooling(now=NOW) == {"middle": 10.0}


def test_a_clock_may_start_at_zero() -> None:
    health = Health()
    health.failed("small", now=0.0, retry_after_s=0.5)
    assert health.cooling(now=0.0) == {"small": 0.5}


def test_a_clock_that_is_set_back_prolongs_no_rest() -> None:
    health = Health(cooldown_s=10)
    health.failed("small", now=NOW)
    assert health.cooling(now=NOW - 3_600) == {"small": 10.0}
    assert health.cooling(now=NOW - 3_590) == {}
    health.failed("small", now=NOW - 3_590)
    assert health.cooling(now=NOW - 3_586) == {"small": 6.0}
