"""A worker process to be killed: `python queue_worker.py STORE LOG SECONDS LEASE SLOTS`.

Each job is a call that would be paid: it appends "start ID TIME" to the log before it and
"end ID TIME" after it, in one write each, so that the log is whole whenever it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time

from llm_optimizers.batching import JobQueue


def main(store: str, log: str, seconds: str, lease: str, slots: str) -> None:
    lines = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def pay(payload: dict[str, str]) -> str:
        os.write(lines, f"start {payload['id']} {time.time()}\n".encode())
        await asyncio.sleep(float(seconds))
        os.write(lines, f"end {payload['id']} {time.time()}\n".encode())
        return payload["id"]

    where = {"url": store} if store.startswith("redis") else {"path": store}
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with JobQueue(pay, concurrency=int(slots), lease=float(lease), **where):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
