"""Thousands of requests at a provider's batch price.

requests.py      BatchRequest: read, checked, cut into shards
client.py        BatchClient, a provider's batch API seen from here; BatchStatus, BatchResult
openai.py        OpenAIBatches
anthropic.py     AnthropicBatches
journal.py       Journal: what is known, on disk; journal_views.py: its tables and readings
driver.py        BatchRunner: one step that may be repeated and cut off anywhere
batch.py         ProviderBatch
flex.py          with_flex: batch price on an ordinary call
"""

from __future__ import annotations

from llm_optimizers.batching.provider.anthropic import AnthropicBatches
from llm_optimizers.batching.provider.batch import ProviderBatch
from llm_optimizers.batching.provider.client import (
    BatchClient,
    BatchResult,
    BatchStatus,
    LineOutcome,
    RemoteBatch,
)
from llm_optimizers.batching.provider.flex import with_flex
from llm_optimizers.batching.provider.openai import OpenAIBatches
from llm_optimizers.batching.provider.requests import ShardLimits

__all__ = [
    "AnthropicBatches",
    "BatchClient",
    "BatchResult",
    "BatchStatus",
    "LineOutcome",
    "OpenAIBatches",
    "ProviderBatch",
    "RemoteBatch",
    "ShardLimits",
    "with_flex",
]
