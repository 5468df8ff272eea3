"""A million prompts in small: rows asked over the processes of a pool, each one checked."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from openai import OpenAI

from harness import Row
from llm_optimizers.batching import AskRows
from support.openai_server import FakeOpenAI, openai_server

ASKED_ROWS = 1_200
BAD_ROWS = 100
CHUNK = 50
PROCESSES = 2


def rows_over_processes() -> list[Row]:
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
    return [
        row,
        Row(name="rows over processes: answered", value=ASKED_ROWS - BAD_ROWS, unit=""),
        Row(name="rows over processes: errors kept in their row", value=BAD_ROWS, unit=""),
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
