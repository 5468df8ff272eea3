"""What is recorded goes through one buffer: written soon, many at once, and bounded."""

from __future__ import annotations

import asyncio
import pickle
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from llm_optimizers.costs import Ledger
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.events import RecordsLost, StoreFailed, StoreRecovered, subscribe
from tests.support.gates import LONG_S, Gate, writes_through
from tests.support.ledger_worker import make_record


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def in_file(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM calls").fetchone()[0]


def ids(ledger):
    return [record.id for record in ledger.records()]


def until(true):
    """Wait until it is so; if it never is, the test fails at its next line."""
    ends = time.monotonic() + LONG_S
    while not true() and time.monotonic() < ends:
        time.sleep(0.005)


def recorded(ledger, count, done=None):
    for number in range(count):
        ledger.record(make_record(number))
        if done is not None:
            done.append(number)


def test_what_is_recorded_is_in_the_file_soon_without_being_asked_for(path):
    ledger = Ledger(path)
    ledger.record(make_record("thread"))
    until(lambda: in_file(path) == 1)
    asyncio.run(asyncio.to_thread(ledger.record, make_record("other")))
    until(lambda: in_file(path) == 2)
    assert in_file(path) == 2
    ledger.close()


def test_many_records_share_a_transaction(path, monkeypatch):
    begun = []
    connect = sqlite3.connect

    def watched(target, *args, factory=sqlite3.Connection, **more):
        class Watched(factory):
            def execute(self, sql, *values):
                if sql.startswith("BEGIN IMMEDIATE"):
                    begun.append(sql)
                return super().execute(sql, *values)

        return connect(target, *args, factory=Watched, **more)

    monkeypatch.setattr(sqlite3, "connect", watched)
    with Ledger(path) as ledger:
        opening = len(begun)
        recorded(ledger, 3_000)
    assert in_file(path) == 3_000
    assert len(begun) - opening <= 100


def test_threads_wait_for_room_when_a_thousand_records_wait_and_loops_do_not(path, monkeypatch):
    gate, done = Gate(), []
    writes_through(gate, path, monkeypatch)
    ledger = Ledger(path)
    thread = threading.Thread(target=recorded, args=(ledger, 1_500, done))
    thread.start()
    until(lambda: len(done) >= 900)
    time.sleep(0.1)
    assert len(done) <= 1_001
    asyncio.run(in_loop(ledger, 200))
    assert thread.is_alive()
    gate.open()
    thread.join()
    assert ledger.summary().requests == 1_700
    assert ledger.dropped == 0
    assert not gate.held_up
    ledger.close()


async def in_loop(ledger, count):
    for number in range(count):
        ledger.record(make_record(f"loop-{number}"))


def test_a_thread_does_not_wait_for_room_while_the_store_fails(path):
    path.write_bytes(b"This is no database, whatever its name says. " * 100)
    ledger = Ledger(path)
    ledger.record(make_record("first"))
    with pytest.raises(StoreError):
        ledger.flush()
    recorded(ledger, 10_004)
    assert ledger.dropped == 5
    ledger.close()
    assert ledger.dropped == 10_005


async def test_whatever_the_making_of_a_record_raises_loses_no_other(path):
    def leave():
        raise SystemExit

    with Ledger(path) as ledger:
        ledger.record(make_record("first"))
        ledger.record_made(leave)
        ledger.record(make_record("last"))
        assert ids(ledger) == ["first", "last"]
        assert ledger.dropped == 1


def test_an_entry_that_a_table_refuses_is_lost_alone(path):
    with Ledger(path) as ledger:
        ledger.record(make_record("before"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "CREATE TRIGGER no_notes BEFORE INSERT ON notes WHEN NEW.kind = 'refused' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    with Ledger(path) as ledger:
        ledger.note("refused", {})
        recorded(ledger, 3)
        ledger.note("label", {}, id="kept")
        assert ids(ledger) == ["before", "0", "1", "2"]
        assert [note.id for note in ledger.notes("label")] == ["kept"]
        assert ledger.dropped == 1


def test_a_record_is_kept_as_it_was_when_it_was_recorded(path, monkeypatch):
    gate = Gate()
    writes_through(gate, path, monkeypatch)
    tags, payload = {"user": "u1"}, {"labels": ["right"]}
    with Ledger(path) as ledger:
        ledger.record(make_record("1", tags=tags))
        ledger.note("label", payload)
        tags["user"] = "u2"
        payload["labels"].append(object())
        gate.open()
        assert [dict(record.tags) for record in ledger.records()] == [{"user": "u1"}]
        assert [note.payload for note in ledger.notes("label")] == [{"labels": ["right"]}]


def test_another_ledger_of_the_process_reads_what_was_recorded_for_the_same_file(path):
    first, second = Ledger(path), Ledger(path)
    recorded(first, 3)
    assert ids(second) == ["0", "1", "2"]
    copied = pickle.loads(pickle.dumps(first))
    copied.record(make_record("copied"))
    assert second.summary().requests == 4
    for ledger in (first, second, copied):
        ledger.close()


def test_ledgers_in_memory_share_nothing():
    first, second = Ledger(), Ledger()
    recorded(first, 3)
    assert ids(second) == []
    assert ids(first) == ["0", "1", "2"]


def test_an_outage_and_its_losses_are_events(path):
    path.write_bytes(b"This is no database, whatever its name says. " * 100)
    seen = []
    with subscribe(seen.append, StoreFailed, StoreRecovered, RecordsLost), Ledger(path) as ledger:
        recorded(ledger, 10_300)
        path.unlink()
        assert ledger.summary().requests + ledger.dropped == 10_300
    assert [type(each) for each in seen if not isinstance(each, RecordsLost)] == [
        StoreFailed,
        StoreRecovered,
    ]
    losses = [each for each in seen if isinstance(each, RecordsLost)]
    assert sum(each.count for each in losses) == ledger.dropped > 0


def test_a_clock_that_goes_back_delays_nothing(path, monkeypatch):
    clock = iter(range(10**9, 0, -3_600))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    ledger = Ledger(path)
    recorded(ledger, 3)
    until(lambda: in_file(path) == 3)
    assert in_file(path) == 3
    ledger.close()


SECRET = "hunter2"
URL = f"postgresql://ledger:{SECRET}@127.0.0.1:1/costs"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"path": URL}, "give it as `url`"),
        ({"path": "a.sqlite", "url": URL}, "give one of them"),
        ({"url": f"mysql://ledger:{SECRET}@db/costs"}, "starts with mysql:; give that of a Pos"),
        ({"url": f"ledger:{SECRET}@db/costs"}, "postgresql://"),
        ({"url": 5}, "`url` is 5"),
    ],
)
def test_a_url_is_checked_and_its_password_never_shown(arguments, advice):
    with pytest.raises(ConfigurationError, match=advice) as raised:
        Ledger(**arguments)
    assert SECRET not in str(raised.value)


def test_without_the_packages_of_a_server_the_error_names_the_extra():
    body = f"""
import sys
sys.modules["psycopg"] = None
from llm_optimizers.costs import Ledger
try:
    Ledger(url={URL!r})
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", body], check=True, capture_output=True, text=True)
    assert "pip install 'llm-optimizers[postgres]'" in done.stdout
    assert SECRET not in done.stdout
