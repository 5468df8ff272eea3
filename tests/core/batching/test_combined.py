"""Combined calls: each question gets its own answer, and every billed token is assigned."""

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
from llm_optimizers.costs.answers import NOT_SHARED, CallShare, Reported
from llm_optimizers.costs.call import Call
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message

PREFIX = "You are the help desk of a bicycle shop. " * 10


def ask_for(text: str, **params: object) -> ChatRequest:
    messages = (Message(role="system", content=PREFIX), Message(role="user", content=text))
    return ChatRequest(messages=messages, model="fake", params=params)


class Model:
    """Answers `echo TEXT`; can omit, cut off or refuse answers. Bills by characters."""

    def __init__(self) -> None:
        self.omits: set[str] = set()
        self.cut_off = False
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
                if q["request"] not in self.omits
            ]
            answer = json.dumps({"answers": answers})
            answer = answer[: len(answer) // 2] if self.cut_off else answer
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


def test_each_question_gets_its_own_answer_and_the_shares_add_up_to_the_bill() -> None:
    model = Model()
    outcomes = CombinedAsk(model)(questions(6))
    answered = [outcome for outcome in outcomes if isinstance(outcome, SharedAnswer)]
    assert [a.text for a in answered] == [f"echo question {n}" for n in range(6)]
    assert sum(a.usage for a in answered) == model.billed[0]
    assert {a.asked_with for a in answered} == {6}
    assert len(model.billed) == 1


def test_an_unanswered_question_is_retried_with_what_was_spent_on_it() -> None:
    model = Model()
    model.omits = {"question 1"}
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


def test_the_coalescer_answers_every_caller_and_assigns_every_token() -> None:
    model = Model()
    model.omits = {f"question {n}" for n in range(0, 1_000, 50)}
    model.refuses = {"question 0", "question 500"}
    outcomes: list[QuestionOutcome] = []
    coalescer: Coalescer[Question, SharedAnswer] = Coalescer(
        CombinedAsk(model, observe=outcomes.append), limits=GroupLimits(max_size=6, max_delay=1.0)
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
    assert sum(s.usage for s in outcomes) == sum(model.billed)
    assert len(outcomes) == 1_000
    retries = len(model.omits) - len(model.refuses)
    assert len(model.billed) <= 1_000 / 6 + 1 + retries


def test_cut_off_json_costs_no_caller_its_answer() -> None:
    model = Model()
    model.cut_off = True
    with Coalescer(CombinedAsk(model), limits=GroupLimits(max_size=4, max_delay=9)) as coalescer:
        futures = [coalescer.submit(question) for question in questions(4)]
        assert [f.result(30).text for f in futures] == [f"echo question {n}" for n in range(4)]
        total = sum(future.result().usage for future in futures)
    assert total == sum(model.billed)


def test_output_that_repeats_a_bracket_costs_no_answer_and_no_share() -> None:
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
    outcomes: list[QuestionOutcome] = []
    ask = CombinedAsk(model, observe=outcomes.append)
    again = [o.item for o in ask(questions(count)) if isinstance(o, RetryAlone)]
    for item in again:
        ask([item])
    return outcomes


def shared_record(outcome: QuestionOutcome, name: str, prices: PriceBook = PRICES) -> CallRecord:
    return Call(
        id=name,
        time=NOW,
        asked="fake",
        reported=outcome.usage,
        share=outcome.share,
        status=outcome.status,
        error=type(outcome.error).__name__ if outcome.error else None,
    ).record(prices)


def test_the_records_of_a_group_have_the_billed_cost_and_the_saving() -> None:
    model = Model()
    outcomes = records(model, 6)
    kept = [shared_record(s, str(n)) for n, s in enumerate(outcomes)]
    assert sum(r.cost or 0 for r in kept) == PRICES.cost(model.billed[0], "fake")
    for record, one in zip(kept, outcomes, strict=True):
        assert one.answered is not None
        baseline = PRICES.cost(one.answered.alone, "fake")
        (saving,) = record.savings
        assert (saving.strategy, saving.basis) == ("batching", "estimated")
        assert record.cost is not None
        assert saving.amount == baseline - record.cost > 0


@pytest.mark.parametrize("omitted", [set(), {"question 0"}, {"question 2"}], ids=str)
def test_a_fee_for_a_request_is_paid_once_for_all_that_share_it(omitted: set[str]) -> None:
    price = ModelPrice(input=Decimal(1), output=Decimal(4), per_request=Decimal("0.01"))
    prices, model = PriceBook({"fake": price}), Model()
    model.omits = omitted
    outcomes = records(model, 3)
    kept = [shared_record(each, str(n), prices) for n, each in enumerate(outcomes)]
    bills = [prices.cost(usage, "fake") for usage in model.billed]
    assert len(bills) == 1 + len(omitted)
    assert sum(record.cost or 0 for record in kept) == sum(bills)
    for record in kept:
        saved = sum(saving.amount for saving in record.savings)
        assert record.baseline_cost == (record.cost or 0) + saved


def test_shares_of_impossible_usage_are_suspicious() -> None:
    reported = Reported(usage=Usage(input_tokens=300, output_tokens=30), suspicious=True)

    def ask(request: ChatRequest) -> BilledAnswer:
        text = Model()(request).text
        return BilledAnswer.of(
            text, reported=reported, inner_share=NOT_SHARED, served=None, raw=None
        )

    outcomes: list[QuestionOutcome] = []
    CombinedAsk(ask, observe=outcomes.append)(questions(2))
    for outcome in outcomes:
        stored = CallShare.from_dict(json.loads(json.dumps(outcome.share.as_dict())))
        assert stored == outcome.share
        assert shared_record(outcome, "x").suspicious


def test_the_estimate_of_a_separate_call_is_close_to_its_real_bill() -> None:
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


def test_a_retry_reduces_the_saving_and_a_failure_is_recorded() -> None:
    model = Model()
    model.omits = {"question 0", "question 1"}
    model.refuses = {"question 1"}
    outcomes = records(model, 3)
    retried, failed = (
        shared_record(one, "x") for one in outcomes if one.request.question in model.omits
    )
    assert retried.savings[0].amount < 0
    assert retried.savings[0].basis == "measured"
    assert (failed.status, failed.error) == ("error", "ValueError")
    assert failed.cost is not None
    assert failed.cost > 0


@given(st.integers(0, 10_000), st.lists(st.integers(0, 50), min_size=1, max_size=9))
def test_split_totals_are_proportional_integers_that_add_up(total: int, weights: list[int]) -> None:
    shares = split_total(total, weights)
    assert sum(shares) == total
    even = weights if sum(weights) else [1] * len(weights)
    for share, weight in zip(shares, even, strict=True):
        assert abs(share - total * weight / sum(even)) < 1


@given(st.data())
def test_every_share_of_a_usage_is_a_consistent_usage(data: st.DataObject) -> None:
    plain, read, write, hour, text, reasoning = (data.draw(st.integers(0, 5_000)) for _ in range(6))
    billed = Usage(
        input_tokens=plain + read + write + hour,
        output_tokens=text + reasoning,
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


def test_the_comparison_passes_if_the_answers_agree() -> None:
    model = Model()
    report = compare_combined(sample(60), model)
    assert report.passed
    assert report.agreement == 1
    assert report.usage_combined.input_tokens < report.usage_single.input_tokens / 2


def test_the_comparison_fails_if_answers_differ() -> None:
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


def test_the_comparison_counts_retried_questions() -> None:
    model = Model()
    model.omits = {"question 7"}
    report = compare_combined(sample(60), model)
    assert (report.retried, report.passed) == (1, True)
    single, combined = report.usage_single, report.usage_combined
    assert single + combined == sum(model.billed)


def test_a_sample_that_is_too_small_says_how_many_are_needed() -> None:
    report = compare_combined(sample(10), Model(), tolerance=0.05, confidence=0.9)
    assert not report.passed
    assert "at least 45 samples" in report.reason
    assert compare_combined(sample(10), Model(), tolerance=0.25).passed


def test_a_failed_answer_counts_as_differing() -> None:
    model = Model()
    model.refuses = {"question 3"}
    assert compare_combined(sample(12), model).differing == (3,)


@pytest.mark.parametrize("bad", [[], [ask_for("x", tools=[{}])]])
def test_an_empty_or_uncombinable_sample_is_refused(bad: list[ChatRequest]) -> None:
    with pytest.raises(ConfigurationError, match="sample"):
        compare_combined(bad, Model())


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -0.1])
def test_an_invalid_tolerance_is_refused_before_anything_is_sent(tolerance: float) -> None:
    model = Model()
    with pytest.raises(ConfigurationError, match="tolerance"):
        compare_combined(sample(12), model, tolerance=tolerance)
    assert not model.billed
