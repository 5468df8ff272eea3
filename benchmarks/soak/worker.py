"""One process of the soak: threads and event loops that ask, stream, give up and cancel."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from soak.apps import TENANTS, App, LangChainApp, LlamaIndexApp, Place
from soak.provider import answer_to

THREADS = 64
LOOPS = 8
TASKS = 4
"""Tasks of each event loop at the same time."""
_WARM_S = 5.0
_KNOWN = 300
"""Questions that are asked again and again."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What one process did.

    `wrong` describes answers that were not the right one, by operation. `cut` are operations whose
    answer is the beginning of the right one. `vitals` are descriptors, threads and megabytes, by
    moment.
    """

    name: str
    done: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    dropped: int = 0
    vitals: dict[str, tuple[int, int, float]] = field(default_factory=dict)


def run(name: str, place: Place, seconds: float, seed: int, pipe: Connection) -> None:
    """Work for some seconds, then report."""
    report = Report(name=name)
    made = LangChainApp if name.startswith("langchain") else LlamaIndexApp
    app: Any = made(place)
    driver = _Driver(app, report, random.Random(seed), name)
    driver.warm_up()
    report.vitals["start"] = _vitals()
    pipe.send("ready")
    driver.work(time.monotonic() + seconds, lambda: report.vitals.update(peak=_vitals()))
    app.close()
    app.close_files()
    report.dropped = app.ledger.dropped
    del app, driver
    for _ in range(20):  # threads that wait for a moment before they end
        gc.collect()
        report.vitals["end"] = _vitals()
        if report.vitals["end"][1] <= report.vitals["start"][1]:
            break
        time.sleep(0.5)
    pipe.send(report)


class _Driver:
    def __init__(self, app: App, report: Report, rng: random.Random, name: str) -> None:
        self._app = app
        self._report = report
        self._rng = rng
        self._name = name
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Work for some seconds, so that everything that is loaded or kept once is there."""
        self.work(time.monotonic() + _WARM_S, lambda: None)
        gc.collect()

    def work(self, until: float, halfway: Any) -> None:
        """Run all threads and loops until then."""
        seeds = [self._rng.random() for _ in range(THREADS)]
        threads = [
            threading.Thread(target=self._until, args=(until, random.Random(seed)))
            for seed in seeds
        ]
        threads += [
            threading.Thread(target=asyncio.run, args=(self._looped(until),)) for _ in range(LOOPS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(max(0.0, (until - time.monotonic()) / 2))
        halfway()
        for thread in threads:
            thread.join()

    def _until(self, until: float, rng: random.Random) -> None:
        while time.monotonic() < until:
            self._threaded(rng)

    def _threaded(self, rng: random.Random) -> None:
        """Do one thing at random."""
        kind = _drawn(rng, _SYNC)
        op, owner, question = self._next(rng)
        with self._counted(kind):
            if kind == "ask":
                self._check(op, owner, question, self._app.ask(op, owner, question))
                return
            chunks = self._app.stream(op, owner, question)
            if kind == "stream":
                self._check(op, owner, question, "".join(chunks))
            else:
                for _ in range(rng.randrange(4)):
                    next(chunks, None)
                chunks.close()  # type: ignore[attr-defined]  # both apps' are generators

    async def _looped(self, until: float) -> None:
        """Run tasks in this event loop until then, with clients of its own."""
        app = self._app.client()
        rng = random.Random(self._rng.random())

        async def forever() -> None:
            while time.monotonic() < until:
                await self._task(app, rng)

        await asyncio.gather(*(forever() for _ in range(TASKS)))
        app.close()
        await app.aclose()

    async def _task(self, app: App, rng: random.Random) -> None:
        kind = _drawn(rng, _ASYNC)
        op, owner, question = self._next(rng)
        with self._counted(kind):
            if kind == "await":
                self._check(op, owner, question, await app.aask(op, owner, question))
            elif kind == "cancel":
                with suppress(TimeoutError):
                    async with asyncio.timeout(rng.uniform(0.0, 0.03)):
                        await app.aask(op, owner, question)
            else:
                whole = kind == "async stream"
                pieces, chunks = [], app.astream(op, owner, question)
                left = 10**6 if whole else rng.randrange(4)
                async for piece in chunks:
                    pieces.append(piece)
                    left -= 1
                    if left <= 0:
                        break
                await chunks.aclose()  # type: ignore[attr-defined]  # as above
                if whole:
                    self._check(op, owner, question, "".join(pieces))

    def _next(self, rng: random.Random) -> tuple[str, str, str]:
        """Return a new operation's id, its tenant and its question, which may have been asked."""
        number = next(self._numbers)
        about = f"{rng.randrange(_KNOWN)}" if rng.random() < 0.6 else f"{self._name} {number}"
        question = f"When does the shop with the number {about} open on Sundays?"
        return f"{self._name}-{number}", rng.choice(TENANTS), question

    def _check(self, op: str, owner: str, question: str, text: str) -> None:
        right = answer_to(owner, question)
        if text == right:
            return
        with self._lock:
            if right.startswith(text):
                self._report.cut.add(op)
            else:
                self._report.wrong[op] = f"{owner} asked {question!r} and got {text!r}"

    def _counted(self, kind: str) -> Any:
        return _Counted(self._report, self._lock, kind)


_SYNC = (("ask", 0.6), ("stream", 0.25), ("leave a stream", 0.15))
_ASYNC = (
    ("await", 0.5),
    ("async stream", 0.2),
    ("cancel", 0.2),
    ("leave an async stream", 0.1),
)


def _drawn(rng: random.Random, kinds: tuple[tuple[str, float], ...]) -> str:
    return rng.choices([kind for kind, _ in kinds], [share for _, share in kinds])[0]


class _Counted:
    """Counts how an operation ended; the provider's failures are expected."""

    def __init__(self, report: Report, lock: threading.Lock, kind: str) -> None:
        self._report, self._lock, self._kind = report, lock, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> bool:
        with self._lock:
            self._report.done[self._kind if kind is None else f"failed: {kind.__name__}"] += 1
        return kind is not None and issubclass(kind, Exception)


def _vitals() -> tuple[int, int, float]:
    """Return this process's open descriptors, threads and megabytes in memory."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return descriptors, threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE") / 1e6
