"""Thousands of requests at a provider's batch price.

batch.py         ProviderBatch: submit requests and collect their results
prepared.py      PreparedRequest: a request with what the app knows about it
requests.py      BatchRequest: a request, read and checked; shards within a provider's limits
client.py        BatchClient: a provider's batch API; BatchStatus, BatchResult
openai.py        OpenAIBatches
anthropic.py     AnthropicBatches
journal.py       BatchJournal: requests, shards and results on disk; journal_reader.py: its queries
runner.py        BatchRunner: one step of a job, safe to repeat or interrupt
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
from llm_optimizers.batching.provider.prepared import PreparedRequest, RequestContext
from llm_optimizers.batching.provider.requests import ShardLimits

__all__ = [
    "AnthropicBatches",
    "BatchClient",
    "BatchResult",
    "BatchStatus",
    "LineOutcome",
    "OpenAIBatches",
    "PreparedRequest",
    "ProviderBatch",
    "RemoteBatch",
    "RequestContext",
    "ShardLimits",
    "with_flex",
]
