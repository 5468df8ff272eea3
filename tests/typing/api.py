"""Uses of the public API that mypy must accept; checked by `make check`, never run."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any, assert_type

from langchain_core.caches import BaseCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_llm_optimizers import (
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
    PassageCompressor,
    fresh_answers,
)
from llm_optimizers.caching import tenant
from llm_optimizers.costs import Ledger, PriceBook, Summary, Usage
from llm_optimizers.events import (
    Event,
    HitServed,
    Notice,
    StoreFailed,
    StrategyWithdrawn,
    Subscription,
    emit,
    has_listeners,
    subscribe,
)
from llm_optimizers.evidence import Comparison, SampleStore, same_answer, same_by, same_numbers
from llm_optimizers.prompts import (
    ContextBudget,
    ContextCut,
    DocumentCut,
    Optimized,
    RequestOptimizer,
)
from llm_optimizers.prompts.lossless import from_table


def cached_chain(model: BaseChatModel, embeddings: Embeddings) -> str:
    cache: BaseCache = HybridCache(embeddings, path="answers.sqlite", ttl=60, namespace="acme")
    wrapped = CachedChatModel(model, HybridCache(semantic=False))
    assert_type(wrapped.invoke("Hi"), AIMessage)
    chain = ChatPromptTemplate.from_template("{question}") | wrapped | StrOutputParser()
    with tenant("acme"), fresh_answers():
        cache.clear()
        return chain.invoke({"question": "Hi"})


def routed(small: BaseChatModel, large: BaseChatModel) -> BaseChatModel:
    return ChatModelRouter(models={"small": small, "large": large})


def comparisons() -> list[Comparison]:
    return [same_answer, partial(same_numbers, tolerance=0.01), same_by(str.casefold), str.__eq__]


def sampled(small: BaseChatModel, large: BaseChatModel) -> BaseChatModel:
    store = SampleStore("samples.sqlite", rate=0.05, ttl=7 * 86_400)
    return ChatModelRouter(models={"small": small, "large": large}, traffic=store)


def handler(prices: PriceBook) -> BaseCallbackHandler:
    return CostCallbackHandler(Ledger("costs.sqlite", prices=prices))


def account() -> Decimal:
    with Ledger() as ledger:
        summary = assert_type(ledger.summary(premium_model="gpt-4o"), Summary)
        assert_type(ledger.by_run("run"), Summary)
    usage = Usage(input_tokens=1) + Usage(output_tokens=2)
    assert_type(usage.total_tokens, int)
    return assert_type(summary.cost, Decimal)


def heard() -> None:
    def tier(hit: HitServed) -> str:
        return hit.tier

    def reason(event: StoreFailed | StrategyWithdrawn) -> None:
        reasons.append(event.reason)

    tiers: list[HitServed] = []
    reasons: list[str] = []
    everything: list[Event] = []
    assert_type(subscribe(tier, HitServed), Subscription)
    with subscribe(reason, StoreFailed, StrategyWithdrawn), subscribe(tiers.append, HitServed):
        emit(Notice(component="app", message="started"))
    subscribe(everything.append).close()
    subscribe(tier, Notice)  # type: ignore[arg-type]  # a notice has no tier
    subscribe(tier)  # type: ignore[arg-type]  # not every event has one
    assert_type(has_listeners(HitServed), bool)


def shortened(model: BaseChatModel) -> BaseChatModel:
    sent: list[Optimized] = []
    optimizer = RequestOptimizer(
        passes=frozenset({"json", "tables"}),
        context=ContextBudget(max_tokens=400, min_probability=None),
        report=sent.append,
    )
    assert_type(sent[0].context, tuple[ContextCut, ...])
    return OptimizedChatModel(model=model, optimizer=optimizer)


def compressor() -> BaseDocumentCompressor:
    cuts: list[ContextCut] = []
    assert_type(cuts[0].dropped, tuple[DocumentCut, ...])
    assert_type(cuts[0].probability, float | None)
    return PassageCompressor(max_tokens=400, min_probability=0.5, report=cuts.append)


def records(table: str) -> list[dict[str, Any]]:
    return from_table(table)
