"""What the sections of `costs.py` measure."""

from __future__ import annotations

import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from costs.load import PROCESSES, THREADS, commit_each, through_ledger, under_load
from costs.records import records
from harness import Row, Run
from llm_optimizers.costs import CallRecord, Ledger

__all__ = ["ALL", "files", "load", "record_time", "reported"]

ALL = 1_000_000
TIMED = 20_000
"""Records whose `record` is timed in each run."""
EACH = 10_000
BARE_SHARE = 20
"""Of the records, one in so many is written with a commit of its own, which takes long."""
REPORT = "from llm_optimizers.cli import main; main()"


def record_time(run: Run) -> Iterator[Row]:
    """How long a caller waits for `record`, and what a record costs in all."""
    count = max(1_000, TIMED * run.options.records // ALL)
    made = list(records(count, seed=run.seed))
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(run.options.runs):
        run.progress(number, run.options.runs, "runs")
        with tempfile.TemporaryDirectory() as folder:
            call, slow, written = _recorded(Path(folder) / "ledger.sqlite", made)
            times["call"].append(call)
            times["slow"].append(slow)
            times["written"].append(written)
            times["many"].append(_bare(Path(folder) / "many.sqlite", made, 1_000))
            few = made[: max(1, count // BARE_SHARE)]
            times["one"].append(_bare(Path(folder) / "one.sqlite", few, 1))
    target = _claim(run, "<= 50")
    note = "median of a run's calls, in the caller's thread"
    yield _row("record_us", times["call"], target, unit="µs", note=note)
    note = "99 of 100 calls are faster; without pause, threads wait for room now and then"
    yield _row("record_99_us", times["slow"], unit="µs", note=note)
    yield _row("written_us", times["written"], unit="µs", note="a record until it is in the file")
    yield _row("sqlite_in_groups_us", times["many"], unit="µs", note="1,000 rows in a transaction")
    yield _row("sqlite_one_by_one_us", times["one"], unit="µs", note="each in its own transaction")


def files(run: Run) -> Iterator[Row]:
    """The size of a ledger, and how long a report about it takes."""
    count: int = run.options.records
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        begun = time.monotonic()
        with Ledger(path) as ledger:
            for number, record in enumerate(records(count, seed=run.seed)):
                ledger.record(record)
                run.progress(number, count, "records")
        lost = ledger.dropped
        yield Row(
            name="write_seconds", value=time.monotonic() - begun, unit="s", note="to make, too"
        )
        size = sum(each.stat().st_size for each in Path(folder).iterdir())
        note = f"all files of {count - lost:,} records, closed"
        yield _row("ledger_1m_mb", [size / 2**20], _claim(run, "<= 300"), unit="MB", note=note)
        reports, used, scans = [], [], []
        for number in range(run.options.runs):
            run.progress(number, run.options.runs, "reports")
            before = _used_by_children()
            reports.append(_timed(lambda: reported(path, count - lost)))
            used.append(_used_by_children() - before)
            scans.append(_timed(lambda: _scanned(path)))
        note = "the command, with Python's start and imports"
        target = _claim(run, "<= 5")
        yield _row("report_1m_seconds", reports, target, unit="s", note=note)
        note = "of them in a processor, which other programs on this machine do not lengthen"
        yield _row("report_cpu_seconds", used, unit="s", note=note)
        yield _row(
            "scan_seconds", scans, unit="s", note="every row read by sqlite3, nothing summed"
        )


def load(run: Run) -> Iterator[Row]:
    """What several processes lose that record without pause, and how large the log grows."""
    each = max(20, EACH * run.options.records // ALL)
    whole, cut, bare = [], [], []
    for number in range(run.options.runs):
        run.progress(number, run.options.runs, "runs")
        whole.append(under_load(through_ledger, each, kill=False))
        cut.append(under_load(through_ledger, each, kill=True))
        bare.append(under_load(commit_each, max(1, each // BARE_SHARE), kill=False))
    both = whole + cut
    note = f"{PROCESSES} processes, {THREADS} threads each, {each:,} records a thread"
    largest = [found.wal_mb for found in both]
    yield _row("wal_mb_under_load", largest, _claim(run, "<= 64"), worst=True, unit="MB", note=note)
    lost = [float(found.lost) for found in both]
    yield _row("records_lost_under_load", lost, _claim(run, "= 0"), worst=True)
    killed = [float(found.lost_to_kill) for found in cut]
    about = f"of {statistics.median(found.recorded[-1] for found in cut):,.0f} it had recorded"
    yield _row("records_lost_to_kill", killed, _claim(run, "<= 1000"), worst=True, note=about)
    rates = [sum(found.recorded) / found.seconds for found in whole]
    yield _row("records_a_second", rates, note="all processes, with their start")
    rates = [sum(found.recorded) / found.seconds for found in bare]
    note = "one commit each, by sqlite3"
    yield _row("sqlite_one_by_one_a_second", rates, note=note)
    yield _row("sqlite_one_by_one_wal_mb", [found.wal_mb for found in bare], unit="MB", note=note)
    lost = [float(found.lost) for found in bare]
    yield _row("sqlite_one_by_one_lost", lost, note=f"of {sum(bare[0].recorded):,}")


def _recorded(path: Path, made: Sequence[CallRecord]) -> tuple[float, float, float]:
    """Return microseconds: the median and the 99th percentile of calls, a record until written."""
    times = []
    with Ledger(path) as ledger:
        begun = time.perf_counter()
        for record in made:
            start = time.perf_counter()
            ledger.record(record)
            times.append(time.perf_counter() - start)
        ledger.flush()
        all_s = time.perf_counter() - begun
    slow = statistics.quantiles(times, n=100)[98]
    return statistics.median(times) * 1e6, slow * 1e6, all_s / len(made) * 1e6


def _bare(path: Path, made: Sequence[CallRecord], group: int) -> float:
    """Return the microseconds of a row that plain `sqlite3` inserts."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE bare (id TEXT PRIMARY KEY, row)")
        begun = time.perf_counter()
        for at in range(0, len(made), group):
            connection.execute("BEGIN IMMEDIATE")
            for record in made[at : at + group]:
                connection.execute("INSERT INTO bare VALUES (?, ?)", (record.id, bytes(700)))
            connection.execute("COMMIT")
        return (time.perf_counter() - begun) / len(made) * 1e6


def reported(path: Path, count: int) -> None:
    """Run the command, and see that it counted all records."""
    command = [sys.executable, "-c", REPORT, "report", str(path), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    requests = json.loads(done.stdout)["requests"]
    assert requests == count, f"the report has {requests:,} of {count:,} records"


def _scanned(path: Path) -> None:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for _ in connection.execute("SELECT * FROM calls"):
            pass


def _used_by_children() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _claim(run: Run, target: str) -> str:
    return target if run.options.records >= ALL else ""


def _row(
    name: str,
    values: Sequence[float],
    target: str = "",
    *,
    worst: bool = False,
    unit: str = "",
    note: str = "",
) -> Row:
    """Return the median of several runs, or the worst, with their spread in the note."""
    value = max(values) if worst else statistics.median(values)
    shown = "largest" if worst else "median"
    spread = f"{shown} of {len(values)}: {min(values):,.3f} to {max(values):,.3f}"
    if len(values) == 1:
        spread = ""
    return Row(
        name=name,
        value=value,
        target=target,
        unit=unit,
        note="; ".join(filter(None, (spread, note))),
    )
