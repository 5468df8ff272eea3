"""Ledger: no record is lost or doubled, and writing never raises, even in killed processes."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import CallRecord, Ledger, PriceBook, Saving, Usage
from llm_optimizers.costs.ledger.tables import SCHEMA
from llm_optimizers.errors import ConfigurationError, StoreError

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def make_record(call="1", **changes):
    usual = {
        "id": call,
        "time": AT,
        "model": "gpt-4o",
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost": Decimal("0.000075"),
        "baseline_model": "gpt-4o",
        "baseline_cost": Decimal("0.000075"),
    }
    return CallRecord(**(usual | changes))


def ids(ledger):
    return [record.id for record in ledger.records()]


@pytest.fixture(params=["memory", "file"])
def ledger(request, tmp_path):
    with Ledger(None if request.param == "memory" else tmp_path / "ledger.db") as opened:
        yield opened


texts = st.text(max_size=20)
money = st.none() | st.decimals(-(10**6), 10**6, places=12)
counts = st.integers(0, 2**62)
records = st.builds(
    CallRecord,
    id=st.text(min_size=1),
    time=st.datetimes(timezones=st.just(UTC)),
    model=texts,
    usage=st.builds(Usage, input_tokens=counts, cache_read_tokens=counts, output_tokens=counts),
    cost=money,
    baseline_model=texts,
    baseline_cost=money,
    provider=st.none() | texts,
    baseline_usage=st.none() | st.builds(Usage, input_tokens=counts),
    tier=st.sampled_from(["standard", "batch"]),
    hit_strategy=st.none() | texts,
    savings=st.lists(
        st.builds(Saving, strategy=texts, amount=st.decimals(-1, 1, places=15)), max_size=3
    ).map(tuple),
    tags=st.dictionaries(texts, texts, max_size=3),
    latency_s=st.none() | st.floats(0, 1e6),
    status=st.sampled_from(["ok", "error", "abandoned"]),
    estimated=st.booleans(),
    error=st.none() | texts,
)


@given(records)
def test_a_record_is_read_as_it_was_written(record):
    with Ledger() as ledger:
        ledger.record(record)
        assert list(ledger.records()) == [record]
        assert ledger.dropped == 0


def test_a_second_record_with_the_same_id_is_ignored(ledger):
    ledger.record(make_record("1"))
    ledger.record(make_record("1", model="other"))
    ledger.record(make_record("2"))
    assert [(r.id, r.model) for r in ledger.records()] == [("1", "gpt-4o"), ("2", "gpt-4o")]
    assert (ledger.dropped, ledger.summary().requests) == (0, 2)


def test_the_frameworks_record_of_a_hit_replaces_the_caches_own(ledger):
    """Whichever is written first, one record is kept."""
    own = {"usage": Usage(), "cost": Decimal(0), "hit_strategy": "cache.exact"}
    run = own | {"latency_s": 0.002, "tags": {"user": "u1"}, "baseline_model": "gpt-5"}
    for call, *found in (("1", own, run), ("2", run, own), ("3", own, own), ("4", run, run)):
        for facts in found:
            ledger.record(make_record(call, **facts))
    ledger.record(make_record("5", latency_s=None))
    ledger.record(make_record("5", latency_s=1.0))
    ledger.record(make_record("5", **run))
    assert [(r.id, r.baseline_model, dict(r.tags)) for r in ledger.records()] == [
        ("1", "gpt-5", {"user": "u1"}),
        ("2", "gpt-5", {"user": "u1"}),
        ("3", "gpt-4o", {}),
        ("4", "gpt-5", {"user": "u1"}),
        ("5", "gpt-4o", {}),
    ]
    assert [r.latency_s for r in ledger.records()] == [0.002, 0.002, None, 0.002, None]
    assert ledger.dropped == 0


def test_records_are_selected_from_since_on_and_before_until(ledger):
    for minute in range(5):
        ledger.record(make_record(str(minute), time=AT + timedelta(minutes=minute)))
    since, until = AT + timedelta(minutes=1), AT + timedelta(minutes=3)
    assert [r.id for r in ledger.records(since, until)] == ["1", "2"]
    assert [r.id for r in ledger.records(until=since.replace(tzinfo=None))] == ["0"]
    assert ledger.summary(since=since).requests == 4


def test_reading_many_pages_includes_records_written_meanwhile(ledger):
    for number in range(2_500):
        ledger.record(make_record(str(number)))
    reading = ledger.records()
    first = next(reading)
    ledger.record(make_record("late"))
    assert [first.id, *(r.id for r in reading)] == [*map(str, range(2_500)), "late"]


def test_notes_are_selected_by_kind_and_time():
    moments = iter(range(1_000, 2_000))
    ledger = Ledger(clock=lambda: next(moments))
    ledger.note("label", {"right": True, "nested": {"a": [1, None, "ü"]}}, id="a")
    ledger.note("other", {})
    ledger.note("label", {"right": False}, id="b")
    ledger.note("label", {"right": "again"}, id="b")
    first, second = ledger.notes("label")
    assert (first.id, first.kind, first.time.timestamp()) == ("a", "label", 1_000)
    assert first.payload == {"right": True, "nested": {"a": [1, None, "ü"]}}
    assert second.payload == {"right": False}
    assert [note.id for note in ledger.notes("label", since=second.time)] == ["b"]
    assert len({note.id for note in ledger.notes("other")}) == 1


@pytest.mark.parametrize("payload", [{"a": object()}, {"a": float("nan")}, {"a": b"bytes"}])
def test_a_note_that_is_not_json_raises(ledger, payload):
    with pytest.raises(ConfigurationError, match="JSON"):
        ledger.note("label", payload)


def test_records_have_no_column_for_a_prompt_or_an_answer(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.record(make_record())
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(calls)")}
    connection.close()
    assert not columns & {"prompt", "messages", "response", "answer", "content", "text"}


def test_a_ledger_has_prices():
    prices = PriceBook()
    assert Ledger(prices=prices).prices is prices
    assert isinstance(Ledger().prices, PriceBook)


def test_thirty_two_threads_lose_and_mix_up_no_record(ledger):
    def append(worker):
        for number in range(50):
            ledger.record(make_record(f"{worker}-{number}", model=f"model-{worker}"))

    threads = [threading.Thread(target=append, args=(worker,)) for worker in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(ledger.records())
    assert len(found) == 32 * 50
    assert ledger.dropped == 0
    assert all(record.model == f"model-{record.id.split('-')[0]}" for record in found)


APPEND = """
import sys
from datetime import UTC, datetime
from decimal import Decimal
from llm_optimizers.costs import CallRecord, Ledger, Usage

path, worker, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
ledger = Ledger(path)
for number in range(many):
    ledger.record(CallRecord(
        id=f"{worker}-{number}", time=datetime(2026, 11, 1, tzinfo=UTC), model="gpt-4o",
        usage=Usage(input_tokens=1), cost=Decimal(1), baseline_model="gpt-4o",
        baseline_cost=Decimal(1)))
    ledger.flush()
    if ledger.dropped:
        sys.exit(f"dropped {number}")
    print(number, flush=True)
"""


def start_appending(path, worker, many):
    process = subprocess.Popen(
        [sys.executable, "-c", APPEND, str(path), worker, str(many)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_that_create_a_file_and_append_together_lose_no_record(tmp_path):
    path = tmp_path / "ledger.db"
    processes = [start_appending(path, worker, 200) for worker in ("a", "b")]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] and process.returncode for process in processes] == [0, 0]
    with Ledger(path) as ledger:
        assert sorted(ids(ledger)) == sorted(f"{w}-{n}" for w in "ab" for n in range(200))


def test_what_was_flushed_survives_kill_9(tmp_path):
    path = tmp_path / "ledger.db"
    process = start_appending(path, "x", 1_000_000)
    process.stdin.write("go\n")
    process.stdin.flush()
    said = [int(process.stdout.readline()) for _ in range(300)]
    process.send_signal(signal.SIGKILL)
    # Not communicate(), which would pass over what readline() has read ahead.
    said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    process.stdin.close()
    process.stdout.close()
    with Ledger(path) as ledger:
        found = ids(ledger)
        assert found[: len(said)] == [f"x-{number}" for number in said]
        assert len(found) - len(said) <= 1
        ledger.record(make_record("after"))
        assert ids(ledger)[-1] == "after"
        assert ledger.dropped == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks need POSIX")
def test_forked_children_append_through_separate_connections(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    done = threading.Event()

    def keep_appending():
        for number in itertools.count():
            if done.wait(0.001):
                return
            ledger.record(make_record(f"parent-{number}"))

    def append(name):
        ledger.record(make_record(name))
        sys.exit(ledger.dropped)

    thread = threading.Thread(target=keep_appending)
    thread.start()
    for number in range(5):
        child = multiprocessing.get_context("fork").Process(target=append, args=(f"c{number}",))
        child.start()
        child.join(20)
        child.kill()
        assert child.exitcode == 0
    done.set()
    thread.join()
    ledger.record(make_record("parent again"))
    assert ledger.dropped == 0
    assert {f"c{number}" for number in range(5)} < set(ids(ledger))
    assert ids(ledger)[-1] == "parent again"
    ledger.close()


def corrupt(path):
    path.write_bytes(b"This is no database, whatever its name says. " * 100)


def make_ledger(path):
    with Ledger(path) as ledger:
        ledger.record(make_record("before"))


def test_a_corrupt_file_loses_records_said_once_and_gives_no_summary(tmp_path, caplog):
    path = tmp_path / "ledger.db"
    corrupt(path)
    with Ledger(path) as ledger:
        for number in range(3):
            ledger.record(make_record(str(number)))
            ledger.note("label", {})
        with pytest.raises(StoreError, match="records wait"):
            ledger.flush()
        assert ledger.dropped == 0
        assert [r.levelno for r in caplog.records] == [logging.WARNING]
        assert str(path) in caplog.text
        with pytest.raises(StoreError, match="cannot be read"):
            list(ledger.records())
        with pytest.raises(StoreError, match="cannot be read"):
            ledger.summary()
    assert ledger.dropped == 6
    assert len(caplog.records) == 1


def test_a_file_whose_table_was_dropped_raises_when_read(tmp_path):
    path = tmp_path / "ledger.db"
    make_ledger(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE calls")
    connection.close()
    with Ledger(path) as ledger, pytest.raises(StoreError, match="move it away"):
        ledger.summary()


def opened_with(monkeypatch, ledger, mode, after=()):
    """Make SQLite behave as on a read-only or full disk, for any user who runs the tests.

    Returns the list of connections to this ledger, which grows as they are opened.
    """
    real = sqlite3.connect
    made = []

    def connect(path, **options):
        if path != str(ledger):
            return real(path, **options)
        connection = real(f"file:{path}?mode={mode}", uri=True, **options)
        for statement in after:
            connection.execute(statement)
        made.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    return made


def test_a_read_only_file_is_read_unless_records_wait_for_it(tmp_path, monkeypatch, caplog):
    path = tmp_path / "ledger.db"
    make_ledger(path)
    opened_with(monkeypatch, path, "ro")
    with Ledger(path) as ledger:
        assert ids(ledger) == ["before"]
        ledger.record(make_record("lost"))
        ledger.record(make_record("lost too"))
        with pytest.raises(StoreError, match="readonly"):
            ids(ledger)
    assert ledger.dropped == 2
    assert len(caplog.records) == 1


def test_records_wait_in_order_while_a_disk_is_full(tmp_path, monkeypatch, caplog):
    path = tmp_path / "ledger.db"
    make_ledger(path)
    made = opened_with(monkeypatch, path, "rw", ["PRAGMA max_page_count = 1"])
    with Ledger(path) as ledger:
        for number in range(3_000):
            ledger.record(make_record(str(number)))
        with pytest.raises(StoreError, match="make room"):
            ledger.summary()
        ledger.record(make_record("last"))
        made[-1].execute("PRAGMA max_page_count = 100000")
        assert ids(ledger) == ["before", *map(str, range(3_000)), "last"]
        assert ledger.dropped == 0
    assert caplog.text.count("records wait") == 1


def test_what_finds_no_room_in_memory_while_a_disk_is_full_is_counted(tmp_path, monkeypatch):
    path = tmp_path / "ledger.db"
    make_ledger(path)
    made = opened_with(monkeypatch, path, "rw", ["PRAGMA max_page_count = 1"])
    with Ledger(path) as ledger:
        for number in range(12_000):
            ledger.record(make_record(str(number)))
        made[-1].execute("PRAGMA max_page_count = 100000")
        found = len(ids(ledger)) - 1
        assert found >= 10_000
        assert found + ledger.dropped == 12_000
        ledger.record(make_record("after"))
        assert ids(ledger)[-1] == "after"


def test_records_wait_while_another_process_has_the_file_locked(tmp_path, monkeypatch, caplog):
    path = tmp_path / "ledger.db"
    make_ledger(path)
    other = sqlite3.connect(path, isolation_level=None)
    made = opened_with(monkeypatch, path, "rw")
    with Ledger(path) as ledger:
        other.execute("BEGIN IMMEDIATE")
        for number in range(20):
            ledger.record(make_record(str(number)))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            assert reader.execute("SELECT count(*) FROM calls").fetchone() == (1,)
        other.execute("ROLLBACK")
        assert ids(ledger) == ["before", *map(str, range(20))]
        ledger.record(make_record("free"))
        assert ids(ledger)[-1] == "free"
        assert ledger.dropped == 0
    other.close()
    assert len(made) == 1
    assert not caplog.records


async def test_an_event_loop_does_not_wait_for_the_lock_and_loses_no_record(tmp_path):
    path = tmp_path / "ledger.db"
    make_ledger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        ledger = Ledger(path)
        ledger.record(make_record("free"))
        other.execute("BEGIN IMMEDIATE")
        ledger.record(make_record("first"))
        for number in range(20):
            ledger.record(make_record(str(number)))
        thread = threading.Thread(target=ledger.record, args=(make_record("thread"),))
        thread.start()
        thread.join()
        other.execute("ROLLBACK")
    # Reading waits for the records that are not written yet.
    assert ids(ledger) == ["before", "free", "first", *map(str, range(20)), "thread"]
    assert ledger.dropped == 0
    ledger.close()


async def test_delayed_records_that_cannot_be_written_are_counted_as_dropped(tmp_path, caplog):
    path = tmp_path / "ledger.db"
    make_ledger(path)
    ledger = Ledger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(5):
            ledger.record(make_record(str(number)))
        assert ledger.dropped == 0
        other.execute("DROP TABLE calls")
        other.execute("COMMIT")
    ledger.close()
    assert ledger.dropped == 5
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_created_is_tried_again(tmp_path, caplog):
    path = tmp_path / "later" / "ledger.db"
    path.parent.write_text("a file in the way of the folder")
    with Ledger(path) as ledger:
        ledger.record(make_record("kept"))
        path.parent.unlink()
        ledger.record(make_record("too"))
        assert ids(ledger) == ["kept", "too"]
        assert ledger.dropped == 0
    assert caplog.text.count("cannot be used") == 1


def test_a_record_that_cannot_be_written_is_dropped_and_not_raised(ledger):
    ledger.record(SimpleNamespace(id="no record"))
    ledger.record(make_record("right"))
    assert ledger.dropped == 1
    assert ids(ledger) == ["right"]


def test_a_closed_ledger_drops_records_and_raises_when_read(ledger):
    ledger.close()
    ledger.close()
    ledger.record(make_record())
    assert ledger.dropped == 1
    with pytest.raises(StoreError, match="closed"):
        list(ledger.records())


def test_a_ledger_of_another_version_is_refused_and_unchanged(tmp_path):
    path = tmp_path / "ledger.db"
    make_ledger(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"version {SCHEMA.version + 1}.*upgrade"):
        Ledger(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_unchanged(tmp_path):
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (id)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="something else"):
        Ledger(path)
    assert path.read_bytes() == before
