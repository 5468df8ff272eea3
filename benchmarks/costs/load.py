"""Processes whose threads record without pause into one file; one of them may be killed."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import sqlite3
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeAlias

from costs.records import records
from llm_optimizers.costs import CallRecord, Ledger

__all__ = ["PROCESSES", "THREADS", "Load", "commit_each", "through_ledger", "under_load"]

PROCESSES, THREADS = 4, 8
_LOOK_S = 0.002
_END_S = 600.0
_COUNT = struct.Struct("q")
_BUSY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What happened: the records of each process, and the largest write-ahead file seen."""

    recorded: tuple[int, ...]
    found: tuple[int, ...]
    killed: int | None
    wal_mb: float
    seconds: float

    @property
    def lost(self) -> int:
        """How many records of processes that were not killed are missing."""
        pairs = enumerate(zip(self.recorded, self.found, strict=True))
        return sum(made - kept for number, (made, kept) in pairs if number != self.killed)

    @property
    def lost_to_kill(self) -> int:
        """How many records are missing that the killed process had made."""
        if self.killed is None:
            return 0
        return max(0, self.recorded[self.killed] - self.found[self.killed])


class Counts:
    """How many records each thread has made, in a file that a killed process leaves as it is."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @staticmethod
    def create(path: Path) -> Counts:
        """Make the file, with zeros."""
        path.write_bytes(bytes(_COUNT.size * THREADS))
        return Counts(path)

    def put(self, thread: int, count: int) -> None:
        """Note that a thread has made this many."""
        _COUNT.pack_into(self._map, thread * _COUNT.size, count)

    @property
    def total(self) -> int:
        """Of all threads."""
        return sum(count for (count,) in _COUNT.iter_unpack(self._map[:]))


Work: TypeAlias = Callable[[Path, str, int, Counts], None]


def under_load(work: Work, each: int, *, kill: bool) -> Load:
    """Let all processes work on one file, `each` records in each thread; kill one midway."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        Ledger(path).close()
        counts = [Counts.create(Path(folder) / f"counts-{name}") for name in range(PROCESSES)]
        killed = PROCESSES - 1 if kill else None
        begun = time.monotonic()
        with _started(work, path, each) as processes:
            largest = 0
            while any(process.is_alive() for process in processes):
                largest = max(largest, _size(f"{path}-wal"))
                victim = processes[-1]
                if kill and victim.is_alive() and counts[-1].total >= each * THREADS // 2:
                    assert victim.pid is not None
                    os.kill(victim.pid, signal.SIGKILL)
                    victim.join()
                time.sleep(_LOOK_S)
        seconds = time.monotonic() - begun
        return Load(
            recorded=tuple(each.total for each in counts),
            found=_found(path, work),
            killed=killed,
            wal_mb=largest / 2**20,
            seconds=seconds,
        )


def through_ledger(path: Path, name: str, each: int, counts: Counts) -> None:
    """Record as an app does."""
    with Ledger(path) as ledger:
        _in_threads(name, each, counts, ledger.record)


def commit_each(path: Path, name: str, each: int, counts: Counts) -> None:
    """Insert a row for each record, and commit each, as plain code around `sqlite3` would.

    The row has the record's id and 700 bytes, which is about what a record takes.
    """
    lock = threading.Lock()
    with closing(_connected(path)) as connection:

        def insert(record: CallRecord) -> None:
            with lock:
                try:
                    connection.execute(
                        "INSERT INTO bare VALUES (?, ?, ?)", (record.id, name, bytes(700))
                    )
                except sqlite3.OperationalError:
                    return  # locked: it is lost, which the rows that are found show

        _in_threads(name, each, counts, insert)


def _in_threads(name: str, each: int, counts: Counts, keep: Callable[[CallRecord], object]) -> None:
    def work(number: int) -> None:
        seed = int(name) * THREADS + number
        for made, record in enumerate(records(each, seed=seed, feature=name), 1):
            keep(record)
            counts.put(number, made)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS bare (id TEXT PRIMARY KEY, process TEXT, row)")
    connection.execute(f"PRAGMA busy_timeout = {round(_BUSY_S * 1000)}")
    return connection


@contextmanager
def _started(work: Work, path: Path, each: int) -> Iterator[list[BaseProcess]]:
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = [
        context.Process(target=_run, args=(work, path, str(name), each), daemon=True)
        for name in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    try:
        yield processes
        for process in processes:
            process.join(_END_S)
    finally:
        for process in processes:
            process.kill()


def _run(work: Work, path: Path, name: str, each: int) -> None:
    work(path, name, each, Counts(path.parent / f"counts-{name}"))


def _found(path: Path, work: Work) -> tuple[int, ...]:
    if work is commit_each:
        with closing(sqlite3.connect(path)) as connection:
            kept = dict(connection.execute("SELECT process, count(*) FROM bare GROUP BY process"))
    else:
        with Ledger(path) as ledger:
            parts = ledger.summary().by_tag.get("feature", {})
            kept = {name: part.requests for name, part in parts.items()}
    return tuple(kept.get(str(name), 0) for name in range(PROCESSES))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - looked at 500 times a second
    except OSError:
        return 0
