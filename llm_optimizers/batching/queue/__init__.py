"""A durable queue of jobs: priorities with aging, rates, deadlines, retries, dead letters.

job.py       Job, QueueStats: values, and their stored text
rules.py     priority key, rates, RetryPolicy: pure decisions
store.py     JobStore: the storage protocol
sqlite.py    the store in memory or in an SQLite file; sqlite_statements.py: its statements
redis.py     the store on Redis Streams; redis_jobs.lua: its script
gather.py    MicroBatcher: performs items of one event loop iteration as one batch
worker.py    JobWorker: claims jobs, calls the handler, renews leases, acknowledges
loop.py      the queue's event loop and what runs in it; BacklogAlert
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
