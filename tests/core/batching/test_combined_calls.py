"""CombinedCalls: which calls share a prompt, and how each of them ends."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from llm_optimizers.batching import GroupLimits
from llm_optimizers.batching.combining import (
    BilledAnswer,
    BoundCalls,
    CombinedCall,
    CombinedCalls,
    QuestionOutcome,
    combined_format,
)
from llm_optimizers.batching.combining.prompts import gives_plain_text, raised_limits, split_answers
from llm_optimizers.costs import Usage
from llm_optimizers.errors import ConfigurationError, RefusedError
from llm_optimizers.tenancy import CallerTenant
from llm_optimizers.types import ChatRequest, Message

WAIT = 20.0
LIMITS = GroupLimits(max_delay=WAIT)


class Asked:
    """Answers every question with its own text, and records the number in each prompt."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, request: ChatRequest) -> BilledAnswer:
        wanted = combined_format(request)
        self.sizes.append(wanted.count if wanted else 1)
        text = request.messages[-1].text
        if wanted is None:
            return BilledAnswer(text=text)
        _, questions = text.split("\n\n")
        answers = questions.replace('"request"', '"answer"')
        assert len(split_answers(f'{{"answers": {answers}}}', ["q1"])) == 1
        return BilledAnswer(text=f'{{"answers": {answers}}}')


def question(text: str = "Why?", **params: Any) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), params=params)


def answers(calls: CombinedCalls, requests: list[ChatRequest | None], **how: Any) -> list[str]:
    places = [calls.combined_call(request, **how) for request in requests]
    for place in places:
        if place is not None:
            place.submit()
    return ["alone" if place is None else place.result().text for place in places]


def test_six_questions_fill_a_prompt_by_default() -> None:
    texts = [f"q{n}?" for n in range(6)]
    asked = Asked()
    calls = CombinedCalls(asked, limits=LIMITS)
    assert answers(calls, [question(text) for text in texts]) == texts
    three = CombinedCalls(asked, limits=GroupLimits(max_size=3, max_delay=WAIT))
    assert answers(three, [question(text) for text in texts]) == texts
    assert asked.sizes == [6, 3, 3]
    calls.close()
    three.close()


def test_the_token_limit_applies_to_questions() -> None:
    asked = Asked()
    calls = CombinedCalls(asked, limits=GroupLimits(max_tokens=20, max_delay=WAIT))
    texts = [letter * 40 for letter in "abcd"]
    assert answers(calls, [question(text) for text in texts]) == texts
    assert asked.sizes == [2, 2]
    calls.close()


def test_calls_without_a_translation_or_a_tenant_are_separate() -> None:
    def unknown() -> str:
        raise LookupError("no tenant")

    calls = CombinedCalls(Asked())
    assert answers(calls, [None, question(stop=["x"])]) == ["alone", "alone"]
    assert answers(calls, [question()], tenant=CallerTenant.read(unknown)) == ["alone"]
    calls.close()


def test_tenants_never_share_a_prompt() -> None:
    asked = Asked()
    calls = CombinedCalls(asked, limits=LIMITS)
    places = [calls.combined_call(question(name), tenant=CallerTenant(name)) for name in "abab"]
    for place in places:
        assert place is not None
        place.submit()
    calls.close()
    assert asked.sizes == [2, 2]


@pytest.mark.parametrize("takes_settings", [True, False])
def test_calls_with_parameters_are_combined_if_they_can_be_sent(takes_settings: bool) -> None:
    calls = CombinedCalls(Asked(), takes_settings=takes_settings)
    found = [
        calls.combined_call(each) for each in (question(), question(temperature=1), question(n=2))
    ]
    assert [each is not None for each in found] == [True, takes_settings, False]
    calls.close()


PLAIN = [
    {},
    {"n": 1, "stop": None, "logprobs": False, "temperature": 1},
    {"tools": True},  # means that the model supports tools
    {"model_kwargs": {"seed": 1, "user": "u"}, "additional_kwargs": {"stream_options": {}}},
    {"extra_body": None, "model_kwargs": {"n": None}},
]
SHAPED = [
    {"n": 2},
    {"stop": ["\n"]},
    {"stop_sequences": ["\n"]},
    {"logprobs": True},
    {"tools": [{}]},
    {"modalities": ["audio"]},
    {"audio_config": {}, "prediction": {"type": "content"}},
    {"format": "json"},
    {"json_mode": True},
    {"model_kwargs": {"response_format": {"type": "json_object"}}},
    {"additional_kwargs": {"n": 3}},
    {"additional_kwargs": {"stop": ["x"]}},
    {"extra_body": {"guided_json": {}}},
    {"track_previous_responses": True},
    {"_previous_response_id": "resp_1"},
    {"built_in_tools": [{"type": "web_search"}]},
]


@pytest.mark.parametrize(
    ("settings", "plain"), [(s, True) for s in PLAIN] + [(s, False) for s in SHAPED]
)
def test_settings_of_the_model_can_prevent_combining(settings: dict[str, Any], plain: bool) -> None:
    model = SimpleNamespace(**settings)
    assert gives_plain_text(model) is plain
    calls = CombinedCalls(Asked(), models=[SimpleNamespace(), model])
    assert (calls.combined_call(question()) is not None) is plain
    calls.close()


def test_a_models_output_limit_is_raised_for_several_answers() -> None:
    model = SimpleNamespace(max_tokens=50, max_completion_tokens=None)
    assert raised_limits(model, 6) == {"max_tokens": (50 + 16) * 6 + 16}


def test_a_check_uses_the_configured_number_of_questions_per_prompt() -> None:
    asked, other = Asked(), Asked()
    calls = CombinedCalls(asked, limits=GroupLimits(max_size=4))
    sample: list[ChatRequest | None] = [question(f"q{n}?") for n in range(8)]
    assert calls.check(sample, tolerance=0.3).passed
    assert sorted(asked.sizes) == [1] * 8 + [4, 4]
    assert calls.check(sample, tolerance=0.3, ask=other).passed
    assert len(other.sizes) == len(asked.sizes)
    calls.close()


@pytest.mark.parametrize("bad", [None, question(stop=["x"]), question(" ")])
def test_an_uncombinable_input_of_a_sample_is_named_by_its_index(bad: ChatRequest | None) -> None:
    calls = CombinedCalls(Asked())
    with pytest.raises(ConfigurationError, match="input 1 of the sample is never combined"):
        calls.check([question(), bad])
    with pytest.raises(ConfigurationError, match="`sample` is"):
        calls.check([])
    shaped = CombinedCalls(Asked(), models=[SimpleNamespace(n=2)])
    with pytest.raises(ConfigurationError, match="input 0 of the sample is never combined"):
        shaped.check([question()])


def test_an_outcome_names_its_caller() -> None:
    outcomes: list[QuestionOutcome] = []
    calls = CombinedCalls(Asked(), observe=outcomes.append, limits=LIMITS)
    for name in ("ann", "bob"):
        place = calls.combined_call(question(f"{name}?"), caller=name)
        assert place is not None
        place.submit()
    calls.close()
    assert [(one.caller, one.answered is not None) for one in outcomes] == [
        ("ann", True),
        ("bob", True),
    ]


class Held:
    """Blocks until `go_on` is set, then answers or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.came, self.go_on = threading.Event(), threading.Event()

    def __call__(self, request: ChatRequest) -> BilledAnswer:
        self.came.set()
        assert self.go_on.wait(WAIT)
        if self.error is not None:
            raise self.error
        return replace(Asked()(request), usage=Usage(input_tokens=10), model="m", tier="flex")


def place(calls: CombinedCalls, text: str = "Why?") -> CombinedCall:
    found = calls.combined_call(question(text))
    assert found is not None
    return found


def ends(outcomes: list[QuestionOutcome]) -> list[tuple[str, type | None, int]]:
    """Return the status, error and billed tokens of each outcome."""
    return [
        (one.status, None if one.error is None else type(one.error), one.usage.total_tokens)
        for one in outcomes
    ]


class UnreachableError(Exception):
    status_code = 503


@pytest.mark.parametrize("error", [None, ValueError("no"), UnreachableError()])
def test_a_timed_out_caller_has_its_outcome_when_the_bill_is_known(error: Exception | None) -> None:
    outcomes: list[QuestionOutcome] = []
    ask = Held(error)
    limits = GroupLimits(max_size=1)
    calls = CombinedCalls(ask, observe=outcomes.append, limits=limits, timeout=0.05)
    late = place(calls)
    with pytest.raises(TimeoutError):
        late.result()
    assert not outcomes
    ask.go_on.set()
    calls.close()
    assert ends(outcomes) == [("error", TimeoutError, 0 if error else 10)]
    (one,) = outcomes
    assert (one.model, one.tier) == (("", "standard") if error else ("m", "flex"))
    assert one.latency_s is not None
    again: list[QuestionOutcome] = []
    late.when_done(again.append)
    assert again == outcomes


async def test_a_cancelled_caller_has_its_outcome_when_the_bill_is_known() -> None:
    outcomes: list[QuestionOutcome] = []
    ask = Held()
    limits = GroupLimits(max_size=2, max_delay=WAIT)
    calls = CombinedCalls(ask, observe=outcomes.append, limits=limits)
    tasks = [asyncio.create_task(place(calls, text).aresult()) for text in ("a?", "b?")]
    assert await asyncio.to_thread(ask.came.wait, WAIT)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert not outcomes
    ask.go_on.set()
    assert (await tasks[1]).text == "b?"
    await asyncio.to_thread(calls.close)
    assert ends(outcomes) == [("abandoned", asyncio.CancelledError, 5), ("ok", None, 5)]
    assert outcomes[0].answered is not None


async def test_a_caller_that_leaves_before_sending_has_its_outcome_at_once() -> None:
    outcomes: list[QuestionOutcome] = []
    asked = Asked()
    calls = CombinedCalls(asked, observe=outcomes.append, limits=LIMITS)
    task = asyncio.create_task(place(calls).aresult())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    submitted = place(calls)
    submitted.submit()
    submitted.cancel()
    place(calls).cancel()  # never joined: no outcome
    assert ends(outcomes) == [("abandoned", asyncio.CancelledError, 0)] * 2
    calls.close()
    with pytest.raises(RefusedError):
        place(calls).result()
    with pytest.raises(RefusedError):
        place(calls).submit()
    assert ends(outcomes)[2:] == [("error", RefusedError, 0)] * 2
    assert not asked.sizes


def test_a_failed_call_gives_each_of_its_callers_an_outcome() -> None:
    outcomes: list[QuestionOutcome] = []
    ask = Held(UnreachableError())
    ask.go_on.set()
    limits = GroupLimits(max_size=2, max_delay=WAIT)
    calls = CombinedCalls(ask, observe=outcomes.append, limits=limits)
    places = [place(calls, text) for text in ("a?", "b?")]
    for each in places:
        each.submit()
    for each in places:
        with pytest.raises(UnreachableError):
            each.result()
    calls.close()
    assert ends(outcomes) == [("error", UnreachableError, 0)] * 2


def test_an_observer_that_fails_costs_no_caller_its_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(outcome: QuestionOutcome) -> None:
        raise ValueError("secret text")

    calls = CombinedCalls(Asked(), observe=broken, limits=GroupLimits(max_size=1))
    assert place(calls).result().text == "Why?"
    calls.close()
    assert "missing from the ledger (ValueError)" in caplog.text
    assert "secret" not in caplog.text


def test_callers_that_leave_at_the_last_moment_have_one_outcome_each() -> None:
    outcomes: list[QuestionOutcome] = []
    limits = GroupLimits(max_size=6, max_delay=0.001)
    calls = CombinedCalls(Asked(), observe=outcomes.append, limits=limits, timeout=0.002)

    def ask(number: int) -> None:
        for n in range(40):
            with suppress(TimeoutError):
                assert place(calls, f"{number}-{n}?").result().text == f"{number}-{n}?"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    calls.close()
    assert len({one.request.question for one in outcomes}) == len(outcomes) == 320


def test_bound_calls_belong_to_one_model_and_are_not_copied() -> None:
    model = SimpleNamespace()
    kept = BoundCalls(model=model, settings=(True, 1), calls=CombinedCalls(Asked()))
    assert kept.serves(model, (True, 1))
    assert not kept.serves(model, (False, 1))
    assert not kept.serves(SimpleNamespace(), (True, 1))
    assert copy.deepcopy(kept) is None
    assert pickle.loads(pickle.dumps(kept)) is None
    assert not kept.calls.closed
    kept.calls.close()
    assert kept.calls.closed
