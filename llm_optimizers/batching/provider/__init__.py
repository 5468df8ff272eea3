"""Thousands of requests at a provider's batch price.

requests.py      BatchRequest: read, checked, cut into shards
client.py        BatchClient: what a provider's batch API looks like from here
openai.py        OpenAIBatches; anthropic.py: AnthropicBatches; clients.py chooses
journal.py       Journal: what is known, on disk; journal_views.py: its tables and readings
driver.py        BatchDriver: one step that may be repeated and cut off anywhere
values.py        BatchStatus, BatchResult
batch.py         ProviderBatch
flex.py          with_flex: batch price on an ordinary call
"""

from __future__ import annotations

from llm_optimizers.batching.provider.anthropic import AnthropicBatches
from llm_optimizers.batching.provider.batch import ProviderBatch
from llm_optimizers.batching.provider.client import BatchClient
from llm_optimizers.batching.provider.openai import OpenAIBatches
from llm_optimizers.batching.provider.requests import ShardLimits
from llm_optimizers.batching.provider.values import BatchResult, BatchStatus

__all__ = [
    "AnthropicBatches",
    "BatchClient",
    "BatchResult",
    "BatchStatus",
    "OpenAIBatches",
    "ProviderBatch",
    "ShardLimits",
]
