"""Records and savings of several strategies around one model."""

from __future__ import annotations

from decimal import Decimal

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder

from langchain_llm_optimizers import (
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    OptimizedChatModel,
    PromptOptimizer,
)
from llm_optimizers.routing import Always
from support.fakes import StreamingFake

BLOATED = '<context>{\n    "order": 17,\n    "items": ["tent", "stove"]\n}</context>'


def stack(costs: CostCallbackHandler) -> CachedChatModel:
    router = ChatModelRouter(
        models={name: StreamingFake(model=name) for name in ("gpt-4o-mini", "gpt-4o")},
        policy=Always("gpt-4o-mini"),
        safe="gpt-4o",
    )
    return CachedChatModel(model=OptimizedChatModel(model=router), callbacks=[costs])


def baselines(costs: CostCallbackHandler) -> list[Decimal | None]:
    return [record.baseline_cost for record in costs.ledger.records()]


def test_a_hit_saves_the_cost_of_the_baseline_call() -> None:
    costs = CostCallbackHandler()
    model = stack(costs)
    model.invoke(BLOATED)
    model.invoke(BLOATED)
    called, hit = costs.ledger.records()
    assert {saving.strategy for saving in called.savings} == {"prompts", "routing"}
    assert [saving.strategy for saving in hit.savings] == ["cache.exact"]
    assert hit.baseline_cost == called.baseline_cost
    assert hit.baseline_cost is not None
    assert called.cost is not None
    assert hit.baseline_cost > called.cost


def test_a_streams_hit_saves_the_cost_of_the_baseline_call() -> None:
    costs = CostCallbackHandler()
    model = stack(costs)
    list(model.stream(BLOATED))
    list(model.stream(BLOATED))
    first, second = baselines(costs)
    assert first == second is not None


async def test_an_async_hit_saves_the_cost_of_the_baseline_call() -> None:
    costs = CostCallbackHandler()
    model = stack(costs)
    await model.ainvoke(BLOATED)
    _ = [chunk async for chunk in model.astream(BLOATED)]
    first, second = baselines(costs)
    assert first == second is not None


def test_an_optimizer_before_the_cache_counts_for_hits_too() -> None:
    costs = CostCallbackHandler()
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("messages")])
    cached = CachedChatModel(model=StreamingFake(model="gpt-4o"))
    chain = prompt | PromptOptimizer("gpt-4o") | cached
    turns = {"messages": [SystemMessage("Read the order."), HumanMessage(BLOATED)]}
    chain.invoke(turns, config={"callbacks": [costs]})
    chain.invoke(turns, config={"callbacks": [costs]})
    called, hit = costs.ledger.records()
    assert hit.hit
    assert hit.baseline_cost == called.baseline_cost
