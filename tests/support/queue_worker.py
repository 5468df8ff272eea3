"""A worker process for tests to kill: `python queue_worker.py STORE LOG SECONDS LEASE SLOTS`.

Each job simulates a paid call: "start ID TIME" is appended to the log before it and "end ID TIME"
after it, in one write each, so that the log has only whole lines after a kill.
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

    settings = {"url": store} if store.startswith("redis") else {"path": store}
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with JobQueue(pay, concurrency=int(slots), lease=float(lease), **settings):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
