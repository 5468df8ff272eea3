"""Jobs that can wait, done in order of urgency, and never lost.

job.py       Job, QueueStats: values, and their stored text
rules.py     who is next, the rates, RetryPolicy: pure decisions
store.py     JobStore: what a queue needs of the place that keeps its jobs
sqlite.py    the store in memory or in an SQLite file; sqlite_line.py: its statements
redis.py     the store on Redis; redis_line.lua: its statements; redis_delivery.py: streaq
worker.py    JobWorker: the handler's call and what its failure means; poll: its loop
session.py   what runs in the queue's own event loop; BacklogAlert
handles.py   JobHandle, DeadLetters: the submitter's end
queue.py     JobQueue
"""

from __future__ import annotations

from llm_optimizers.batching.queue.handles import JobHandle
from llm_optimizers.batching.queue.job import Job, Priority, QueueStats
from llm_optimizers.batching.queue.queue import JobQueue
from llm_optimizers.batching.queue.rules import RetryPolicy
from llm_optimizers.batching.queue.loop import BacklogAlert

__all__ = [
    "BacklogAlert",
    "Job",
    "JobHandle",
    "JobQueue",
    "Priority",
    "QueueStats",
    "RetryPolicy",
]
