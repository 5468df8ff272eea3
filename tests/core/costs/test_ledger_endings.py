"""A ledger's process may end in any way: what was recorded is in the file, or is counted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from llm_optimizers.costs import Ledger
from llm_optimizers.errors import StoreError
from tests.support.ledger_worker import make_record, record_and_return, record_and_stop

ROOT = Path(__file__).parents[3]
posix = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs signals of POSIX")
forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
START = """
import os, signal, sys, threading, time
from tests.support.ledger_worker import *
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import StoreError

def fifty(ledger):
    for number in range(50):
        ledger.record(make_record(number))

def own(number, frame):
    print("own", flush=True)
    os._exit(7)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def ended(body, *arguments):
    """Run a program; return its exit status and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", START + body, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'integrations'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def ids(path):
    with Ledger(path) as ledger:
        return [record.id for record in ledger.records()]


FIFTY = [str(number) for number in range(50)]


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_process_after_its_records_are_written(path, name):
    body = f"fifty(Ledger(sys.argv[1])); os.kill(os.getpid(), signal.{name}); time.sleep(60)"
    status, shown = ended(body, path)
    assert (status, shown) == (-getattr(signal, name), "")
    assert ids(path) == FIFTY


@posix
def test_a_signal_ends_a_process_whose_file_is_locked(path):
    body = """
import sqlite3
ledger = Ledger(sys.argv[1])
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
fifty(ledger)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""
    assert ended(body, path)[0] == -signal.SIGTERM


@posix
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_apps_own_handler_of_a_signal_stays(path, moment):
    install, make = "signal.signal(signal.SIGTERM, own)", "ledger = Ledger(sys.argv[1])"
    steps = [install, make] if moment == "before" else [make, install]
    body = "\n".join([*steps, "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"])
    assert ended(body, path) == (7, "own\n")


@posix
def test_a_handler_that_calls_the_one_before_it_decides_itself(path):
    body = """
ledger = Ledger(sys.argv[1])
before = signal.getsignal(signal.SIGTERM)

def own(number, frame):
    if callable(before):
        before(number, frame)
    print(sum(1 for _ in ledger.records()), flush=True)
    os._exit(7)

signal.signal(signal.SIGTERM, own)
fifty(ledger)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""
    assert ended(body, path) == (7, "50\n")


@posix
def test_handlers_are_set_only_for_what_lasts_and_in_the_main_thread(path):
    body = """
def known():
    return [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]

signal.signal(signal.SIGHUP, signal.SIG_IGN)
usual = known()
Ledger().record(make_record("memory"))
thread = threading.Thread(target=Ledger, args=(sys.argv[1],))
thread.start()
thread.join()
assert known() == usual
Ledger(sys.argv[1])
assert known()[0] not in usual
assert known()[1:] == usual[1:]
"""
    assert ended(body, path) == (0, "")


@forks
@posix
def test_a_child_that_forked_and_is_stopped_has_written_its_records(path):
    ledger = Ledger(path)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        child = multiprocessing.get_context("fork").Process(
            target=record_and_stop, args=(str(path), "child")
        )
        child.start()
        child.join(60)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert child.exitcode == -signal.SIGTERM
    assert sum(1 for _ in ledger.records()) == 20
    ledger.close()


@forks
@posix
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_that_return_have_written_their_records(path, method):
    context = multiprocessing.get_context(method)
    child = context.Process(target=record_and_return, args=(str(path), "child"))
    child.start()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(record_and_return, str(path), "pool").result() == 20
    child.join(60)
    assert sorted(ids(path)) == sorted(f"{who}-{n}" for who in ("child", "pool") for n in range(20))


@forks
@posix
def test_workers_that_a_server_forks_write_through_the_ledger_it_loaded(path):
    ledger = Ledger(path)
    ledger.record(make_record("loading"))
    children = []
    for name in range(3):
        child = os.fork()
        if child == 0:
            ledger.record(make_record(f"worker-{name}"))
            ledger.flush()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert sorted(ids(path)) == ["loading", "worker-0", "worker-1", "worker-2"]
    ledger.close()


@posix
def test_a_parent_that_ends_at_a_fork_has_written_what_threads_recorded(path):
    body = """
ledger = Ledger(sys.argv[1])
thread = threading.Thread(target=fifty, args=(ledger,))
thread.start()
thread.join()
if os.fork():
    os._exit(0)
os._exit(0)
"""
    assert ended(body, path)[0] == 0
    assert ids(path) == FIFTY


@posix
def test_a_process_killed_loses_no_more_than_a_thousand_records(path):
    body = """
ledger = Ledger(sys.argv[1])

def forever(name):
    number = 0
    while True:
        ledger.record(make_record(f"{name}-{number}"))
        os.write(1, b".")
        number += 1

for name in range(4):
    threading.Thread(target=forever, args=(name,), daemon=True).start()
time.sleep(600)
"""
    command = [sys.executable, "-c", START + body, str(path)]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'integrations'}"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        recorded = len(process.stdout.read(4_000))
        process.kill()
        recorded += len(process.stdout.read())
    assert recorded >= 4_000
    found = ids(path)
    assert recorded - 1_000 <= len(found) <= recorded + 4
    for name in range(4):
        own = [each for each in found if each.startswith(f"{name}-")]
        assert own == [f"{name}-{number}" for number in range(len(own))]


@posix
def test_a_disk_that_fills_up_in_the_middle_loses_nothing_once_there_is_room(path):
    body = """
import resource
ledger = Ledger(sys.argv[1])
ledger.record(make_record("first"))
ledger.flush()
size = os.path.getsize(sys.argv[1] + "-wal") + 50_000
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
for number in range(5_000):
    ledger.record(make_record(number))
try:
    ledger.flush()
except Exception as error:
    print(type(error).__name__)
ledger.record(make_record("last"))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
found = [record.id for record in ledger.records()]
print(found == ["first", *map(str, range(5_000)), "last"], ledger.dropped)
"""
    status, shown = ended(body, path)
    assert status == 0
    assert "StoreError\n" in shown
    assert "True 0\n" in shown
    assert shown.count("records wait in memory") == 1


def test_a_process_ends_while_loops_in_daemon_threads_go_on_recording(path):
    body = """
import asyncio
ledger = Ledger(sys.argv[1])
begun = threading.Event()

async def forever():
    number = 0
    while True:
        ledger.record(make_record(f"daemon-{number}"))
        number += 1
        begun.set()
        await asyncio.sleep(0)

threading.Thread(target=lambda: asyncio.run(forever()), daemon=True).start()
begun.wait()
for number in range(3):
    ledger.record(make_record(f"mine-{number}"))
"""
    assert ended(body, path)[0] == 0
    assert {"mine-0", "mine-1", "mine-2", "daemon-0"} <= set(ids(path))


@posix
def test_an_app_whose_main_thread_has_ended_keeps_records_as_before(path):
    body = """
import resource
ledger = Ledger(sys.argv[1])
ledger.record(make_record("first"))
ledger.flush()
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)

def serve():
    threading.main_thread().join()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))
    for number in range(20):
        ledger.record(make_record(number))
    time.sleep(1.5)  # longer than a process that ends would try
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    print(len([*ledger.records()]), ledger.dropped)

threading.Thread(target=serve).start()
"""
    status, shown = ended(body, path)
    assert status == 0
    assert "21 0\n" in shown


def test_without_new_threads_a_store_that_fails_keeps_records(path, monkeypatch):
    path.write_bytes(b"This is no database, whatever its name says. " * 100)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ledger = Ledger(path)
    ledger.record(make_record(0))
    with pytest.raises(StoreError):
        ledger.flush()
    path.unlink()
    ledger.record(make_record(1))
    ledger.flush()
    monkeypatch.undo()
    assert ids(path) == ["0", "1"]
    ledger.close()


def test_without_new_threads_records_are_written_at_once(path, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ledger = Ledger(path)
    for number in range(50):
        ledger.record(make_record(number))
    monkeypatch.undo()
    assert ids(path) == FIFTY
    assert ledger.dropped == 0
    ledger.close()
