"""The recorded provider in its own process, and its bill."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

from day.rule import DayRule
from day.traffic import DAY, HISTORY, read
from llm_optimizers.costs import PriceBook
from llm_optimizers.replay.provider import Billed
from llm_optimizers.replay.server import recorded_server

BATCH_PRICE = Decimal("0.5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What the provider billed; `unrecorded` counts the cheap model's answers without a record."""

    lines: list[Billed]
    unrecorded: int

    def of_day(self) -> list[Billed]:
        """Return the measured day's lines; a line without a request belongs to the one before."""
        found: list[Billed] = []
        counts = False
        for line in self.lines:
            counts = line.request_id.startswith("r") if line.request_id else counts
            if counts:
                found.append(line)
        return found


def dollars(line: Billed) -> Decimal:
    """Return the price of a line."""
    rates = _rates(line.model)
    full = line.prompt_tokens * rates[0] + line.completion_tokens * rates[1]
    return full * BATCH_PRICE if line.batch else full


@lru_cache
def _rates(model: str) -> tuple[Decimal, Decimal]:
    rates = PriceBook().rates(model, provider="openai")
    return rates.input, rates.output


class Provider:
    """A handle of the provider's process."""

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url = url
        self._pipe = pipe

    def bill(self) -> Bill:
        """Return what was billed so far."""
        self._pipe.send("bill")
        found: Bill = self._pipe.recv()
        return found


@contextmanager
def provider(folder: Path, *, history: bool, assumed: bool) -> Iterator[Provider]:
    """Run a provider that knows the folder's requests, as long as the block runs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, folder, history, assumed), daemon=True)
    process.start()
    theirs.close()  # so that `recv` raises if the process cannot start
    try:
        yield Provider(ours.recv(), ours)
    finally:
        process.terminate()
        process.join()


def _run(pipe: Connection, folder: Path, history: bool, assumed: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    files = [folder / DAY, *([folder / HISTORY] if history else [])]
    rule = DayRule(itertools.chain.from_iterable(map(read, files)), assumed=assumed)
    lines: list[Billed] = []
    lock = threading.Lock()

    def write(line: Billed) -> None:
        with lock:
            lines.append(line)

    with recorded_server(rule, write) as url:
        pipe.send(url)
        while pipe.recv() == "bill":
            with lock:
                pipe.send(Bill(lines=list(lines), unrecorded=rule.unrecorded))
