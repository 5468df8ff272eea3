"""A durable queue of jobs: priorities with aging, rates, deadlines, retries, dead letters.

job.py       Job, QueueStats: values
stored.py    jobs as a store holds them: checked, or a dead letter with the reason
rules.py     priority key, rates, RetryPolicy: pure decisions
store.py     JobStore: the storage protocol
sqlite.py    the store in memory or in an SQLite file; sqlite_*.py: its schema and statements
leases.py    which jobs were not renewed, in SQLite
clock.py     the time of a queue
redis.py     the store on Redis Streams; redis_jobs.lua: its script
gather.py    MicroBatcher: performs items of one event loop iteration as one batch
calls.py     calls the handler
worker.py    JobWorker: claims jobs, has them done, renews leases, stores outcomes
thread.py    the queue's event loop, in its own thread
loop.py      what runs in it; BacklogAlert
handles.py   JobHandle, DeadLetters: for the submitter of jobs
queue.py     JobQueue
"""

from __future__ import annotations

from llm_optimizers.batching.queue.handles import JobHandle
from llm_optimizers.batching.queue.job import Job, Priority, QueueStats
from llm_optimizers.batching.queue.loop import BacklogAlert
from llm_optimizers.batching.queue.queue import JobQueue
from llm_optimizers.batching.queue.rules import RetryPolicy

__all__ = [
    "BacklogAlert",
    "Job",
    "JobHandle",
    "JobQueue",
    "Priority",
    "QueueStats",
    "RetryPolicy",
]
