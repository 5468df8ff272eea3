"""Work that need not be answered alone, or not now.

Coalescer       concurrent callers of any thread and event loop share calls
CombinedAsk     several questions in one prompt, behind `compare_combined`, its gate
JobQueue        jobs by priority, within rates, in memory, on SQLite or on Redis
"""

from __future__ import annotations

from llm_optimizers.batching.coalescing.coalescer import Coalescer
from llm_optimizers.batching.coalescing.grouping import GroupLimits
from llm_optimizers.batching.combining.ask import CombinedAsk
from llm_optimizers.batching.combining.gate import GateReport, compare_combined
from llm_optimizers.batching.provider import (
    AnthropicBatches,
    BatchResult,
    BatchStatus,
    OpenAIBatches,
    ProviderBatch,
    ShardLimits,
)
from llm_optimizers.batching.provider.flex import with_flex
from llm_optimizers.batching.queue import (
    BacklogAlert,
    Job,
    JobHandle,
    JobQueue,
    QueueStats,
    RetryPolicy,
)
from llm_optimizers.batching.rows import AskRows

__all__ = [
    "AnthropicBatches",
    "AskRows",
    "BacklogAlert",
    "BatchResult",
    "BatchStatus",
    "Coalescer",
    "CombinedAsk",
    "GateReport",
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
