"""The totals by hour: equal to adding up the records, whatever was written, changed or deleted."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import CallRecord, Ledger, Saving, Summary, Usage, summarise
from llm_optimizers.costs.ledger.sqlite import SQLiteLedgerStore

AT = datetime(2026, 3, 29, tzinfo=UTC)  # the day of daylight saving time in Europe
HOUR = 3_600_000_000
ALWAYS = 2**63 - 1
AMOUNTS = st.none() | st.decimals(0, 1_000, places=9)
TIMES = st.integers(-3 * 3_600, 3 * 3_600).map(lambda s: AT + timedelta(seconds=s)) | st.datetimes(
    AT.replace(year=1900, tzinfo=None), AT.replace(year=2100, tzinfo=None), timezones=st.just(UTC)
)
TAGS = st.dictionaries(
    st.sampled_from(["user", "feature", "run", "subrun", "step", "", "#", "model", "\ud800"]),
    st.sampled_from(["a", "b", "", "1", "\ud800", "\x00", "[1]"]),
)
BUCKETS = st.none() | st.tuples(st.booleans(), st.integers(0, 39))


@st.composite
def call_records(draw: Any) -> CallRecord:
    hit = draw(st.booleans())
    baseline, bucket = draw(AMOUNTS), draw(BUCKETS)
    strategies = draw(st.lists(st.sampled_from(["routing", "cache.exact", "prompts"]), unique=True))
    return CallRecord(
        id=draw(st.sampled_from("12345")),
        time=draw(TIMES),
        model=draw(st.sampled_from(["gpt-4o", "openai:gpt-4o", "1", "m\ud800"])),
        usage=Usage(input_tokens=draw(st.integers(0, 2**63 - 1)), output_tokens=1),
        cost=draw(AMOUNTS),
        baseline_model="gpt-4o",
        baseline_cost=baseline,
        baseline_low=draw(AMOUNTS),
        baseline_usage=draw(st.sampled_from([None, Usage(), Usage(input_tokens=5)])),
        hit_strategy="cache.exact" if hit else None,
        savings=tuple(
            Saving(
                strategy=name,
                amount=draw(st.decimals(-10, 10, places=9)),
                basis=draw(st.sampled_from(["measured", "estimated"])),
            )
            for name in strategies
        ),
        tags=draw(TAGS),
        latency_s=draw(st.sampled_from([None, 1.5])),
        status=draw(st.sampled_from(["ok", "error", "abandoned"])),
        estimated=draw(st.booleans()),
        priced_by=draw(st.sampled_from([None, "list", "own", "provider"])),
        unpriced=draw(st.sampled_from([None, "no price for web searches"])),
        at_least=draw(AMOUNTS),
        suspicious=draw(st.booleans()),
        held_out=None if bucket is None else bucket[0],
        bucket=None if bucket is None else bucket[1],
        kind=draw(st.sampled_from(["answer", "embedding"])),
    )


@contextmanager
def memory() -> Iterator[SQLiteLedgerStore]:
    with closing(SQLiteLedgerStore(None, wait=1)) as store:
        yield store


def record(name: str = "1", **changes: Any) -> CallRecord:
    fields: dict[str, Any] = {
        "id": name,
        "time": AT,
        "model": "m",
        "usage": Usage(input_tokens=1),
        "cost": Decimal("0.1"),
        "baseline_model": "m",
        "baseline_cost": Decimal(1),
        "tags": {"user": "u"},
    }
    return CallRecord(**{**fields, **changes})


def stored(store: SQLiteLedgerStore, since: int = -ALWAYS, until: int = ALWAYS) -> list[Any]:
    return list(store.calls(0, since=since, until=until, most=10_000))


def added_up(store: SQLiteLedgerStore, since: int = -ALWAYS, until: int = ALWAYS) -> Summary:
    """Return the summary of all rows, one by one."""
    rows = stored(store, since, until)
    summary = summarise([row.value for row in rows if row.value is not None])
    return replace(summary, damaged=sum(row.damaged for row in rows))


def kept(store: SQLiteLedgerStore, since: int = -ALWAYS, until: int = ALWAYS) -> Summary:
    return store.totals(since=since, until=until).summary()


@given(st.lists(st.lists(call_records(), max_size=3), max_size=3), st.lists(TIMES, max_size=2))
def test_a_summary_of_any_period_equals_adding_up(
    groups: list[list[CallRecord]], period: list[datetime]
) -> None:
    since, until = sorted(map(micros, period)) if len(period) == 2 else [-ALWAYS, ALWAYS]
    with memory() as store:
        for group in groups:
            store.write(group, wait=1)
        for row in stored(store):
            given = [each for group in groups for each in group if each.id == row.value.id]
            assert row.value.savings in [each.savings for each in given]
        assert kept(store) == added_up(store)
        assert kept(store, since, until) == added_up(store, since, until)
        assert store.check(repair=False) == [], "every hour has its totals"


def test_an_id_that_is_stored_counts_once_and_a_fuller_hit_replaces_it() -> None:
    with memory() as store:
        hit = record(hit_strategy="cache.exact", usage=Usage(), cost=Decimal(0))
        later = replace(hit, latency_s=1.0, time=AT + timedelta(hours=1), tags={"user": "v"})
        store.write([hit, hit], wait=1)
        store.write([later, record()], wait=1)
        found = kept(store)
        assert (found.requests, list(found.by_tag["user"])) == (1, ["v"])
        assert (found.first, found.last) == (later.time, later.time)
        assert found == added_up(store)


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


CHANGES = {
    "a cost": "UPDATE calls SET cost = '7' WHERE id = '2'",
    "a time": f"UPDATE calls SET time = time + {HOUR} WHERE id = '2'",
    "a time to none": "UPDATE calls SET time = 'yesterday' WHERE id = '2'",
    "a model by its text": "UPDATE calls SET model = 'other' WHERE id = '2'",
    "a deleted call": "DELETE FROM calls WHERE id = '2'",
    "all calls deleted": "DELETE FROM calls",
    "a call put again": "REPLACE INTO calls (id, time, model, cost, status) "
    f"VALUES ('2', {micros(AT) + 1}, 'x', 'y', NULL)",
    "a call put in its place": "REPLACE INTO calls (seq, id, time, model, cost) "
    f"VALUES (2, '9', {micros(AT) + 1}, 'x', '4')",
    "another call instead": "BEGIN; DELETE FROM calls WHERE id = '2'; INSERT INTO calls "
    f"(id, time, model) VALUES ('9', {micros(AT) + 1}, 'x'); COMMIT",
    "a new call": f"INSERT INTO calls (id, time, model, cost) VALUES ('9', {micros(AT)}, 'x', '3')",
    "no totals": "DELETE FROM hours",
    "wrong totals": "UPDATE hours SET totals = replace(totals, '0.3', '0.4')",
    "totals of nothing": "UPDATE hours SET totals = '{'",
    "no parts": "DELETE FROM parts",
    "a wrong part": "UPDATE parts SET cost = '99'",
    "a part of nothing": "UPDATE parts SET cost = 'a lot'",
    "no words": "DELETE FROM words",
    "a changed word": "UPDATE words SET text = 'z' WHERE text = 'u'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_totals_follow_what_another_program_does(tmp_path: Path, change: str) -> None:
    path = tmp_path / "l.db"
    with closing(SQLiteLedgerStore(path, wait=1)) as store:
        store.write([record(str(n), time=AT + timedelta(minutes=20 * n)) for n in range(6)], wait=1)
        with closing(sqlite3.connect(path)) as other:
            other.executescript(CHANGES[change])
            other.commit()
        assert kept(store) == added_up(store)
        store.write([record("later"), record("3")], wait=1)
        assert kept(store) == added_up(store)
        store.check(repair=True)
        assert store.check(repair=False) == []
        assert kept(store) == added_up(store)


def test_check_finds_what_a_summary_cannot_see(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with closing(SQLiteLedgerStore(path, wait=1)) as store:
        store.write([record("1"), record("2", time=AT + timedelta(hours=1))], wait=1)
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE parts SET hits = 5 WHERE hour = (SELECT max(hour) FROM parts)")
            other.commit()
        assert store.check(repair=True) == [micros(AT) // HOUR + 1]
        assert store.check(repair=True) == []
        assert kept(store) == added_up(store)


def test_a_pruned_hour_keeps_its_totals(tmp_path: Path) -> None:
    days = [AT + timedelta(hours=n) for n in range(10)]
    with closing(SQLiteLedgerStore(tmp_path / "l.db", wait=1)) as store:
        store.write(
            [record(str(n), time=day, tags={"run": "r"}) for n, day in enumerate(days)], wait=1
        )
        before = kept(store)
        assert store.prune(micros(days[4]) + 5, most=3) == 3
        assert kept(store) == before
        assert [store.prune(micros(days[4]) + 5, most=3) for _ in range(2)] == [1, 0]
        assert len(stored(store)) == 6
        assert kept(store) == before
        assert store.check(repair=True) == []
        late = record("late", time=days[1])
        store.write([late], wait=1)
        found = kept(store)
        assert (found.requests, found.cost) == (11, before.cost + late.cost)
        assert store.prune(micros(days[4]), most=9) == 1
        assert kept(store) == found
        with closing(sqlite3.connect(tmp_path / "l.db")) as other:
            other.execute("DELETE FROM calls")
            other.commit()
        assert kept(store).requests == 5


def test_a_run_is_found_by_an_index_even_of_one_call() -> None:
    names = ["6f1c2a34-0b1d-4c5e-8f90-1a2b3c4d5e6f", "6f1c2a340b1d4c5e8f901a2b3c4d5e6f", "r 1", "0"]
    with Ledger() as ledger:
        for name in names:
            ledger.record(record(name, tags={"run": name, "user": "u"}))
            for step in range(3):
                ledger.record(record(f"{name}/{step}", tags={"run": name, "step": f"s{step}"}))
        ledger.record(record("alone"))
        for name in names:
            found = ledger.by_run(name)
            assert (found.requests, found.cost) == (4, Decimal("0.4"))
            assert set(found.by_tag) == {"user", "step"}
            assert {each.tags["run"] for each in ledger.records(run=name)} == {name}
        assert ledger.by_run("none").requests == 0
        assert ledger.summary().requests == 17


@given(st.text(), st.sampled_from(["", "-", "\n", " ", "0"]))
def test_ids_are_read_back_as_they_were(name: str, end: str) -> None:
    uuids = ["6f1c2a34-0b1d-4c5e-8f90-1a2b3c4d5e6f", "6f1c2a340b1d4c5e8f901a2b3c4d5e6f"]
    names = {name.encode(errors="backslashreplace").decode(), *uuids, *(u + end for u in uuids)}
    names |= {u.upper() for u in uuids} | {u[:-1] + "\u0665" for u in uuids}
    with memory() as store:
        store.write([record(each) for each in sorted(names)], wait=1)
        assert {row.value.id for row in stored(store)} == names
        store.write([record(each) for each in sorted(names)], wait=1)
        assert len(stored(store)) == len(names)


def test_plain_sql_sees_texts(tmp_path: Path) -> None:
    tags = {"user": "u", "run": "r", "#": "x"}
    name = "6f1c2a34-0b1d-4c5e-8f90-1a2b3c4d5e6f"
    with Ledger(tmp_path / "l.db") as ledger:
        saving = Saving(strategy="routing", amount=Decimal("0.9"))
        ledger.record(record(name, tags=tags, provider="openai", savings=(saving,)))
        ledger.record(record("2", tags={"run": "2"}))
    with closing(sqlite3.connect(tmp_path / "l.db")) as plain:
        rows = plain.execute(
            "SELECT id, model, provider, status, run, savings, json_extract(tags, '$.user') "
            "FROM readable_calls ORDER BY seq"
        ).fetchall()
    saved = '[["routing","0.9","measured"]]'
    assert rows == [
        (name, "m", "openai", "ok", "r", saved, "u"),
        ("2", "m", None, "ok", "2", "[]", None),
    ]


WRITE = """
import sys
from datetime import UTC, datetime
from decimal import Decimal
from llm_optimizers.costs import CallRecord, Usage
from llm_optimizers.costs.ledger.sqlite import SQLiteLedgerStore

store = SQLiteLedgerStore(sys.argv[1], wait=5)
for group in range(int(sys.argv[3])):
    store.write([CallRecord(
        id=f"{sys.argv[2]}-{group}-{n}", time=datetime(2026, 3, 29, n % 3, tzinfo=UTC), model="m",
        usage=Usage(input_tokens=n), cost=Decimal(n) / 7, baseline_model="m",
        baseline_cost=Decimal(n), tags={"user": str(n % 5)}) for n in range(20)], wait=5)
    print(group, flush=True)
"""


def writing(path: Path, name: str, groups: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), name, str(groups)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_totals_are_right_after_processes_wrote_together_and_one_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    SQLiteLedgerStore(path, wait=5).open()
    killed = writing(path, "killed", 10_000)
    others = [writing(path, name, 15) for name in "ab"]
    for _ in range(5):
        assert killed.stdout is not None
        killed.stdout.readline()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert [each.communicate()[0] and each.returncode for each in others] == [0, 0]
    with closing(SQLiteLedgerStore(path, wait=5)) as store:
        assert len(stored(store)) % 20 == 0
        assert kept(store) == added_up(store)
        assert store.check(repair=False) == []


VERSION_1 = """
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL,
    model TEXT NOT NULL, provider TEXT, tier TEXT NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    input_audio_tokens INTEGER NOT NULL, output_audio_tokens INTEGER NOT NULL,
    cost TEXT, baseline_model TEXT NOT NULL, baseline_cost TEXT, baseline_usage TEXT,
    hit_strategy TEXT, savings TEXT NOT NULL, tags TEXT NOT NULL, latency_s REAL,
    status TEXT NOT NULL, estimated INTEGER NOT NULL, error TEXT);
CREATE INDEX calls_by_time ON calls (time);
CREATE TABLE notes (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL,
    kind TEXT NOT NULL, payload TEXT NOT NULL);
CREATE INDEX notes_by_kind ON notes (kind, time);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
INSERT INTO calls SELECT
    i + 1, printf('6f1c2a34-0b1d-4c5e-8f90-%012x', i), 1767225600000000 + i * 7200000,
    'gpt-4o', 'openai', 'standard', 1000, 100, 0, 0, 0, 0, 0, 0, '0.0035', 'gpt-4o', '0.0045', NULL,
    NULL, '[["routing","0.001","measured"]]',
    json_object('user', 'u' || (i % 7), 'run', 'r' || (i / 5)), 0.5, 'ok', 0, NULL FROM n;
INSERT INTO calls VALUES (2000, 'bad', 1767225600000000, 'm', NULL, 'standard', 1, 1, 0, 0, 0, 0, 0,
    0, 'NaN', 'm', '1', NULL, NULL, '[', '{"run"', NULL, 'ok', 0, NULL);
INSERT INTO notes VALUES (1, 'n', 1767225600000000, 'label', '{"a":1}');
PRAGMA application_id = 1280068963;
PRAGMA user_version = 1;
"""


def test_a_file_of_version_1_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1)
    with Ledger(path) as ledger:
        found = ledger.summary()
        assert (found.requests, found.damaged, found.unpriced) == (1_001, 1, 1)
        assert found.cost == Decimal("3.5")
        assert found.by_tag["user"]["u0"].requests == 143
        assert found.by_strategy["routing"].calls == 1_000
        assert ledger.by_run("r3").requests == 5
        assert [note.payload for note in ledger.notes("label")] == [{"a": 1}]
        again = next(ledger.records())
        assert again.id == "6f1c2a34-0b1d-4c5e-8f90-000000000000"
        ledger.record(again)
        ledger.record(record("new"))
        assert ledger.summary().requests == 1_002, "an id that is stored already is ignored"
    with closing(SQLiteLedgerStore(path, wait=1)) as store:
        assert kept(store) == replace(added_up(store), damaged=1)
        assert store.check(repair=False) == []


def test_a_process_of_the_earlier_release_goes_on_writing(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1)
        columns = [row[1] for row in old.execute("PRAGMA table_info(calls)")][1:]
        row = old.execute(f"SELECT {', '.join(columns)} FROM calls WHERE seq = 17").fetchone()
        with Ledger(path) as ledger:
            assert ledger.summary().requests == 1_001
            old.execute(
                f"INSERT INTO calls ({', '.join(columns)}) VALUES (?{', ?' * (len(row) - 1)})",
                ("late", *row[1:]),
            )
            old.commit()
            found = ledger.summary()
            assert (found.requests, found.damaged) == (1_002, 1)
            assert found.cost == Decimal("3.5035")
            assert ledger.by_run("r3").requests == 6


def test_a_summary_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with closing(SQLiteLedgerStore(path, wait=1)) as store:
        store.write([record(str(n), time=AT + timedelta(hours=n)) for n in range(3)], wait=1)
        wanted = kept(store)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DELETE FROM hours WHERE hour % 2")
        other.commit()
    with (
        closing(SQLiteLedgerStore(path, wait=0.01)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        store.open()
        other.execute("BEGIN IMMEDIATE")
        assert kept(store) == wanted


@pytest.mark.parametrize("run", ["\ud800", "x" * 3_000, "a\0b", "0", "sk-proj-" + "Ab3" * 20])
def test_a_run_is_found_by_the_name_that_the_app_gave_it(tmp_path: Path, run: str) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(record("one", tags={"run": run}))
        ledger.record(record("two", tags={"run": "other"}))
        assert ledger.by_run(run).requests == 1
