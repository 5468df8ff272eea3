"""Uses of the LlamaIndex components that mypy must accept; checked by `make check`, never run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_type

from llama_index.core import Settings
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.indices.base import BaseIndex
from llama_index.core.llms.llm import LLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor

from llama_index_llm_optimizers import (
    BatchedLLM,
    CachedLLM,
    CachedQueryEngine,
    CostEventHandler,
    HybridCache,
    PromptCompressor,
    PromptOptimizingLLM,
    RoutedLLM,
    abatch_chat,
    optimized_settings,
    with_embeddings_cache,
)
from llm_optimizers.costs import Ledger, Summary
from llm_optimizers.routing import KeywordPolicy


def stacked(small: LLM, large: LLM, embed_model: BaseEmbedding) -> LLM:
    policy = KeywordPolicy(weak="small", strong="large")
    routed = RoutedLLM(models={"small": BatchedLLM(llm=small), "large": large}, policy=policy)
    cache = HybridCache(embed_model, path="answers.sqlite", ttl=60)
    return CachedLLM(llm=PromptOptimizingLLM(llm=routed), cache=cache)


def settled(llm: LLM, embed_model: BaseEmbedding) -> Summary:
    Settings.llm = CachedLLM(llm)
    with optimized_settings(llm=llm, embed_model=embed_model, ledger=Ledger()) as costs:
        assert_type(costs, CostEventHandler)
        return assert_type(costs.summary(), Summary)


def engine(index: BaseIndex[Any]) -> BaseQueryEngine:
    return CachedQueryEngine(index.as_query_engine(), HybridCache(semantic=False))


def compressor() -> BaseNodePostprocessor:
    return PromptCompressor(max_tokens=500, min_probability=None, report=print)


class OwnEmbedding(BaseEmbedding):
    """A user's own model keeps its type."""


def embedding(model: OwnEmbedding) -> OwnEmbedding:
    return assert_type(with_embeddings_cache(model), OwnEmbedding)


async def many(llm: LLM, conversations: Sequence[Sequence[ChatMessage]]) -> None:
    found = await abatch_chat(llm, conversations, max_concurrency=5)
    assert_type(found, list[ChatResponse | BaseException])
