"""Learned caps, stop sequences and schemas."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.context import NO_CALL_CONTEXT, CallContext, context_of
from llm_optimizers.prompts import OutputLimits
from llm_optimizers.prompts.outputs import CappedCall, was_truncated, with_answer_form
from llm_optimizers.types import ChatRequest, Message


def request(model: str = "gpt-4o", **params: object) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message(role="user", content="Hi"),), params=params)


def test_a_cap_is_learned_from_a_tasks_own_answers() -> None:
    limits = OutputLimits(enough=10)
    for length in range(9):
        limits.observe("label", 4 + length)
    assert limits.cap("label") is None
    limits.observe("label", 20)
    cap = limits.cap("label")
    assert cap is not None
    assert (cap.tokens, cap.answers, cap.truncation_rate) == (30, 10, 0.0)
    assert limits.cap("essay") is None
    assert limits.capped(request(), "label").params == {"max_tokens": 30}
    assert limits.capped(request("o3-mini"), "label").params == {"max_completion_tokens": 30}


def test_a_cap_that_truncates_reports_the_rate_and_rises() -> None:
    limits = OutputLimits(enough=4)
    for _ in range(4):
        limits.observe("t", 100)
    before = limits.cap("t")
    for _ in range(4):
        limits.observe("t", 150, truncated=True)
    after = limits.cap("t")
    assert before is not None
    assert after is not None
    assert after.truncation_rate == 0.5
    assert after.tokens == 2 * 150 * 1.5 > before.tokens


def test_the_users_own_cap_is_kept() -> None:
    limits = OutputLimits(enough=1)
    limits.observe("t", 5)
    own = request(max_tokens=900)
    assert limits.capped(own, "t") is own
    assert limits.capped(request(), "unknown").params == {}


class TestCappedCall:
    """The capped call, its retry, and the records of both."""

    AROUND = CallContext(role="escalation", baseline_model="gpt-5")
    USED = Usage(input_tokens=10, output_tokens=15)

    def begin(self, call_id: str | None = None, *, answers: int = 1, **params: int) -> CappedCall:
        limits = OutputLimits(enough=1)
        for _ in range(answers):
            limits.observe("t", 10)
        return CappedCall(limits, "t", params, context=self.AROUND, call_id=call_id)

    def made(self, context: CallContext, ledger: Ledger) -> None:
        """A call as a framework's handler sees it: in another thread, by its id."""
        known = context_of(context.id)
        Call(
            id=context.id,
            time=datetime(2026, 1, 2, tzinfo=UTC),
            asked="gpt-4o",
            reported=self.USED,
            context=known,
        ).account(ledger)

    def test_a_truncated_answer_is_charged_to_prompts_and_the_retry_is_recorded_normally(
        self,
    ) -> None:
        ledger, reference = Ledger(), Ledger()
        with self.begin("run-1") as capped:
            assert (capped.cap and capped.cap.tokens, capped.first.id) == (16, "run-1")
            self.made(capped.first, ledger)
            assert not list(ledger.records())  # not known yet
            assert capped.needs_retry("length", self.USED)
            self.made(capped.retry, ledger)
        cut, whole = sorted(ledger.records(), key=lambda record: record.id != "run-1")
        assert cut.baseline_cost == 0
        assert [(s.strategy, s.amount) for s in cut.savings] == [("prompts", -(cut.cost or 0))]
        Call(
            id=whole.id, time=whole.time, asked="gpt-4o", reported=self.USED, context=self.AROUND
        ).account(reference)
        assert [whole] == list(reference.records())

    def test_a_complete_answer_is_recorded_normally(self) -> None:
        ledger = Ledger()
        with self.begin() as capped:
            self.made(capped.first, ledger)
            assert not capped.needs_retry("stop", self.USED)
        (record,) = ledger.records()
        assert record.baseline_model == "gpt-5"
        assert (record.saved or Decimal(-1)) == (record.baseline_cost or 0) - (record.cost or 0)
        assert context_of(capped.retry.id).baseline_model == "gpt-5"

    def test_a_call_is_recorded_if_its_caller_raises(self) -> None:
        ledger = Ledger()

        def failing() -> None:
            with self.begin() as capped:
                self.made(capped.first, ledger)
                raise KeyError

        with pytest.raises(KeyError):
            failing()
        (record,) = ledger.records()
        assert record.baseline_model == "gpt-5"

    def test_without_a_learned_cap_nothing_changes(self) -> None:
        for capped in (self.begin(max_tokens=5), self.begin(answers=0)):
            with capped:
                assert (capped.cap, capped.first) == (None, self.AROUND)
                assert not capped.needs_retry("length", self.USED)
        with CappedCall(None, "t", {}, context=NO_CALL_CONTEXT) as unlimited:
            assert not unlimited.needs_retry("length", self.USED)
        assert unlimited.first is NO_CALL_CONTEXT

    def test_the_limits_learn_from_the_first_answer(self) -> None:
        limits = OutputLimits(enough=1)
        limits.observe("t", 10)
        for reason, usage in (("length", self.USED), ("stop", self.USED), ("stop", None)):
            with CappedCall(limits, "t", {}, context=NO_CALL_CONTEXT) as capped:
                capped.needs_retry(reason, usage)
        cap = limits.cap("t")
        assert cap is not None
        assert (cap.answers, cap.truncation_rate) == (3, pytest.approx(1 / 3))


def test_limits_can_be_shared_between_threads() -> None:
    limits = OutputLimits(enough=1, window=10_000)

    def work() -> None:
        for _ in range(500):
            limits.observe("t", 10)
            limits.cap("t")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cap = limits.cap("t")
    assert cap is not None
    assert cap.answers == 2_000


def test_stop_sequences_and_schemas_are_set_if_the_model_takes_them() -> None:
    schema = {"title": "label", "type": "object", "properties": {}, "additionalProperties": False}
    assert with_answer_form(request(), form="line").params["stop"] == ["\n"]
    assert "stop" not in with_answer_form(request("o3"), form="line").params
    assert with_answer_form(request(stop=["x"]), form="line").params["stop"] == ["x"]
    formatted = with_answer_form(request(), schema=schema).params["response_format"]
    assert formatted["json_schema"]["name"] == "label"
    assert formatted["json_schema"]["strict"] is True
    loose = with_answer_form(request(), schema={"type": "object"})
    assert loose.params["response_format"]["json_schema"]["strict"] is False
    assert (
        "response_format"
        not in with_answer_form(request("claude-sonnet-4-5"), schema=schema).params
    )


def test_a_lower_cap_of_the_model_is_kept() -> None:
    limits = OutputLimits(enough=1)
    limits.observe("t", 100)
    assert limits.cap_for("t", {}, configured=150) is None
    cap = limits.cap_for("t", {}, configured=151)
    assert cap is not None
    assert cap == limits.cap_for("t", {})
    assert limits.cap_for("t", {"max_output_tokens": 9_000}) is None


@pytest.mark.parametrize("name", ["tools", "functions", "response_format"])
def test_structured_answers_get_no_stop_sequences(name: str) -> None:
    assert "stop" not in with_answer_form(request(**{name: []}), form="line").params


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "stop", None])
def test_every_providers_finish_reason_for_truncation_is_known(reason: str | None) -> None:
    assert was_truncated(reason) is (reason not in ("stop", None))
