"""Jobs that can wait, done in order of urgency, and never lost.

job.py          Job, QueueStats: values
retries.py      RetryPolicy: again later, or dead
rates.py        requests and tokens a minute
store.py        JobStore: what a queue needs of the place that keeps its jobs
codec.py        JSON in and out, checked
sqlite.py       the store in memory or in a SQLite file; sqlite_line.py, sqlite_rows.py
polling.py      a worker's loop over a store that is asked for work
redis.py        the store on Redis, delivered by streaq; redis_line.lua
worker.py       JobWorker: the handler's call and what its failure means
session.py      what runs in the queue's own event loop
threads.py      that loop's thread
handles.py      JobHandle, DeadLetters: the submitter's end
alerts.py       BacklogAlert
queue.py        JobQueue
"""

from __future__ import annotations

from llm_optimizers.batching.queue.alerts import BacklogAlert
from llm_optimizers.batching.queue.handles import JobHandle
from llm_optimizers.batching.queue.job import Job, Priority, QueueStats
from llm_optimizers.batching.queue.queue import JobQueue
from llm_optimizers.batching.queue.retries import RetryPolicy

__all__ = [
    "BacklogAlert",
    "Job",
    "JobHandle",
    "JobQueue",
    "Priority",
    "QueueStats",
    "RetryPolicy",
]
