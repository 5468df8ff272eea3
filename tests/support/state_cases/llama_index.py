"""LlamaIndex's components, made in one way and used in one way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

import llama_index_llm_optimizers as li
from llm_optimizers.batching import GroupLimits
from llm_optimizers.costs import Ledger
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.prompts import (
    ContextBudget,
    History,
    RequestOptimizer,
)
from llm_optimizers.routing import (
    KeywordPolicy,
)
from support import travellers
from support.state_cases.core import CONTEXT, LARGE, SMALL, Case, asked, noted


def replied(llm: Any) -> str:
    return travellers.answer_of_llm(llm, "How long does a refund take?")[0]


def llm(name: str = SMALL) -> travellers.LockedLLM:
    return travellers.LockedLLM(model=name, client=threading.Lock())


def llm_router(path: Path) -> li.RoutedLLM:
    policy = KeywordPolicy(weak=SMALL, strong=LARGE)
    return li.RoutedLLM(
        [llm(), llm(LARGE)],
        policy=policy,
        ledger=Ledger(path / "costs.sqlite"),
        traffic=SampleStore(path / "samples.sqlite", rate=1),
    )


LLAMA_INDEX = [
    Case(
        name="CachedLLM",
        make=lambda path: li.CachedLLM(
            llm(), li.HybridCache(path=path / "answers.sqlite"), system_prompt="Be brief."
        ),
        use=lambda each: (replied(each), each.system_prompt),
    ),
    Case(
        name="RoutedLLM",
        make=llm_router,
        use=lambda each: (replied(each), len(list(each.traffic.samples())) > 0),
    ),
    Case(
        name="PromptOptimizingLLM",
        make=lambda _: li.PromptOptimizingLLM(
            llm(), RequestOptimizer(context=ContextBudget(max_tokens=60))
        ),
        use=lambda each: (
            replied(each),
            each.optimizer.optimize(asked(f"{CONTEXT}\nCats?")).tokens,
        ),
    ),
    Case(
        name="BatchedLLM",
        make=lambda _: li.BatchedLLM(
            llm(), combine=True, limits=GroupLimits(max_delay=0), namespace=travellers.acme
        ),
        use=lambda each: (replied(each), each.combine, each.namespace),
    ),
    Case(
        name="all four LLMs",
        make=lambda path: li.CachedLLM(
            li.RoutedLLM({"a": li.PromptOptimizingLLM(llm()), "b": li.BatchedLLM(llm(LARGE))})
        ),
        use=replied,
    ),
    Case(
        name="LlamaIndex HybridCache",
        make=lambda path: li.HybridCache(
            MockEmbedding(embed_dim=3), path=path / "answers.sqlite", namespace=travellers.acme
        ),
        use=lambda cache: cache.tenant(),
    ),
    Case(
        name="CostEventHandler",
        make=lambda path: li.CostEventHandler(Ledger(path / "costs.sqlite")),
        use=lambda handler: noted(handler.ledger),
    ),
    Case(
        name="PromptCompressor",
        make=lambda _: li.PromptCompressor(
            max_tokens=20, embed_model=MockEmbedding(embed_dim=3), report=travellers.ignore
        ),
        use=lambda each: each.postprocess_nodes(
            [NodeWithScore(node=TextNode(text=f"{n} cats.", id_=str(n))) for n in range(9)],
            QueryBundle("5 cats"),
        ),
    ),
    Case(
        name="HistoryBlock",
        make=lambda _: li.HistoryBlock(history=History(keep=1, every=2), model=LARGE),
        use=lambda block: (block.history.every, block.model),
    ),
    Case(
        name="with_embeddings_cache",
        make=lambda _: li.with_embeddings_cache(MockEmbedding(embed_dim=3)),
        use=lambda model: (
            model.get_text_embedding("cats"),
            model.embeddings_cache.get("cats", "embeddings") is not None,
        ),
    ),
]
