"""The drift alarm: raised for shifted scores only."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence import DriftAlarm, quantile_edges


def test_edges_are_deciles():
    assert quantile_edges(range(11)) == pytest.approx(range(1, 10))
    assert quantile_edges([3.0]) == (3.0,) * 9
    values = np.random.default_rng(0).normal(size=777)
    deciles = np.quantile(values, np.linspace(0.0, 1.0, 11)[1:-1])
    assert quantile_edges(values) == tuple(deciles.tolist())


def test_drift_is_reported_once_a_window():
    rng = np.random.default_rng(0)
    alarm = DriftAlarm(quantile_edges(rng.normal(size=5_000)), window=200)
    usual = [alarm.observe(float(x)) for x in rng.normal(size=1_000)]
    assert usual == [None] * 1_000
    moved = [alarm.observe(float(x)) for x in rng.normal(1.5, 1, size=400)]
    assert sum(index is not None for index in moved) == 2


def test_the_index_is_the_population_stability_index():
    alarm = DriftAlarm((0.5,), window=10, limit=0.0)
    for score in [0.0] * 8 + [1.0]:
        assert alarm.observe(score) is None
    expected = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert alarm.observe(1.0) == pytest.approx(expected)


def test_an_empty_bin_counts_as_half_a_score():
    alarm = DriftAlarm((0.5,), window=10)
    found = [alarm.observe(0.0) for _ in range(10)]
    expected = 0.5 * math.log(1.0 / 0.5) + (0.05 - 0.5) * math.log(0.05 / 0.5)
    assert found[-1] == pytest.approx(expected)


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_scores_with_few_distinct_values_are_no_drift(levels):
    rng = np.random.default_rng(levels)
    alarm = DriftAlarm(quantile_edges(rng.integers(0, levels, 5_000)), window=500)
    assert not any(alarm.observe(float(x)) for x in rng.integers(0, levels, 5_000))


def test_a_shift_among_few_distinct_values_is_drift():
    rng = np.random.default_rng(0)
    alarm = DriftAlarm(quantile_edges(rng.integers(0, 3, 5_000)), window=500)
    assert any(alarm.observe(float(x)) for x in rng.integers(1, 4, 500))


def test_the_alarm_respects_its_limit():
    scores = [1.0] * 100
    edges = quantile_edges(range(10))
    strict, lax = DriftAlarm(edges, window=100), DriftAlarm(edges, window=100, limit=1e9)
    assert [strict.observe(x) for x in scores][-1] > 0.25
    assert not any(lax.observe(x) for x in scores)


def test_threads_count_every_score_once():
    alarm = DriftAlarm(quantile_edges(range(10)), window=100, limit=0.0)
    found = []

    def watch() -> None:
        found.extend(x for x in (alarm.observe(9.0) for _ in range(250)) if x is not None)

    threads = [threading.Thread(target=watch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert len(set(found)) == 1


def test_a_window_below_one_is_rejected():
    with pytest.raises(ConfigurationError, match="window"):
        DriftAlarm((0.5,), window=0)


def test_a_window_of_one_compares_every_score():
    alarm = DriftAlarm((0.5,), window=1, limit=0.0)
    assert alarm.observe(0.0) is not None
    assert alarm.observe(1.0) is not None


def test_without_settings_five_hundred_scores_are_compared_with_a_limit_of_a_quarter():
    alarm = DriftAlarm((0.5,))
    found = [alarm.observe(float(number % 100 < 25)) for number in range(1_000)]
    assert found[:499] == [None] * 499
    # A quarter against three quarters: 0.25 * ln 3 is 0.2747.
    assert found[499] == pytest.approx(0.25 * math.log(3))
    assert found[500:999] == [None] * 499
    mild = DriftAlarm((0.5,))
    assert not any(mild.observe(float(number % 100 < 27)) for number in range(500))


def test_an_index_at_the_limit_raises_no_alarm():
    alarm = DriftAlarm((0.5,), window=2, limit=0.0)
    assert [alarm.observe(0.0), alarm.observe(1.0)] == [None, None]
