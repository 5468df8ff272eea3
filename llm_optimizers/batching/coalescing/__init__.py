"""Concurrent callers, from any thread and event loop, share calls.

coalescer.py    Coalescer, and SharedCall: one caller's handle of a shared call
grouping.py     GroupLimits, and Grouping: which callers share a call
dispatch.py     Dispatch: makes the calls, with a timer thread and other threads
threads.py      CallThreads: threads that end with their work
slots.py        Slots: limits the number of waiting callers
"""

from __future__ import annotations

from llm_optimizers.batching.coalescing.coalescer import Coalescer, SharedCall
from llm_optimizers.batching.coalescing.dispatch import RetryAlone, is_item_error
from llm_optimizers.batching.coalescing.grouping import GroupLimits

__all__ = [
    "Coalescer",
    "GroupLimits",
    "RetryAlone",
    "SharedCall",
    "is_item_error",
]
