"""Carrying a decision out: fallbacks, rests, deadlines, cascades, and what is recorded of them."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import weakref
from contextlib import aclosing, suppress

import pytest

from llm_optimizers.costs import Ledger
from llm_optimizers.errors import InterruptedStreamError
from llm_optimizers.evidence import SampleStore, read_traffic
from llm_optimizers.routing import Always, Router, RoutingContext
from llm_optimizers.routing.cascade.checks import Agreement, NotEmpty, NotRefused
from llm_optimizers.routing.cascade.verifier import Judge, Verifier
from llm_optimizers.routing.plan import CallModel
from llm_optimizers.routing.policies.cascade import CascadePolicy
from llm_optimizers.routing.routed_call import RoutedCall
from llm_optimizers.tenancy import tenant
from support.callers import TEXT_READER, FunctionCaller
from support.waiting import collecting_nothing

MODELS = ["small", "middle", "large"]


class ProviderError(Exception):
    """Shaped as openai's and anthropic's errors are."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers or {}, "status_code": status})()


class Models:
    """Models that answer, or fail, as scripted; the last entry of a script repeats."""

    def __init__(self, **scripts: list[str | Exception]) -> None:
        self.scripts = scripts
        self.calls: list[tuple[str, str]] = []

    def __call__(self, effect: CallModel) -> str:
        self.calls.append((effect.model, effect.role))
        script = self.scripts[effect.model]
        reply = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    @property
    def asked(self) -> list[str]:
        return [model for model, _ in self.calls]


def start(router, asked, **settings):
    return RoutedCall(router, asked, RoutingContext(), TEXT_READER, **settings)


@pytest.fixture(params=["sync", "async"])
def perform(request):
    """The same plan, with and without an event loop."""

    def go(router, asked, models, **settings):
        session, caller = start(router, asked, **settings), FunctionCaller(models)
        if request.param == "sync":
            return session.answer(caller)
        return asyncio.run(session.aanswer(caller))

    return go


@pytest.fixture
def make(prices):
    def make(policy=None, **settings):
        settings.setdefault("rng", random.Random(0))
        settings.setdefault("ledger", Ledger(prices=prices))
        return Router(MODELS, policy=policy or Always("small"), **settings)

    return make


def last_record(router):
    return [note.payload for note in router._ledger.notes("routing.decision")][-1]


def test_an_answer_is_passed_on_and_recorded(make, ask, perform):
    router, models = make(), Models(small=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.calls == [("small", "answer")]
    assert last_record(router)["served_by"] == "small"


@pytest.mark.parametrize(
    "error", [ProviderError(429), ProviderError(503), TimeoutError(), ConnectionError()]
)
def test_a_failing_model_is_replaced_and_rests(make, ask, perform, error):
    router, models = make(), Models(small=[error], middle=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.asked == ["small", "middle"]
    record = last_record(router)
    assert record["served_by"] == "middle"
    assert record["attempts"][0]["outcome"] == "failed"
    assert record["attempts"][0]["error"] == type(error).__name__
    assert router.decide(ask()).model == "middle"


@pytest.mark.parametrize("deadline_s", [None, 5.0])
async def test_errors_are_let_go_with_all_that_they_passed_through(make, ask, deadline_s):
    """Without waiting for the garbage collector: prompts and runs hang on it."""

    class Held:
        pass

    alive = []

    now = [1_000.0]

    def failing(effect):
        held = Held()
        alive.append(weakref.ref(held))
        now[0] += 10
        raise ProviderError(503)

    with collecting_nothing():
        session = start(make(clock=lambda: now[0]), ask(), deadline_s=deadline_s)
        with suppress(TimeoutError, ProviderError):
            await session.aanswer(FunctionCaller(failing))
        assert [ref() for ref in alive] == [None] * (3 if deadline_s is None else 1)


@pytest.mark.parametrize("error", [ProviderError(400), ProviderError(401), ValueError("bug")])
def test_what_no_other_model_would_mend_is_told_at_once(make, ask, perform, error):
    router, models = make(), Models(small=[error])
    with pytest.raises(type(error)):
        perform(router, ask(), models)
    assert models.asked == ["small"]
    assert router.decide(ask()).model == "small"
    assert last_record(router)["served_by"] is None


def test_retry_after_sets_the_rest(make, ask, perform):
    now = [1000.0]
    router = make(clock=lambda: now[0])
    models = Models(small=[ProviderError(429, {"Retry-After": "7"})], middle=["four"])
    perform(router, ask(), models)
    now[0] += 6.9
    assert router.decide(ask()).model == "middle"
    now[0] += 0.2
    assert router.decide(ask()).model == "small"


def test_when_all_fail_the_shortest_retry_after_is_waited_for_once(make, ask, perform):
    router = make()
    models = Models(
        small=[ProviderError(429, {"retry-after": "60"})],
        middle=[ProviderError(429, {"retry-after-ms": "20"}), "four"],
        large=[ProviderError(500)],
    )
    assert perform(router, ask(), models) == "four"
    assert models.asked == ["small", "middle", "large", "middle"]


def test_when_all_fail_the_last_error_is_raised(make, ask, perform):
    router = make()
    models = Models(
        small=[ProviderError(500)],
        middle=[ProviderError(503, {"retry-after": "600"})],
        large=[ProviderError(502)],
    )
    with pytest.raises(ProviderError, match="502"):
        perform(router, ask(), models)
    assert models.asked == MODELS


def test_one_deadline_holds_over_all_models(make, ask, perform):
    now = [0.0]
    router = make(clock=lambda: now[0])

    def slow_failure(effect):
        now[0] += 4
        raise ProviderError(503)

    with pytest.raises(TimeoutError, match=r"small \(ProviderError\), middle \(ProviderError\)"):
        perform(router, ask(), slow_failure, deadline_s=6)


def test_a_model_that_hangs_is_given_up_in_time(make, ask):
    router, released = make(), threading.Event()

    def call(effect):
        if effect.model == "small":
            released.wait(20)
        return effect.model

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        start(router, ask(), deadline_s=0.1).answer(FunctionCaller(call))
    assert time.monotonic() - started < 15
    released.set()


async def test_a_model_that_hangs_is_cancelled_in_time(make, ask):
    router, cancelled = make(), []

    async def call(effect):
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            cancelled.append(effect.model)
            raise

    with pytest.raises(TimeoutError):
        await start(router, ask(), deadline_s=1.0).aanswer(FunctionCaller(call))
    assert cancelled == ["small"]


async def test_a_cancelled_request_tries_nobody_else(make, ask):
    router, asked, begun = make(), [], asyncio.Event()

    async def call(effect):
        asked.append(effect.model)
        begun.set()
        await asyncio.sleep(20)

    task = asyncio.create_task(start(router, ask()).aanswer(FunctionCaller(call)))
    await asyncio.wait_for(begun.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked == ["small"]
    assert last_record(router)["attempts"][0]["outcome"] == "abandoned"


def cascade(**settings):
    return CascadePolicy(cheap="small", strong="large", **settings)


def test_a_good_cheap_answer_stands(make, ask, perform):
    router, models = make(cascade()), Models(small=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.calls == [("small", "draft")]
    assert last_record(router)["checks"]["not_refused"] == 1.0


@pytest.mark.parametrize("draft", ["", "  ", "I'm sorry, but I can't help with that."])
def test_a_bad_cheap_answer_goes_up_and_both_calls_are_told(make, ask, perform, draft):
    router, models = make(cascade()), Models(small=[draft], large=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.calls == [("small", "draft"), ("large", "escalation")]
    outcomes = [(a["model"], a["outcome"]) for a in last_record(router)["attempts"]]
    assert outcomes == [("small", "escalated"), ("large", "served")]


def test_two_cheap_models_must_agree(make, ask, perform):
    router = make(cascade(samples=["middle"]))
    agreeing = Models(small=["It is 4."], middle=["So: 4.0"])
    assert perform(router, ask(), agreeing) == "It is 4."
    assert agreeing.calls == [("small", "draft"), ("middle", "sample")]
    differing = Models(small=["It is 4."], middle=["It is 5."], large=["4"])
    assert perform(router, ask(), differing) == "4"
    assert differing.asked == ["small", "middle", "large"]


def test_no_second_sample_is_bought_for_an_answer_that_failed_already(make, ask, perform):
    router = make(cascade(samples=["middle"]))
    models = Models(small=[""], large=["4"])
    perform(router, ask(), models)
    assert models.asked == ["small", "large"]


def test_without_a_second_opinion_the_strong_model_decides(make, ask, perform):
    router = make(cascade(samples=["middle"]))
    models = Models(small=["4"], middle=[ProviderError(500)], large=["four"])
    assert perform(router, ask(), models) == "four"


def judged(threshold=0.7):
    return Verifier(checks=(NotEmpty(),), judge=Judge(model="middle"), threshold=threshold)


@pytest.mark.parametrize(("grade", "served"), [("9", "draft"), ("3", "better")])
def test_a_judge_decides(make, ask, perform, grade, served):
    router = make(cascade(verifier=judged()))
    models = Models(small=["draft"], middle=[grade], large=["better"])
    assert perform(router, ask(), models) == served


@pytest.mark.parametrize("reply", [ProviderError(500), "no idea", "100"])
def test_a_judge_that_fails_leaves_it_to_the_strong_model(make, ask, perform, caplog, reply):
    router = make(cascade(verifier=judged()))
    for _ in range(2):
        models = Models(small=["draft"], middle=[reply], large=["better"])
        assert perform(router, ask(), models) == "better"
        router.health.served("middle")
    assert caplog.text.count("the strong model serves") == 1


def test_a_check_that_raises_is_not_trusted_and_told_once(make, ask, perform, caplog):
    class Broken:
        name, gate = "broken", True

        def score(self, request, answers):
            raise RuntimeError

    router = make(cascade(verifier=Verifier(checks=(Broken(),))))
    for _ in range(2):
        models = Models(small=["draft"], large=["better"])
        assert perform(router, ask(), models) == "better"
    assert caplog.text.count("not trusted") == 1


def test_when_the_escalation_fails_the_cheap_answer_is_better_than_none(make, ask, perform):
    verifier = Verifier(checks=(NotRefused(), Agreement()), threshold=0.5)
    router = make(cascade(samples=["middle"], verifier=verifier))
    models = Models(small=["4"], middle=["5"], large=[ProviderError(500)])
    assert perform(router, ask(), models) == "4"
    assert last_record(router)["served_by"] == "small"
    empty = Models(small=[""], middle=["5"], large=[ProviderError(400)])
    router = make(cascade())
    with pytest.raises(ProviderError):
        perform(router, ask(), empty)


def test_the_outcome_is_the_draft_s_and_not_that_of_its_own_models_sample(make, ask, perform):
    router = make(cascade(samples=["small"]))
    models = Models(small=["It is 4.", "It is 5."], large=["4"])
    assert perform(router, ask(), models) == "4"
    outcomes = [(a["model"], a["outcome"]) for a in last_record(router)["attempts"]]
    assert outcomes == [("small", "escalated"), ("small", "sampled"), ("large", "served")]
    assert last_record(router)["served_by"] == "large"


def test_a_fallback_for_the_cheap_model_is_not_checked_again(make, ask, perform):
    router = make(cascade())
    models = Models(small=[ProviderError(500)], middle=[""])
    assert perform(router, ask(), models) == ""


class Chunks:
    """A stream of texts that knows whether it was closed; an exception among them is raised."""

    def __init__(self, *chunks: str | Exception) -> None:
        self.chunks, self.closed = list(chunks), False

    def __iter__(self):
        return self

    def __next__(self):
        if not self.chunks:
            raise StopIteration
        if isinstance(self.chunks[0], Exception):
            raise self.chunks.pop(0)
        return self.chunks.pop(0)

    def close(self):
        self.closed = True


class Streams(Models):
    """Scripted streams, one a call."""

    def stream(self, attempt):
        return self(attempt)

    async def astream(self, attempt):
        stream = self(attempt)
        try:
            for chunk in stream:
                yield chunk
        finally:
            stream.close()

    def mark(self, chunk, attempt, *, first):
        return chunk


@pytest.fixture(params=["sync", "async"])
def stream(request):
    """The chunks of a session's stream, up to `stop` of them."""

    def go(router, asked, caller, *, stop=100, **settings):
        session = start(router, asked, **settings)
        read = []
        if request.param == "sync":
            chunks = session.stream(caller)
            for chunk in chunks:
                read.append(chunk)
                if len(read) == stop:
                    break
            chunks.close()
            return read

        async def consume():
            async with aclosing(session.astream(caller)) as chunks:
                async for chunk in chunks:
                    read.append(chunk)
                    if len(read) == stop:
                        break

        asyncio.run(consume())
        return read

    return go


def test_a_stream_falls_back_until_its_first_chunk(make, ask, stream):
    router = make()
    models = Streams(small=[Chunks(ProviderError(503))], middle=[Chunks("four", " it is")])
    assert stream(router, ask(), models) == ["four", " it is"]
    record = last_record(router)
    assert [a["outcome"] for a in record["attempts"]] == ["failed", "served"]


def test_a_stream_that_breaks_is_an_error_with_what_had_come(make, ask, stream):
    router = make()
    chunks = Chunks("fo", "ur", ProviderError(500), "never")
    with pytest.raises(InterruptedStreamError, match="small's stream broke after 2") as broken:
        stream(router, ask(), Streams(small=[chunks]))
    assert broken.value.partial == "four"
    assert chunks.closed
    record = last_record(router)
    assert record["served_by"] is None
    assert record["attempts"][0]["error"] == "ProviderError"
    assert router.decide(ask()).model == "middle"


def test_a_stream_that_is_left_is_closed_and_its_model_does_not_rest(make, ask, stream):
    router, chunks = make(), Chunks("a", "b", "c")
    assert stream(router, ask(), Streams(small=[chunks]), stop=1) == ["a"]
    assert chunks.closed
    assert last_record(router)["served_by"] == "small"
    assert router.decide(ask()).model == "small"


def test_an_empty_stream_is_an_answer(make, ask, stream):
    router = make()
    assert stream(router, ask(), Streams(small=[Chunks()])) == []
    assert last_record(router)["served_by"] == "small"


def test_a_cascade_holds_its_stream_back_until_the_answer_is_accepted(make, ask):
    router = make(cascade())
    models = Models(small=[""], large=["it is four"])
    assert list(start(router, ask()).stream(FunctionCaller(models))) == ["it", "is", "four"]
    assert models.calls == [("small", "draft"), ("large", "escalation")]


def test_a_stream_opened_too_late_is_closed(make, ask):
    router, released, late = make(), threading.Event(), Chunks("late")
    opened = threading.Event()

    def call(attempt):
        released.wait(20)
        opened.set()
        return late

    caller = Streams(small=[late])
    caller.stream = call
    with pytest.raises(TimeoutError):
        list(start(router, ask(), deadline_s=1.0).stream(caller))
    released.set()
    assert opened.wait(20)
    for _ in range(2_000):
        if late.closed:
            break
        time.sleep(0.01)
    assert late.closed


def test_a_sample_of_the_questions_is_kept_under_tenant_and_user(make, ask, tmp_path):
    traffic = SampleStore(tmp_path / "traffic.sqlite", rate=1.0)
    for name in ("acme", "birch"):
        with tenant(name):
            context = RoutingContext(user="u1")
            session = RoutedCall(
                make(), ask(f"Is it {name}?"), context, TEXT_READER, traffic=traffic
            )
            session.answer(FunctionCaller(Models(small=["four"])))
    assert traffic.forget(user="u1", tenant="acme") == 1
    assert list(read_traffic(tmp_path / "traffic.sqlite")) == [("Is it birch?", "")]
