"""A combined call: nothing missing, nothing mixed up, every billed token accounted for."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.batching.coalescing import Coalescer, GroupLimits, RetryAlone
from llm_optimizers.batching.combining.agreement import compare_combined
from llm_optimizers.batching.combining.ask import (
    BilledAnswer,
    CombinedAsk,
    Question,
    QuestionOutcome,
    SharedAnswer,
)
from llm_optimizers.batching.combining.prompts import combination_key, combine
from llm_optimizers.batching.combining.shares import question_share, split_total, split_usage
from llm_optimizers.costs import CallRecord, ModelPrice, PriceBook, Usage
from llm_optimizers.costs.call import Call
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message

PREFIX = "You are the help desk of a bicycle shop. " * 10


def ask_for(text: str, **params: object) -> ChatRequest:
    messages = (Message(role="system", content=PREFIX), Message(role="user", content=text))
    return ChatRequest(messages=messages, model="fake", params=params)


class Model:
    """Answers `echo TEXT`; forgets, garbles or refuses where it is told to. Bills by letters."""

    def __init__(self) -> None:
        self.forgets: set[str] = set()
        self.garbled = False
        self.refuses: set[str] = set()
        self.billed: list[Usage] = []
        self.lock = threading.Lock()

    def __call__(self, request: ChatRequest) -> BilledAnswer:
        text = request.messages[-1].text
        if "response_format" in request.params:
            asked = json.loads(text.split("\n\n")[1])
            answers = [
                {"id": q["id"], "answer": f"echo {q['request']}"}
                for q in asked
                if q["request"] not in self.forgets
            ]
            answer = json.dumps({"answers": answers})
            answer = answer[: len(answer) // 2] if self.garbled else answer
        elif text in self.refuses:
            raise ValueError(f"no answer to {text}")
        else:
            answer = f"echo {text}"
        size = sum(len(message.text) for message in request.messages)
        usage = Usage(
            input_tokens=size // 4, output_tokens=len(answer) // 4, cache_read_tokens=size // 8
        )
        with self.lock:
            self.billed.append(usage)
        return BilledAnswer(text=answer, usage=usage)


def questions(count: int) -> list[Question]:
    return [Question(request=ask_for(f"question {n}")) for n in range(count)]


def test_each_question_gets_its_own_answer_and_the_shares_are_the_bill() -> None:
    model = Model()
    outcomes = CombinedAsk(model)(questions(6))
    answered = [outcome for outcome in outcomes if isinstance(outcome, SharedAnswer)]
    assert [a.text for a in answered] == [f"echo question {n}" for n in range(6)]
    assert sum(a.usage for a in answered) == model.billed[0]
    assert {a.asked_with for a in answered} == {6}
    assert len(model.billed) == 1


def test_what_is_missing_comes_back_with_what_was_spent_on_it() -> None:
    model = Model()
    model.forgets = {"question 1"}
    ask = CombinedAsk(model)
    outcomes = ask(questions(3))
    again = outcomes[1]
    assert isinstance(again, RetryAlone)
    assert again.item.spent.input_tokens > 0
    retried = ask([again.item])[0]
    assert isinstance(retried, SharedAnswer)
    total = sum(o.usage for o in (outcomes[0], retried, outcomes[2]) if isinstance(o, SharedAnswer))
    assert total == sum(model.billed)
    assert retried.alone == model.billed[1]


def test_through_the_coalescer_every_caller_is_answered_and_every_token_accounted() -> None:
    model = Model()
    model.forgets = {f"question {n}" for n in range(0, 1_000, 50)}
    model.refuses = {"question 0", "question 500"}
    settled: list[QuestionOutcome] = []
    coalescer: Coalescer[Question, SharedAnswer] = Coalescer(
        CombinedAsk(model, observe=settled.append), limits=GroupLimits(max_size=6, max_delay=1.0)
    )

    def caller(start: int) -> list[str]:
        items = [Question(request=ask_for(f"question {n}")) for n in range(start, start + 125)]
        futures = [coalescer.submit(q, key=combination_key(q.request)) for q in items]
        texts = []
        for future in futures:
            error = future.exception(30)
            texts.append(str(error) if error else future.result().text)
        return texts

    with ThreadPoolExecutor(8) as pool:
        texts = [t for part in pool.map(caller, range(0, 1_000, 125)) for t in part]
    coalescer.close(30)
    expected = [f"echo question {n}" for n in range(1_000)]
    expected[0], expected[500] = "no answer to question 0", "no answer to question 500"
    assert texts == expected
    assert sum(s.usage for s in settled) == sum(model.billed)
    assert len(settled) == 1_000
    retries = len(model.forgets) - len(model.refuses)
    assert len(model.billed) <= 1_000 / 6 + 1 + retries


def test_broken_json_costs_nobody_the_answer() -> None:
    model = Model()
    model.garbled = True
    with Coalescer(CombinedAsk(model), limits=GroupLimits(max_size=4, max_delay=9)) as coalescer:
        futures = [coalescer.submit(question) for question in questions(4)]
        assert [f.result(30).text for f in futures] == [f"echo question {n}" for n in range(4)]
        total = sum(future.result().usage for future in futures)
    assert total == sum(model.billed)


def test_a_model_that_repeats_a_bracket_costs_nobody_the_answer_or_the_account() -> None:
    model = Model()

    def looping(request: ChatRequest) -> BilledAnswer:
        reply = model(request)
        if "response_format" not in request.params:
            return reply
        return BilledAnswer(text='{"answers": ' + "[" * 100_000, usage=reply.usage)

    ask = CombinedAsk(looping)
    again = [o.item for o in ask(questions(3)) if isinstance(o, RetryAlone)]
    answered = [ask([item])[0] for item in again]
    assert [a.text for a in answered if isinstance(a, SharedAnswer)] == [
        f"echo question {n}" for n in range(3)
    ]
    assert sum(a.usage for a in answered if isinstance(a, SharedAnswer)) == sum(model.billed)


PRICES = PriceBook({"fake": ModelPrice(input=Decimal(1), output=Decimal(4))})
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def records(model: Model, count: int) -> list[QuestionOutcome]:
    settled: list[QuestionOutcome] = []
    ask = CombinedAsk(model, observe=settled.append)
    again = [o.item for o in ask(questions(count)) if isinstance(o, RetryAlone)]
    for item in again:
        ask([item])
    return settled


def shared_record(settled: QuestionOutcome, name: str) -> CallRecord:
    return Call(
        id=name,
        time=NOW,
        asked="fake",
        reported=settled.usage,
        share=settled.share,
        status=settled.status,
        error=type(settled.error).__name__ if settled.error else None,
    ).record(PRICES)


def test_the_records_of_a_group_cost_what_was_billed_and_say_what_was_saved() -> None:
    model = Model()
    settled = records(model, 6)
    kept = [shared_record(s, str(n)) for n, s in enumerate(settled)]
    assert sum(r.cost or 0 for r in kept) == PRICES.cost(model.billed[0], "fake")
    for record, one in zip(kept, settled, strict=True):
        assert one.answered is not None
        baseline = PRICES.cost(one.answered.alone, "fake")
        (saving,) = record.savings
        assert (saving.strategy, saving.basis) == ("batching", "estimated")
        assert record.cost is not None
        assert saving.amount == baseline - record.cost > 0


def test_a_call_alone_is_estimated_close_to_what_it_would_have_been_billed() -> None:
    model = Model()
    requests = [question.request for question in questions(6)]
    combined, _ = combine(requests)
    reply = model(combined)
    estimate = question_share(
        reply.share,
        request=requests[0],
        answer="echo question 0",
        combined=combined,
        reply=reply.text,
    ).alone
    assert estimate is not None
    alone = model(requests[0]).usage
    assert estimate.input_tokens == pytest.approx(alone.input_tokens, rel=0.05)
    assert estimate.output_tokens == pytest.approx(alone.output_tokens, abs=2)


def test_a_retry_is_charged_against_the_saving_and_a_failure_is_kept() -> None:
    model = Model()
    model.forgets = {"question 0", "question 1"}
    model.refuses = {"question 1"}
    settled = records(model, 3)
    retried, failed = (
        shared_record(one, "x") for one in settled if one.request.question in model.forgets
    )
    assert retried.savings[0].amount < 0
    assert retried.savings[0].basis == "measured"
    assert (failed.status, failed.error) == ("error", "ValueError")
    assert failed.cost is not None
    assert failed.cost > 0


@given(st.integers(0, 10_000), st.lists(st.integers(0, 50), min_size=1, max_size=9))
def test_shares_are_whole_fair_and_add_up(total: int, weights: list[int]) -> None:
    shares = split_total(total, weights)
    assert sum(shares) == total
    even = weights if sum(weights) else [1] * len(weights)
    for share, weight in zip(shares, even, strict=True):
        assert abs(share - total * weight / sum(even)) < 1


@given(st.data())
def test_every_share_of_a_bill_is_a_sound_bill(data: st.DataObject) -> None:
    fresh, read, write, hour, spoken, reasoning = (
        data.draw(st.integers(0, 5_000)) for _ in range(6)
    )
    billed = Usage(
        input_tokens=fresh + read + write + hour,
        output_tokens=spoken + reasoning,
        cache_read_tokens=read,
        cache_write_tokens=write + hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=reasoning,
    )
    weights = data.draw(st.lists(st.integers(1, 99), min_size=1, max_size=7))
    shares = split_usage(billed, input_weights=weights, output_weights=weights[::-1])
    assert sum(shares) == billed
    for share in shares:
        assert share.cache_read_tokens + share.cache_write_tokens <= share.input_tokens
        assert share.cache_write_1h_tokens <= share.cache_write_tokens
        assert share.reasoning_tokens <= share.output_tokens


def sample(count: int) -> list[ChatRequest]:
    return [ask_for(f"question {n}") for n in range(count)]


def test_the_gate_opens_when_both_ways_agree() -> None:
    model = Model()
    report = compare_combined(sample(60), model)
    assert report.passed
    assert report.agreement == 1
    assert report.usage_combined.input_tokens < report.usage_single.input_tokens / 2


def test_the_gate_stays_shut_when_answers_differ() -> None:
    model = Model()

    def confused(request: ChatRequest) -> BilledAnswer:
        reply = model(request)
        if "response_format" in request.params:
            return BilledAnswer(text=reply.text.replace("question 11", "?"), usage=reply.usage)
        return reply

    report = compare_combined(sample(12), confused)
    assert report.differing == (11,)
    assert not report.passed
    assert "1 of 12 answers differ" in report.reason


def test_the_gate_counts_what_had_to_be_asked_again() -> None:
    model = Model()
    model.forgets = {"question 7"}
    report = compare_combined(sample(60), model)
    assert (report.retried, report.passed) == (1, True)
    single, combined = report.usage_single, report.usage_combined
    assert single + combined == sum(model.billed)


def test_a_small_sample_that_agrees_says_how_many_it_lacks() -> None:
    report = compare_combined(sample(10), Model(), tolerance=0.05, confidence=0.9)
    assert not report.passed
    assert "at least 45 samples" in report.reason
    assert compare_combined(sample(10), Model(), tolerance=0.25).passed


def test_a_failing_answer_counts_as_differing() -> None:
    model = Model()
    model.refuses = {"question 3"}
    assert compare_combined(sample(12), model).differing == (3,)


@pytest.mark.parametrize("bad", [[], [ask_for("x", tools=[{}])]])
def test_a_sample_that_cannot_be_combined_is_refused(bad: list[ChatRequest]) -> None:
    with pytest.raises(ConfigurationError, match="sample"):
        compare_combined(bad, Model())


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -0.1])
def test_a_tolerance_that_no_sample_can_show_is_refused_before_it_costs(tolerance: float) -> None:
    model = Model()
    with pytest.raises(ConfigurationError, match="tolerance"):
        compare_combined(sample(12), model, tolerance=tolerance)
    assert not model.billed
