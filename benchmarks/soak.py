"""One minute of everything at once: is any call lost, any answer crossed, anything left behind?

    python benchmarks/soak.py --seconds 60

Four processes (two of each framework) with 64 threads and 8 event loops each share a cache file
and a ledger file. Two tenants ask the same questions of a provider that refuses, fails and breaks
off at random; callers cancel and leave streams; one process is killed in the middle.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from harness import Row, Run, Section, main
from llm_optimizers.costs import Ledger
from soak.apps import Place
from soak.provider import provider
from soak.worker import LOOPS, TASKS, THREADS, Report
from soak.worker import run as work

_PROCESSES = ("langchain-a", "llama-index-a", "langchain-b", "llama-index-b")
_KILLED = "llama-index-b"
_BUFFER = 1_000
_SETTLE_S = 120.0
"""Seconds that a process may take to end its work and report."""


def soak(run: Run) -> Iterator[Row]:
    """Start the processes, kill one midway, and compare what the provider got with the ledger."""
    seconds: float = run.options.seconds
    with tempfile.TemporaryDirectory() as folder, provider(run.seed) as server:
        place = Place(url=server.url, folder=Path(folder))
        started = [_started(name, place, seconds, run.seed) for name in _PROCESSES]
        for _, pipe in started:
            pipe.recv()
        reports = _reports(run, started, seconds)
        time.sleep(1.0)  # for what the provider still does for callers who left
        requests = server.requests()
        yield from _rows(requests, place, reports)


def _started(name: str, place: Place, seconds: float, seed: int) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (name, place, seconds, seed * 100 + _PROCESSES.index(name), theirs)
    process = context.Process(target=work, args=arguments, name=name, daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _reports(
    run: Run, started: list[tuple[BaseProcess, Connection]], seconds: float
) -> list[Report]:
    """Wait for the processes, and kill one in the middle of its work."""
    begun = time.monotonic()
    killed = False
    reports: list[Report] = []
    waiting = {pipe: process for process, pipe in started}
    while waiting and time.monotonic() < begun + seconds + _SETTLE_S:
        now = time.monotonic() - begun
        if now < seconds:
            run.progress(int(now), int(seconds), "seconds")
        for pipe, process in list(waiting.items()):
            if process.name == _KILLED and not killed and now > seconds / 2:
                killed = True
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                del waiting[pipe]
            elif pipe.poll(0.1):
                del waiting[pipe]
                with suppress(EOFError):  # it failed; the row that counts the reports says so
                    reports.append(pipe.recv())
    for process in waiting.values():
        run.say(f"  {process.name} did not end")
        process.kill()
    return reports


def _rows(requests: list[tuple[str, str]], place: Place, reports: list[Report]) -> Iterator[Row]:
    got, broken = Counter(op for op, _ in requests), {op for op, how in requests if how == "half"}
    recorded, statuses = Counter[str](), Counter[str]()
    with Ledger(place.ledger) as ledger:
        for record in ledger.records():
            hit = record.hit_strategy is not None
            statuses["hit" if hit else record.status] += 1
            recorded.update([] if hit else [record.tags.get("op", "")])
    missing = got - recorded
    lost_in_kill = sum(count for op, count in missing.items() if op.startswith(_KILLED))
    yield from _counts("calls at the provider", Counter(how for _, how in requests))
    yield from _counts("records in the ledger", statuses)
    yield Row(name="  for calls never sent, cancelled before", value=(recorded - got).total())
    yield from _counts("callers", sum((report.done for report in reports), Counter[str]()))
    yield Row(name="processes that ended", value=len(reports), target=f"= {len(_PROCESSES) - 1}")
    yield Row(
        name="calls without a record",
        value=missing.total() - lost_in_kill,
        target=f"= {sum(report.dropped for report in reports)}",
        note="counted as dropped",
    )
    yield Row(
        name="lost with the killed process",
        value=lost_in_kill,
        target=f"<= {THREADS + LOOPS * TASKS + _BUFFER}",
        note="its calls in flight, and what its ledger's buffer held",
    )
    wrong = {op: text for report in reports for op, text in report.wrong.items()}
    # Where a stream breaks off without a length, the SDK passes on what came as the answer. Only
    # to the caller whose stream it was: nobody else may get it.
    cut = {op for report in reports for op in report.cut}
    yield Row(name="  streams that broke off in silence", value=len(cut & broken))
    yield Row(
        name="wrong or crossed answers",
        value=len(wrong),
        target="= 0",
        note="".join(wrong.values())[:200],
    )
    yield Row(name="broken answers served again", value=len(cut - broken), target="= 0")
    yield from _vitals(reports)


def _counts(name: str, counted: Counter[str]) -> Iterator[Row]:
    yield Row(name=name, value=counted.total())
    for kind, count in sorted(counted.items()):
        yield Row(name=f"  {kind}", value=count)


def _vitals(reports: list[Report]) -> Iterator[Row]:
    for report in reports:
        start, peak, end = (report.vitals[moment] for moment in ("start", "peak", "end"))
        for number, (what, slack) in enumerate((("descriptors", 4), ("threads", 2))):
            yield Row(
                name=f"{report.name} {what} at the end",
                value=end[number],
                target=f"<= {start[number] + slack}",
                note=f"{start[number]} at the start, {peak[number]} in the middle",
            )
        yield Row(
            name=f"{report.name} memory at the end",
            value=round(end[2]),
            target=f"<= {round(start[2] * 1.25 + 30)}",
            unit="MB",
            note=f"{start[2]:.0f} at the start, {peak[2]:.0f} in the middle",
        )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the processes work")


SECTIONS = [Section(name="soak", measure=soak, about="calls, answers and resources under load")]

if __name__ == "__main__":
    main(__doc__, SECTIONS, _options)
