"""Rows asked by the processes of a pool, on a small scale, with every answer checked."""

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
    """Return the rows a second in several processes, against the same loop in this one.

    The server, 10 ms an answer, runs in this process, so that the loop in this process shares its
    core with the server.
    """
    rows = [{"id": n, "prompt": f"q{n}" if n % 12 else None} for n in range(ASKED_ROWS)]
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    with openai_server(delay=0.01) as server:
        client = partial(OpenAI, base_url=server.url, api_key="none")
        ask = AskRows("gpt-4o-mini", client=client, provider="openai")
        ask(chunks[0])
        one = timed_rows(server, lambda: list(map(ask, chunks)))
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            pool.map(ask, [chunks[0]] * PROCESSES * 2, chunksize=1)
            several = timed_rows(server, lambda: pool.map(ask, chunks, chunksize=1))
        ask.close()
    row = Row(
        name="rows_over_processes_vs_one",
        value=several / one,
        target="> 1",
        note=f"{several:.0f} of {one:.0f} rows a second in {PROCESSES} processes, all correct",
    )
    return [
        row,
        Row(name="rows over processes: answered", value=ASKED_ROWS - BAD_ROWS, unit=""),
        Row(name="rows over processes: errors kept in their row", value=BAD_ROWS, unit=""),
    ]


def timed_rows(server: FakeOpenAI, run: Callable[[], list[list[dict[str, Any]]]]) -> float:
    """Return the rows a second; raise SystemExit if a row is missing, moved or wrong."""
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
