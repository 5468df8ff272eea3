"""`BatchingChatModel`: concurrent calls share prompts, each with its own run, answer and error."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    CostCallbackHandler,
    OptimizedChatModel,
)
from llm_optimizers.caching import tenant
from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.errors import ConfigurationError
from support.fakes import CombiningFake, StreamingFake

WAIT = 30.0


class CallCounter(BaseCallbackHandler):
    """Counts the child's own calls, from outside of the callers' runs."""

    def __init__(self) -> None:
        self.started = 0
        self.ended = 0
        self.errors = 0
        self.lock = threading.Lock()

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        with self.lock:
            self.started += 1

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        with self.lock:
            self.ended += 1

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        with self.lock:
            self.errors += 1


class CountingCache(InMemoryCache):
    """Also counts its updates."""

    updates = 0

    def update(self, *args: Any) -> None:
        self.updates += 1
        super().update(*args)


class CountingFake(CombiningFake):
    """Also stores the tokens of every call it answered."""

    def _message(self, text: str, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        message = super()._message(text, messages, kwargs)
        with self._lock:
            billed.append(message.usage_metadata["input_tokens"])  # type: ignore[index]
            billed_output.append(message.usage_metadata["output_tokens"])  # type: ignore[index]
        return message


billed: list[int] = []
billed_output: list[int] = []


@pytest.fixture(autouse=True)
def reset_billed() -> None:
    billed.clear()
    billed_output.clear()


def batching(child: BaseChatModel, **settings: Any) -> BatchingChatModel:
    """Tests that fill their groups use a long delay; the short default sends other groups."""
    settings.setdefault("combine", True)
    settings.setdefault("max_delay", 0.05)
    return BatchingChatModel(model=child, **settings)


def text(n: object) -> str:
    return f"gpt-4o-mini says: {n}"


def test_a_batch_of_forty_makes_seven_calls_whatever_its_threads() -> None:
    child = CountingFake()
    model = batching(child, max_delay=2.0)
    usage = UsageMetadataCallbackHandler()
    answers = model.batch([f"q{n}" for n in range(40)], {"callbacks": [usage]})
    assert [answer.text for answer in answers] == [text(f"q{n}") for n in range(40)]
    assert child.call_count == 7
    recorded = usage.usage_metadata["gpt-4o-mini"]
    assert (recorded["input_tokens"], recorded["output_tokens"]) == (
        sum(billed),
        sum(billed_output),
    )
    model.close()


async def test_abatch_does_not_wait_for_the_timer_because_of_its_concurrency() -> None:
    child = CombiningFake()
    model = batching(child, max_delay=WAIT, max_size=5)
    answers = await asyncio.wait_for(
        model.abatch([f"q{n}" for n in range(20)], {"max_concurrency": 2}), WAIT / 2
    )
    assert [answer.text for answer in answers] == [text(f"q{n}") for n in range(20)]
    assert child.call_count == 4
    await asyncio.to_thread(model.close)


async def test_concurrent_callers_of_a_chain_share_a_prompt() -> None:
    child = CombiningFake()
    prompt = ChatPromptTemplate([("system", "Be brief."), ("human", "{question}")])
    chain = prompt | batching(child, max_delay=WAIT, max_size=6) | StrOutputParser()
    answers = await asyncio.gather(*(chain.ainvoke({"question": f"q{n}"}) for n in range(6)))
    assert answers == [text(f"q{n}") for n in range(6)]
    assert chain.batch([{"question": f"q{n}"} for n in range(6)]) == answers
    assert child.call_count == 2


def test_every_callers_callbacks_get_its_own_run_and_tokens() -> None:
    model = batching(CountingFake(), max_delay=WAIT, max_size=4)
    bills = [CallCounter() for _ in range(4)]
    usages = [UsageMetadataCallbackHandler() for _ in range(4)]

    def ask(n: int) -> None:
        model.invoke("word " * (n + 1), {"callbacks": [bills[n], usages[n]]})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert [(bill.started, bill.ended) for bill in bills] == [(1, 1)] * 4
    recorded = [usage.usage_metadata["gpt-4o-mini"]["input_tokens"] for usage in usages]
    assert sum(recorded) == sum(billed)
    assert recorded == sorted(recorded)
    assert len(billed) == 1
    model.close()


def test_the_childs_callbacks_get_the_callers_runs_and_never_the_shared_call() -> None:
    bill = CallCounter()
    child = CountingFake(callbacks=[bill])
    model = batching(child, max_delay=WAIT)
    model.batch([f"q{n}" for n in range(6)])
    assert (len(billed), bill.started, bill.ended) == (1, 6, 6)
    model.close()


def test_missing_or_broken_answers_are_requested_one_by_one() -> None:
    child = CountingFake(faults={"q1"})
    model = batching(child, max_delay=WAIT)
    usage = UsageMetadataCallbackHandler()
    answers = model.batch([f"q{n}" for n in range(6)], {"callbacks": [usage]})
    assert [answer.text for answer in answers] == [text(f"q{n}") for n in range(6)]
    assert child.call_count == 2
    assert usage.usage_metadata["gpt-4o-mini"]["input_tokens"] == sum(billed)
    model.close()
    child.faults.add("garbled")
    pairs = batching(child, max_delay=WAIT, max_size=2)
    assert [a.text for a in pairs.batch(["x", "y"])] == [text("x"), text("y")]
    assert child.call_count == 5
    pairs.close()


def test_one_bad_question_fails_alone() -> None:
    def fail(question: str) -> BaseException | None:
        return ValueError("bad question") if "q2" in question else None

    model = batching(CombiningFake(fail=fail))
    bill = CallCounter()
    answers: list[Any] = model.batch(
        [f"q{n}" for n in range(4)], {"callbacks": [bill]}, return_exceptions=True
    )
    assert isinstance(answers[2], ValueError)
    assert [a.text for n, a in enumerate(answers) if n != 2] == [text(f"q{n}") for n in (0, 1, 3)]
    assert (bill.ended, bill.errors) == (3, 1)
    with pytest.raises(ValueError, match="bad question"):
        model.batch(["q1", "q2"])
    model.close()


async def test_an_async_batch_returns_errors_in_order() -> None:
    def fail(question: str) -> BaseException | None:
        return ValueError("bad question") if "q1" in question else None

    model = batching(CombiningFake(fail=fail))
    answers: list[Any] = await model.abatch(["q0", "q1"], return_exceptions=True)
    assert answers[0].text == text("q0")
    assert isinstance(answers[1], ValueError)
    await asyncio.to_thread(model.close)


ALONE: list[tuple[Any, dict[str, Any]]] = [
    ([HumanMessage("a"), AIMessage("b"), HumanMessage("c")], {}),
    ([HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}])], {}),
    ([HumanMessage("a")], {"stop": ["x"]}),
    ([HumanMessage("a")], {"temperature": 1}),
    ([HumanMessage("a", name="ann")], {}),
]


@pytest.mark.parametrize(("messages", "kwargs"), ALONE)
async def test_other_calls_go_to_the_model_unchanged(
    messages: list[BaseMessage], kwargs: dict[str, Any]
) -> None:
    child = CombiningFake()
    model = batching(child, max_delay=WAIT)
    expected = child.invoke(messages, **kwargs).text
    assert model.invoke(messages, **kwargs).text == expected
    assert (await model.ainvoke(messages, **kwargs)).text == expected
    assert (await model.abatch([messages], **kwargs))[0].text == expected
    assert model.batch([messages], **kwargs)[0].text == expected


async def test_streams_go_to_the_model() -> None:
    child = CombiningFake()
    model = batching(child, max_delay=WAIT)
    assert len(list(model.stream("one two three"))) > 2
    assert len([chunk async for chunk in model.astream("one two three")]) > 2


def test_tenants_and_system_prompts_never_share_a_prompt() -> None:
    child = CombiningFake()
    model = batching(child)

    def ask(name: str, system: str, question: str) -> str:
        with tenant(name):
            return model.invoke([SystemMessage(system), HumanMessage(question)]).text

    asked = [(name, system, f"{name} {system}") for name in "ab" for system in "xy"]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda one: ask(*one), asked))
    assert answers == [text(question) for _, _, question in asked]
    assert child.call_count == 4
    model.close()


def test_with_a_failing_namespace_nothing_is_combined() -> None:
    def failing() -> str:
        raise LookupError("no tenant")

    child = CombiningFake()
    model = batching(child, namespace=failing, max_delay=WAIT)
    assert [a.text for a in model.batch(["a", "b"])] == [text("a"), text("b")]
    assert child.call_count == 2


def test_the_childs_cache_comes_first_and_stores_no_combined_prompt() -> None:
    cache = CountingCache()
    child = CombiningFake(cache=cache)
    model = batching(child, max_delay=WAIT, max_size=3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(model.invoke, ["a", "b", "c"]))
    assert child.call_count == 1
    assert model.batch(["a", "b", "c"])[1].text == text("b")
    assert child.call_count == 1
    assert cache.updates == 3
    assert child.invoke("a").text == text("a")
    assert child.call_count == 1
    model.close()


def test_cost_and_saving_are_recorded() -> None:
    ledger = Ledger()
    model = batching(CountingFake(faults={"q5 " * 40}), max_delay=WAIT)
    long = [SystemMessage("You are a help desk. " * 40)]
    inputs = [[*long, HumanMessage(f"q{n} " * 40)] for n in range(6)]
    model.batch(inputs, {"callbacks": [CostCallbackHandler(ledger)]})
    records = list(ledger.records())
    assert len(records) == 6
    spent = ledger.prices.cost(
        Usage(input_tokens=sum(billed), output_tokens=sum(billed_output)), "gpt-4o-mini"
    )
    assert sum(record.cost or 0 for record in records) == spent
    savings = [saving for record in records for saving in record.savings]
    assert {saving.strategy for saving in savings} == {"batching"}
    assert Counter(saving.basis for saving in savings) == {"estimated": 5, "measured": 1}
    assert sum(saving.amount for saving in savings) > 0
    assert min(saving.amount for saving in savings) < 0
    model.close()
    ledger.close()


@pytest.mark.parametrize("count", [1, 6])
def test_a_handler_on_a_wrapped_model_records_no_shared_call_twice(count: int) -> None:
    costs = CostCallbackHandler(Ledger())
    model = batching(OptimizedChatModel(model=CountingFake(callbacks=[costs])))
    model.batch([f"q{n}" for n in range(count)], {"callbacks": [costs]})
    records = list(costs.ledger.records())
    assert len(records) == count
    assert sum(record.usage.input_tokens for record in records) == sum(billed)
    model.close()


def test_a_samples_calls_are_recorded() -> None:
    costs = CostCallbackHandler(Ledger())
    model = batching(CountingFake(callbacks=[costs]), combine=False)
    model.check_combining([f"q{n}" for n in range(6)])
    records = list(costs.ledger.records())
    assert [record.usage.input_tokens for record in records] == billed
    assert len(billed) == 7


def test_a_wrapped_cache_answers_and_a_copy_has_its_own_cache() -> None:
    child = CombiningFake()
    model = batching(CachedChatModel(model=child), max_size=3, max_delay=WAIT)
    for _ in range(2):
        assert [a.text for a in model.batch(["a", "b", "c"])] == [text(each) for each in "abc"]
    assert child.call_count == 1
    model.close()


async def test_a_cancelled_callers_run_is_ended_once_its_share_is_known() -> None:
    came, go_on = threading.Event(), threading.Event()

    def held(asked: str) -> None:
        came.set()
        go_on.wait(WAIT)

    model = batching(CountingFake(fail=held), max_size=2, max_delay=WAIT)
    bill, costs = CallCounter(), CostCallbackHandler(Ledger())
    config: Any = {"callbacks": [bill, costs]}
    tasks = [asyncio.create_task(model.ainvoke(q, config)) for q in ("a", "b")]
    assert await asyncio.to_thread(came.wait, WAIT)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert (bill.started, bill.ended, bill.errors) == (2, 0, 0)
    go_on.set()
    assert (await tasks[1]).text == text("b")
    await asyncio.to_thread(model.close)
    assert (bill.ended, bill.errors) == (1, 1)
    records = list(costs.ledger.records())
    assert sum(record.usage.input_tokens for record in records) == sum(billed)


def test_the_check_switches_combining_on_and_off() -> None:
    child = CombiningFake()
    model = batching(child, combine=False)
    sample = [f"q{n}" for n in range(60)]
    assert model.check_combining(sample).passed
    assert model.combine
    child.faults.add("confused")
    report = model.check_combining(sample)
    assert not report.passed
    assert not model.combine
    image = [HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}])]
    with pytest.raises(ConfigurationError, match="0 of the sample"):
        model.check_combining([image])
    with pytest.raises(ConfigurationError, match="0 of the sample"):
        batching(CombiningFake(n=2)).check_combining(sample)


async def test_plain_calls_go_to_the_childs_batch_together() -> None:
    child = CombiningFake()
    model = batching(child, combine=False, max_delay=WAIT, max_size=3)
    bill = CallCounter()
    answers = await asyncio.gather(
        *(model.ainvoke(f"q{n}", {"callbacks": [bill]}) for n in range(3))
    )
    assert [answer.text for answer in answers] == [text(f"q{n}") for n in range(3)]
    assert model.batch(["a", "b", "c"])[2].text == text("c")
    assert (child.call_count, bill.started, bill.ended) == (6, 3, 3)
    await asyncio.to_thread(model.close)


def test_a_caller_gets_a_timeout() -> None:
    model = batching(CombiningFake(), max_delay=WAIT, answer_timeout=4.0)
    assert model.invoke("sent before its deadline").text
    answered = threading.Event()

    def hold(_: str) -> None:
        assert answered.wait(WAIT)

    slow = batching(CombiningFake(fail=hold), max_size=1, answer_timeout=0.05)
    with pytest.raises(TimeoutError):
        slow.invoke("late")
    with pytest.raises(TimeoutError):
        asyncio.run(slow.ainvoke("late"))
    answered.set()
    model.close()
    slow.close()


def test_agents_and_structured_output_work_through_it() -> None:
    def magic(number: int) -> int:
        """Do magic."""
        return number * 2

    model = batching(StreamingFake())
    agent = create_agent(model, tools=[magic])
    answer = agent.invoke({"messages": [HumanMessage("do magic with 21")]})["messages"]
    assert answer[2].content == "42"
    schema = {"title": "n", "type": "object", "properties": {"number": {"type": "integer"}}}
    assert model.with_structured_output(schema).invoke("magic 7") == {"number": 7}


def test_a_copy_with_another_child_shares_no_calls() -> None:
    first, second = CombiningFake(), CombiningFake(model="other")
    model = batching(first)
    model.invoke("a")
    copy = model.model_copy(update={"model": second})
    assert copy.invoke("a").text == "other says: a"
    assert model.invoke("b").text == text("b")
    model.close()
    copy.close()


def test_closing_a_copy_does_not_close_the_original() -> None:
    child = CombiningFake()
    model = batching(child, max_size=1)
    model.invoke("a")
    model.model_copy().close()
    assert model.invoke("b").text == text("b")
    model.close()
    assert model.invoke("c").text == text("c")
    model.close()


def test_a_copy_with_another_namespace_has_its_own_tenant() -> None:
    child = CombiningFake()
    model = batching(child, max_size=2, max_delay=WAIT, namespace="a")
    other = model.model_copy(update={"namespace": "b"})
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(each.invoke, q) for q in ("q1", "q2") for each in (model, other)]
        found = sorted(str(future.result().text) for future in asked)
    assert found == [text("q1")] * 2 + [text("q2")] * 2
    prompts = [[q["request"] for q in json.loads(p.split("\n\n")[1])] for p in child.calls]
    assert sorted(map(sorted, prompts)) == [["q1", "q2"]] * 2
    model.close()


def test_a_deep_or_pickled_copy_works_independently() -> None:
    model = batching(FakeListChatModel(responses=["b"]), max_size=1)
    model.invoke("a")
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.invoke("b").text == "b"
        again.close()
    assert model.invoke("c").text == "b"
    model.close()
