"""Concurrent callers, few calls: any thread, any event loop.

coalescer.py    Coalescer, and SharedCall: one caller's end of a call that others share
grouping.py     GroupLimits; which callers share a call, without lock, thread or clock
dispatch.py     where groups become calls: the timer thread and the pool
slots.py        a bounded number of callers at a time
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
