"""Run an app through the day in its own process, and measure the time and memory it takes.

The requests of each of the two tenants come in order of time from a separate thread. The tenants
share only the cache's capacity, so the result hardly depends on which thread is faster.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path

from day.stock import CONTEXT_TOKENS, StockApp, load_vectors
from day.traffic import DAY, HISTORY, LABELLED, ROUTER, TENANTS, Request, read
from llm_optimizers.costs import Ledger
from llm_optimizers.replay.app import AppReply, Endpoint, ReplayApp, Strategies, open_app
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.replay.run import send_batch
from llm_optimizers.routing.learning.artefact import read_artefact

Progress = Callable[[int, int, str], None]
"""Called with the requests done, the requests in all, and the name of their file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is switched on, and whether the history comes first (warm) or not (cold).

    `stock` names stock parts to use instead of ours. With `labelled_only` features without labels
    are not routed; routed and other requests then have separate caches.
    """

    name: str
    prompts: bool = False
    cache: bool = False
    cache_entries: int = 10_000
    router: bool = False
    labelled_only: bool = False
    batch: bool = False
    warm: bool = False
    assumed: bool = False
    stock: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedReply:
    """A reply to the app: its word, the request it was made for, and the model that served it."""

    word: str
    source: str
    tier: str | None
    model: str


@dataclass(slots=True, kw_only=True)
class DayResult:
    """The replies of a day by request, and the time and memory of the app's process."""

    served: dict[str, ServedReply] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_mb: float = 0.0
    accounted: bool = True
    """Whether the ledger recorded every call; stock parts have no ledger."""
    ledger_cost: float = 0.0
    ledger_baseline: float = 0.0


def run_day(setup: Setup, folder: Path, url: str, progress: Progress) -> DayResult:
    """Run the day in a fresh process.

    Raises:
        RuntimeError: the process ended without a result.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(setup, folder, url, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        while True:
            message = ours.recv()
            if isinstance(message, DayResult):
                return message
            progress(*message)
    except EOFError:
        raise RuntimeError(f"{setup.name}: the app's process ended early") from None
    finally:
        process.terminate()
        process.join()


def _run(setup: Setup, folder: Path, url: str, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ledger = Ledger()
    artefact = read_artefact(folder / ROUTER) if setup.router else None
    endpoint = Endpoint(base_url=url, api_key="recorded", recorded=True)
    strategies = Strategies(
        cache=setup.cache,
        cache_entries=setup.cache_entries,
        prompts=setup.prompts,
        context_tokens=CONTEXT_TOKENS,
        router=artefact,
    )
    if setup.stock:
        app: ReplayApp = StockApp(setup.stock, endpoint, load_vectors(folder, setup.stock))
    else:
        app = open_app("langchain", strategies, endpoint, ledger)
    if setup.labelled_only:
        unrouted = open_app("langchain", replace(strategies, router=None), endpoint, ledger)
        app = ByFeature(app, unrouted)

    def batch(requests: Sequence[Request]) -> dict[str, AppReply]:
        logged = [request.logged() for request in requests]
        routing = None if setup.labelled_only else artefact
        return dict(send_batch(logged, endpoint, ledger, routing))

    with closing(app):
        if setup.warm:
            _send(app, batch if setup.batch else None, folder / HISTORY, pipe)
        started = datetime.now(UTC)
        day = _send(app, batch if setup.batch else None, folder / DAY, pipe)
        day.peak_mb = _peak_mb()
        summary = ledger.summary(since=started)
        day.accounted = not setup.stock
        day.ledger_cost = float(summary.cost)
        day.ledger_baseline = float(summary.baseline_cost)
    pipe.send(day)


class ByFeature:
    """A `ReplayApp` of two others: one for features with labels, one for the rest."""

    def __init__(self, labelled: ReplayApp, others: ReplayApp) -> None:
        self._labelled = labelled
        self._others = others

    def ask(self, logged: LoggedRequest) -> AppReply:
        """See `ReplayApp.ask`."""
        app = self._labelled if logged.feature in LABELLED else self._others
        return app.ask(logged)

    def close(self) -> None:
        """See `ReplayApp.close`."""
        self._labelled.close()
        self._others.close()


Batch = Callable[[Sequence[Request]], dict[str, AppReply]]


def _send(app: ReplayApp, batch: Batch | None, path: Path, pipe: Connection) -> DayResult:
    """Send a file's requests; the CPU time of reading them is not counted."""
    total = sum(1 for _ in path.open("rb"))
    day = DayResult()
    lock = threading.Lock()
    reading = Stopwatch()

    def record(request: Request, reply: AppReply) -> None:
        word, source = _parse(reply.text)
        served = ServedReply(word=word, source=source, tier=reply.tier, model=reply.model)
        with lock:
            day.served[request.id] = served
            done = len(day.served) + day.errors.total()
            if done % 50 == 0 or done == total:
                pipe.send((done, total, path.stem))

    def tenant(name: str) -> None:
        for request in reading.timed(read(path)):
            if request.tenant != name or (batch and request.feature == "chores"):
                continue
            try:
                record(request, app.ask(request.logged()))
            except Exception as error:
                with lock:
                    day.errors[f"{type(error).__name__}: {error}"[:200]] += 1

    started, cpu = time.perf_counter(), time.process_time()
    if batch is not None:
        chores = [each for each in reading.timed(read(path)) if each.feature == "chores"]
        for _, group in groupby(chores, key=lambda each: each.day):
            of_day = list(group)
            replies = batch(of_day)
            for request in of_day:
                if request.id in replies:
                    record(request, replies[request.id])
    with ThreadPoolExecutor(len(TENANTS)) as pool:
        list(pool.map(tenant, TENANTS))
    day.wall_s = time.perf_counter() - started
    day.cpu_s = time.process_time() - cpu - reading.seconds
    return day


class Stopwatch:
    """Counts the CPU seconds that threads spend in iterators."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def timed(self, items: Iterator[Request]) -> Iterator[Request]:
        """Yield the items and count the time it takes to get each."""
        while True:
            start = time.thread_time()
            item = next(items, None)
            with self._lock:
                self.seconds += time.thread_time() - start
            if item is None:
                return
            yield item


def _parse(text: str) -> tuple[str, str]:
    """Return a reply's first word, and the request that it was made for."""
    words = text.split()
    source = next((word for word in words[1:3] if word[0] in "hr" and word[1:2].isdigit()), "")
    return (words[0] if words else ""), source


def _peak_mb() -> float:
    """Return the peak memory of this process; `ru_maxrss` may be its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024
