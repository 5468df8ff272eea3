"""`OptimizedChatModel`: shorter prompts in every way of calling, also behind a cache."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_llm_optimizers import (
    CachedChatModel,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
)
from llm_optimizers.prompts import ContextBudget, RequestOptimizer
from support.fakes import StreamingFake

BLOATED = '{\n    "order": 17,\n    "items": [\n        "tent",\n        "stove"\n    ]\n}'


class OptimizedFake(OptimizedChatModel):
    """`OptimizedChatModel` over a streaming fake, made of the fake's own settings."""

    def __init__(self, **settings: Any) -> None:
        inner = settings.pop("model", None)
        if not isinstance(inner, BaseChatModel):
            inner = StreamingFake(**settings)
        super().__init__(model=inner)


class TestOptimizedChatModelUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OptimizedFake


class TestOptimizedChatModel(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OptimizedFake

    @property
    def has_structured_output(self) -> bool:
        return False


async def test_every_way_of_calling_sends_the_shorter_prompt() -> None:
    fake = StreamingFake()
    model = OptimizedChatModel(model=fake)
    model.invoke(BLOATED)
    await model.ainvoke(BLOATED)
    list(model.stream(BLOATED))
    _ = [chunk async for chunk in model.astream(BLOATED)]
    model.batch([BLOATED])
    assert fake.calls == ['{"order":17,"items":["tent","stove"]}'] * 5


def test_the_account_says_what_the_shorter_prompt_saved() -> None:
    costs = CostCallbackHandler()
    OptimizedChatModel(model=StreamingFake(), callbacks=[costs]).invoke(BLOATED)
    (record,) = costs.ledger.records()
    (saving,) = record.savings
    assert saving.strategy == "prompts"
    assert saving.amount > 0


def test_behind_a_cache_the_question_stays_what_was_asked() -> None:
    fake = StreamingFake()
    optimizer = RequestOptimizer(context=ContextBudget(max_tokens=30), provider_cache=False)
    cached = CachedChatModel(
        model=OptimizedChatModel(model=fake, optimizer=optimizer), cache=HybridCache()
    )
    pages = [f"[{n}] Page {n}\nThe depot in town {n} opens at {n} o'clock." for n in range(1, 9)]
    context = "Context:\n" + "\n\n".join(pages) + "\n\nQuestion: "
    turns = [SystemMessage("Answer from the context.")]
    cached.invoke([*turns, HumanMessage(context + "When does the depot in town 3 open?")])
    again = cached.invoke([*turns, HumanMessage(context + "when does the depot in town 3 open")])
    assert again.response_metadata["cache_hit"]["tier"] == "normalised"
    (sent,) = fake.calls
    assert "town 3 opens at 3" in sent
    assert len(sent) < len(context) / 2
