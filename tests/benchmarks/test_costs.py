"""The ledger's benchmark: its records, what it counts as lost, a small run of each section."""

from __future__ import annotations

import argparse
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from costs import measures
from costs.load import THREADS, Counts, Load, through_ledger, under_load
from costs.records import PER_RUN, PER_SESSION, records
from harness import Run


@pytest.fixture
def run():
    options = argparse.Namespace(records=1_000, runs=1)
    return Run(options=options, seed=1, section="s", shared={})


def test_records_are_as_the_docstring_says():
    made = list(records(10_000))
    assert len({record.id for record in made}) == 10_000
    assert [record.time for record in made] == sorted(record.time for record in made)
    assert Counter(record.id[14] for record in made).keys() == {"4", "7"}
    sessions = Counter(record.tags["session"] for record in made)
    runs = Counter(record.tags["run"] for record in made)
    assert set(sessions.values()) == {PER_SESSION}
    assert set(runs.values()) == {PER_RUN}
    assert runs.keys() <= {record.id for record in made}
    assert 0.28 < sum(record.hit for record in made) / 10_000 < 0.32
    assert len({record.baseline_model for record in made}) == 5
    assert {record.tags["feature"] for record in records(100, feature="own")} == {"own"}
    assert [record.id for record in records(50)] == [record.id for record in records(50)]


def test_what_is_lost_is_counted_apart_from_what_a_kill_loses():
    load = Load(recorded=(10, 10, 9), found=(10, 8, 3), killed=2, wal_mb=0.0, seconds=1.0)
    assert (load.lost, load.lost_to_kill) == (2, 6)
    whole = Load(recorded=(10, 10), found=(10, 9), killed=None, wal_mb=0.0, seconds=1.0)
    assert (whole.lost, whole.lost_to_kill) == (1, 0)


def test_counts_are_read_from_another_mapping_of_the_file(tmp_path: Path):
    first = Counts.create(tmp_path / "counts")
    second = Counts(tmp_path / "counts")
    for thread in range(THREADS):
        first.put(thread, thread)
    assert second.total == sum(range(THREADS))


def test_processes_under_load_lose_nothing_but_what_a_kill_takes():
    found = under_load(through_ledger, 100, kill=True)
    assert found.lost == 0
    assert found.recorded[:3] == (100 * THREADS,) * 3
    assert 0 <= found.lost_to_kill <= 1_000
    assert 0 < found.wal_mb <= 64


@pytest.mark.parametrize(
    ("section", "claimed"),
    [
        (measures.record_time, {"record_us"}),
        (measures.files, {"ledger_1m_mb", "report_1m_seconds"}),
    ],
    ids=["record", "file"],
)
def test_a_small_run_has_all_rows_and_makes_no_claims(section, claimed, run):
    rows = {row.name: row for row in section(run)}
    assert claimed <= rows.keys()
    assert all(row.value > 0 for row in rows.values())
    assert not any(row.target for row in rows.values())


def test_a_full_run_makes_the_claims(run, monkeypatch):
    monkeypatch.setattr(measures, "ALL", 1_000)
    monkeypatch.setattr(measures, "TIMED", 1_000)
    targets = {row.name: row.target for row in measures.record_time(run)}
    assert targets["record_us"] == "<= 50"


def test_a_report_that_misses_records_stops_the_benchmark(monkeypatch):
    shown = SimpleNamespace(stdout='{"requests": 10}')
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: shown)
    measures.reported(Path("ledger.sqlite"), 10)
    with pytest.raises(AssertionError, match="10 of 11 records"):
        measures.reported(Path("ledger.sqlite"), 11)
