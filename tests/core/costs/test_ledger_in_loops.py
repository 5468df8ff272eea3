"""A ledger in an event loop: the loop never waits, and its records are all written in the end."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from llm_optimizers.costs import CallRecord, Ledger, Usage
from llm_optimizers.errors import StoreError
from tests.support.gates import LONG_S, Gate, writes_through

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def make_record(call, **changes):
    usual = {
        "id": str(call),
        "time": AT,
        "model": "gpt-4o",
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost": Decimal("0.000075"),
        "baseline_model": "gpt-4o",
        "baseline_cost": Decimal("0.000075"),
    }
    return CallRecord(**(usual | changes))


async def recorded(ledger, *calls):
    for call in calls:
        ledger.record(make_record(call))


def in_file(path):
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM calls ORDER BY seq")]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


async def test_a_loop_goes_on_while_its_records_are_written(path, monkeypatch):
    gate = Gate()
    writes_through(gate, path, monkeypatch)
    ledger = Ledger(path)
    ledger.record(make_record("call"))
    ledger.record_made(lambda: make_record("made"))
    ledger.note("event", {"n": 1})
    gate.open()
    await asyncio.to_thread(ledger.flush)
    assert in_file(path) == ["call", "made"]
    assert gate.used
    assert not gate.held_up
    assert ledger.dropped == 0
    ledger.close()


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_what_takes_long_to_make_is_made_in_another_thread(kind, path):
    gate = Gate()

    def make():
        gate.pass_through()
        return make_record("made")

    with Ledger(path if kind == "file" else None) as ledger:
        ledger.record_made(make)
        ledger.record(make_record("after"))
        gate.open()
        assert [each.id for each in ledger.records()] == ["made", "after"]
        assert not gate.held_up


async def test_a_record_that_cannot_be_made_or_written_loses_no_other(path, caplog):
    with Ledger(path) as ledger:
        ledger.record(make_record("first"))
        ledger.record_made(lambda: make_record(1 / 0))
        ledger.record_made(lambda: make_record("wrong", latency_s=object()))
        ledger.record(make_record("last"))
        assert [each.id for each in ledger.records()] == ["first", "last"]
        assert ledger.dropped == 2
    assert caplog.text.count("cannot be written") == 1


def test_threads_and_loops_lose_and_double_no_record(path):
    ledger = Ledger(path)

    async def many(name):
        for number in range(100):
            ledger.record(make_record(f"{name}-{number}"))
            await asyncio.sleep(0)

    def from_thread(name):
        for number in range(50):
            ledger.record(make_record(f"{name}-{number}"))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(many(f"l{n}"))) for n in range(8)]
    threads += [threading.Thread(target=from_thread, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert sorted(in_file(path)) == sorted(
        [f"l{n}-{k}" for n in range(8) for k in range(100)]
        + [f"t{n}-{k}" for n in range(8) for k in range(50)]
    )
    assert ledger.dropped == 0


def test_records_made_while_a_ledger_closes_are_written_or_counted(path):
    ledger, begun = Ledger(path), threading.Event()

    async def many(name):
        for number in range(200):
            ledger.record(make_record(f"{name}-{number}"))
            begun.set()
            await asyncio.sleep(0)

    threads = [threading.Thread(target=lambda n=n: asyncio.run(many(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(LONG_S)
    ledger.close()
    for thread in threads:
        thread.join()
    assert len(in_file(path)) + ledger.dropped == 800


def test_closing_ends_the_thread_that_writes(path):
    ledger = Ledger(path)
    asyncio.run(recorded(ledger, *range(10)))
    ledger.close()
    assert "ledger" not in [thread.name for thread in threading.enumerate()]
    assert len(in_file(path)) == 10


def test_reading_waits_for_a_lock_and_then_says_what_holds_it(path, monkeypatch):
    monkeypatch.setattr("llm_optimizers.costs.ledger.buffer._LOCKED_S", 0.5)
    ledger = Ledger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.run(recorded(ledger, "waiting"))
        with pytest.raises(StoreError, match="another process has locked it"):
            ledger.summary()
        other.execute("ROLLBACK")
    assert ledger.summary().requests == 1
    ledger.close()


def test_too_many_waiting_records_are_dropped_and_counted(path):
    ledger = Ledger(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.run(recorded(ledger, *range(10_005)))
        assert ledger.dropped == 5
        other.execute("ROLLBACK")
    assert ledger.summary().requests == 10_000
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_in_a_loop_writes_its_own_records_only(path):
    ledger = Ledger(path)

    async def fork():
        for number in range(5):
            await recorded(ledger, f"parent-{number}")
            child = os.fork()
            if child == 0:
                await recorded(ledger, f"child-{number}")
                ledger.close()
                os._exit(ledger.dropped)
            assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - the child is all there is

    asyncio.run(fork())
    ledger.close()
    expected = [f"{who}-{number}" for number in range(5) for who in ("parent", "child")]
    assert sorted(in_file(path)) == sorted(expected)


SCRIPT = """
import asyncio, atexit, os, sys
sys.path.insert(0, {root!r})
from llm_optimizers.costs import Ledger
from tests.core.costs.test_ledger_in_loops import recorded
ledger = Ledger(sys.argv[1])
{body}
"""
ENDS = {
    "without close": "asyncio.run(recorded(ledger, *range(50)))",
    "in a loop": """
async def ending():
    await recorded(ledger, *range(50))
    raise SystemExit(0)
asyncio.run(ending())
""",
    "by a fork": """
async def ending():
    await recorded(ledger, *range(50))
    os.fork()
    os._exit(0)
asyncio.run(ending())
""",
    "at exit": "atexit.register(lambda: asyncio.run(recorded(ledger, *range(50))))",
}


def command(body, path):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))  # noqa: PTH120
    return [sys.executable, "-c", SCRIPT.format(root=root, body=body), str(path)]


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_ends_has_written_all_records(path, end):
    subprocess.run(command(ENDS[end], path), check=True)
    assert in_file(path) == [str(number) for number in range(50)]


def test_a_process_ends_though_its_file_stays_locked(path):
    Ledger(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ended = subprocess.run(
            command(ENDS["without close"], path), check=True, capture_output=True, text=True
        )
    assert "counted in Ledger.dropped" in ended.stderr
    assert in_file(path) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_loses_no_more_than_what_it_recorded_last(path):
    body = """
async def forever():
    for number in range(10**9):
        await recorded(ledger, number)
        await asyncio.sleep(0)
        if number % 100 == 0:
            await asyncio.to_thread(ledger.flush)
            print(number, flush=True)
asyncio.run(forever())
"""
    with subprocess.Popen(command(body, path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        flushed = [int(process.stdout.readline()) for _ in range(4)][-1]
        process.kill()
    written = in_file(path)
    assert written == [str(number) for number in range(len(written))]
    assert len(written) > flushed


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_subclass_sees_every_record(path, in_loop):
    seen = []

    class Watching(Ledger):
        def record(self, record):
            seen.append(record.id)
            super().record(record)

    async def made():
        ledger.record_made(lambda: make_record("made"))
        ledger.record(make_record("given"))

    ledger = Watching(path)
    if in_loop:
        asyncio.run(made())
    else:
        ledger.record_made(lambda: make_record("made"))
        ledger.record(make_record("given"))
    ledger.close()
    assert sorted(seen) == ["given", "made"]
    assert in_file(path) == ["made", "given"]
    assert ledger.dropped == 0


def test_a_ledger_that_closes_waits_for_its_turn_while_others_write(path, monkeypatch):
    monkeypatch.setattr("llm_optimizers.costs.ledger.writer._LAST_LOCKED_S", 1.0)
    monkeypatch.setattr("llm_optimizers.costs.ledger.buffer._LOCKED_S", 1.0)
    ledger = Ledger(path)
    ledger.record(make_record("first"))
    ledger.flush()
    errors = []

    def end():
        try:
            ledger.flush()
        except StoreError as error:
            errors.append(error)
        ledger.close()

    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.record(make_record("mine"))
        thread = threading.Thread(target=end)
        thread.start()
        for number in range(12):  # the other process writes again and again, with hardly a gap
            thread.join(0.15)
            other.execute("INSERT INTO words (kind, text, hash) VALUES ('x', 'x', ?)", (number,))
            other.execute("COMMIT")
            other.execute("BEGIN IMMEDIATE")
        other.execute("COMMIT")
    thread.join()
    assert not errors
    assert ledger.dropped == 0
    assert in_file(path) == ["first", "mine"]
