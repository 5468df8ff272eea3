"""Calls that can share a request or can wait.

coalescing/   Coalescer: concurrent callers of any thread and event loop share calls
combining/    CombinedAsk: several questions in one prompt; compare_combined tests it on a sample
queue/        JobQueue: jobs by priority, within rates, in memory, on SQLite or on Redis
provider/     ProviderBatch: thousands of requests at a provider's batch price; with_flex
rows.py       AskRows: a function over rows, for frameworks that map functions over partitions
"""

from __future__ import annotations

from llm_optimizers.batching.coalescing import Coalescer, GroupLimits
from llm_optimizers.batching.combining import AgreementReport, CombinedAsk, compare_combined
from llm_optimizers.batching.provider import (
    AnthropicBatches,
    BatchResult,
    BatchStatus,
    OpenAIBatches,
    ProviderBatch,
    ShardLimits,
    with_flex,
)
from llm_optimizers.batching.queue import (
    BacklogAlert,
    Job,
    JobHandle,
    JobQueue,
    QueueStats,
    RetryPolicy,
)
from llm_optimizers.batching.rows import AskRows
from llm_optimizers.lazy import lazy_names

__all__ = [
    "AgreementReport",
    "AnthropicBatches",
    "AskRows",
    "BacklogAlert",
    "BatchResult",
    "BatchStatus",
    "Coalescer",
    "CombinedAsk",
    "GroupLimits",
    "Job",
    "JobHandle",
    "JobQueue",
    "OpenAIBatches",
    "ProviderBatch",
    "QueueStats",
    "RetryPolicy",
    "ShardLimits",
    "compare_combined",
    "with_flex",
]

__getattr__, __dir__ = lazy_names(__name__, {}, renamed={"GateReport": "AgreementReport"})
