"""`OptimizedChatModel`: shorter prompts for every method, also behind a cache."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from pydantic import Field

from langchain_llm_optimizers import (
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
)
from llm_optimizers.prompts import ContextBudget, OutputLimits, RequestOptimizer
from llm_optimizers.routing import Always
from support.fakes import StreamingFake

BLOATED = '<context>{\n    "order": 17,\n    "items": ["tent", "stove"]\n}</context>'


async def test_every_method_sends_the_shorter_prompt() -> None:
    fake = StreamingFake()
    model = OptimizedChatModel(model=fake)
    model.invoke(BLOATED)
    await model.ainvoke(BLOATED)
    list(model.stream(BLOATED))
    _ = [chunk async for chunk in model.astream(BLOATED)]
    model.batch([BLOATED])
    assert fake.calls == ['<context>{"order":17,"items":["tent","stove"]}</context>'] * 5


def test_the_shorter_prompts_saving_is_recorded() -> None:
    costs = CostCallbackHandler()
    OptimizedChatModel(model=StreamingFake(), callbacks=[costs]).invoke(BLOATED)
    (record,) = costs.ledger.records()
    (saving,) = record.savings
    assert saving.strategy == "prompts"
    assert saving.amount > 0


def test_behind_a_cache_the_key_has_the_original_question() -> None:
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


class VerboseModel(BaseChatModel):
    """Answers with `length` words, fewer if capped, and reports so as a provider does."""

    length: int = 10
    max_tokens: int | None = None
    asked: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "talkative"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        known = {"ls_provider": "openai", "ls_model_type": "chat", "ls_model_name": "gpt-4o"}
        return known if self.max_tokens is None else {**known, "ls_max_tokens": self.max_tokens}

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.asked.append({"stop": stop, **kwargs})
        length = min(self.length, kwargs.get("max_tokens") or self.length)
        message = AIMessage(
            content="word " * length,
            usage_metadata={"input_tokens": 5, "output_tokens": length, "total_tokens": 5 + length},
            response_metadata={"finish_reason": "stop" if length == self.length else "length"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


TASK: RunnableConfig = {"metadata": {"task": "summary"}}


async def test_a_learned_cap_is_set_and_a_cut_off_answer_is_requested_again() -> None:
    verbose = VerboseModel()
    costs = CostCallbackHandler()
    limits = OutputLimits(enough=3)
    model = OptimizedChatModel(model=verbose, limits=limits, callbacks=[costs])
    for _ in range(3):
        model.invoke("Sum up.", TASK)
    model.invoke("Sum up.", TASK)
    assert [call.get("max_tokens") for call in verbose.asked] == [None, None, None, 16]

    verbose.length = 40
    assert len(model.invoke("Sum up.", {**TASK, "run_id": uuid4()}).text.split()) == 40
    assert [call.get("max_tokens") for call in verbose.asked[4:]] == [16, None]
    cap = limits.cap("summary")
    assert cap is not None
    assert (cap.tokens, cap.truncation_rate) == (48, 0.2)
    assert len(list(costs.ledger.records())) == 6  # cut off answers are recorded too
    assert len((await model.ainvoke("Sum up.", TASK)).text.split()) == 40
    list(model.stream("Sum up.", TASK))
    model.invoke("Sum up.")  # another task
    assert [call.get("max_tokens") for call in verbose.asked[6:]] == [48, None, None]


@pytest.mark.parametrize("method", ["invoke", "ainvoke"])
@pytest.mark.parametrize("routed", [False, True])
def test_a_cut_off_answers_cost_is_charged_to_prompts(method: str, routed: bool) -> None:
    limits = OutputLimits(enough=1)
    limits.observe("", 10)
    costs, verbose = CostCallbackHandler(), VerboseModel(length=40)
    model: BaseChatModel = OptimizedChatModel(model=verbose, limits=limits)
    if routed:
        models = {"gpt-4o": model, "gpt-5": StreamingFake(model="gpt-5")}
        model = ChatModelRouter(models, policy=Always("gpt-4o"))
    config: RunnableConfig = {"callbacks": [costs], "metadata": {"user": "u1"}}
    answer = (
        model.invoke("Hi", config)
        if method == "invoke"
        else asyncio.run(model.ainvoke("Hi", config))
    )
    assert len(answer.text.split()) == 40
    cut, whole = sorted(costs.ledger.records(), key=lambda record: record.usage.output_tokens)
    assert (cut.usage.output_tokens, whole.usage.output_tokens) == (16, 40)
    assert cut.baseline_cost == 0
    assert [(s.strategy, s.amount) for s in cut.savings] == [("prompts", -(cut.cost or 0))]
    assert whole.baseline_model == ("gpt-5" if routed else "gpt-4o")
    assert {s.strategy for s in whole.savings} == ({"routing"} if routed else set())
    assert cut.tags == whole.tags
    assert cut.tags["user"] == "u1"


def test_the_callers_own_cap_is_kept() -> None:
    limits = OutputLimits(enough=1)
    limits.observe("", 400)
    verbose = VerboseModel(max_tokens=50)
    OptimizedChatModel(model=verbose, limits=limits).invoke("Hi")
    other = VerboseModel()
    OptimizedChatModel(model=other, limits=limits).invoke("Hi", max_tokens=4)
    assert [c.get("max_tokens") for c in (*verbose.asked, *other.asked)] == [None, 4]


def test_a_forms_stop_sequences_are_set_unless_settings_conflict() -> None:
    verbose = VerboseModel()
    model = OptimizedChatModel(model=verbose, form="line")
    model.invoke("Name a town.")
    model.invoke("Name a town.", stop=["!"])
    model.invoke("Name a town.", tools=[])
    OptimizedChatModel(model=verbose).invoke("Name a town.")
    assert [call["stop"] for call in verbose.asked] == [["\n"], ["!"], None, None]
