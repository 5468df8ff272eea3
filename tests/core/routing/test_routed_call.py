"""Executing a decision: fallbacks, cooldowns, deadlines, cascades, streams, and their records."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import weakref
from contextlib import aclosing, suppress

import pytest

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
    """Has the attributes of openai's and anthropic's errors."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers or {}, "status_code": status})()


class RecordingRouter(Router):
    """Keeps the records that it writes."""

    def record(self, record):
        super().record(record)
        self.last_record = record.to_json()


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
        routed, caller = start(router, asked, **settings), FunctionCaller(models)
        if request.param == "sync":
            return routed.answer(caller)
        return asyncio.run(routed.aanswer(caller))

    return go


@pytest.fixture
def make(prices):
    def make(policy=None, **settings):
        settings.setdefault("rng", random.Random(0))
        return RecordingRouter(MODELS, policy=policy or Always("small"), prices=prices, **settings)

    return make


def test_an_answer_is_returned_and_recorded(make, ask, perform):
    router, models = make(), Models(small=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.calls == [("small", "answer")]
    assert router.last_record["served_by"] == "small"


@pytest.mark.parametrize(
    "error", [ProviderError(429), ProviderError(503), TimeoutError(), ConnectionError()]
)
def test_a_failing_model_is_replaced_and_cools_down(make, ask, perform, error):
    router, models = make(), Models(small=[error], middle=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.asked == ["small", "middle"]
    record = router.last_record
    assert record["served_by"] == "middle"
    assert record["attempts"][0]["outcome"] == "failed"
    assert record["attempts"][0]["error"] == type(error).__name__
    assert router.decide(ask()).model == "middle"


def used_up():
    """An error of OpenAI's for an account without money, with a wait that does not help."""
    error = ProviderError(429, {"retry-after": "1"})
    error.code = "insufficient_quota"
    return error


def test_another_account_answers_where_one_is_used_up(make, ask, perform):
    router, models = make(), Models(small=[used_up()], middle=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.asked == ["small", "middle"]


def test_where_all_are_used_up_nothing_is_waited_for(make, ask, perform):
    errors = {name: [used_up()] for name in MODELS}
    models = Models(**errors)
    with pytest.raises(ProviderError):
        perform(make(), ask(), models)
    assert sorted(models.asked) == sorted(MODELS)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError])
def test_interrupts_go_to_no_other_model(make, ask, perform, interrupt):
    asked = []

    def models(effect):
        asked.append(effect.model)
        raise interrupt

    with pytest.raises(interrupt):
        perform(make(), ask(), models)
    assert asked == ["small"]


@pytest.mark.parametrize("deadline_s", [None, 5.0])
async def test_a_raised_error_leaves_no_reference_cycle(make, ask, deadline_s):
    """Its frames, with their prompts, are freed without waiting for the garbage collector."""

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
        routed = start(make(clock=lambda: now[0]), ask(), deadline_s=deadline_s)
        with suppress(TimeoutError, ProviderError):
            await routed.aanswer(FunctionCaller(failing))
        assert [ref() for ref in alive] == [None] * (3 if deadline_s is None else 1)


@pytest.mark.parametrize("error", [ProviderError(400), ProviderError(401), ValueError("bug")])
def test_an_error_that_is_not_retryable_is_raised_at_once(make, ask, perform, error):
    router, models = make(), Models(small=[error])
    with pytest.raises(type(error)):
        perform(router, ask(), models)
    assert models.asked == ["small"]
    assert router.decide(ask()).model == "small"
    assert router.last_record["served_by"] is None


def test_retry_after_sets_the_cooldown(make, ask, perform):
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


def test_the_deadline_covers_all_attempts(make, ask, perform):
    now = [0.0]
    router = make(clock=lambda: now[0])

    def slow_failure(effect):
        now[0] += 4
        raise ProviderError(503)

    with pytest.raises(TimeoutError, match=r"small \(ProviderError\), middle \(ProviderError\)"):
        perform(router, ask(), slow_failure, deadline_s=6)


def test_a_hanging_call_is_abandoned_at_the_deadline(make, ask):
    router, released = make(), threading.Event()

    def call(effect):
        if effect.model == "small":
            released.wait(20)
        return effect.model

    try:
        with pytest.raises(TimeoutError, match=r"tried: small \(TimeoutError\)"):
            start(router, ask(), deadline_s=0.1).answer(FunctionCaller(call))
    finally:
        released.set()


async def test_a_hanging_asynchronous_call_is_cancelled_at_the_deadline(make, ask):
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


async def test_a_cancelled_request_calls_no_other_model(make, ask):
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
    assert router.last_record["attempts"][0]["outcome"] == "abandoned"


def cascade(**settings):
    return CascadePolicy(cheap="small", strong="large", **settings)


def test_a_cheap_answer_that_passes_is_served(make, ask, perform):
    router, models = make(cascade()), Models(small=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.calls == [("small", "draft")]
    assert router.last_record["checks"]["not_refused"] == 1.0


@pytest.mark.parametrize("draft", ["", "  ", "I'm sorry, but I can't help with that."])
def test_a_cheap_answer_that_fails_is_escalated_and_both_calls_recorded(make, ask, perform, draft):
    router, models = make(cascade()), Models(small=[draft], large=["four"])
    assert perform(router, ask(), models) == "four"
    assert models.calls == [("small", "draft"), ("large", "escalation")]
    outcomes = [(a["model"], a["outcome"]) for a in router.last_record["attempts"]]
    assert outcomes == [("small", "escalated"), ("large", "served")]


def test_two_cheap_models_must_agree(make, ask, perform):
    router = make(cascade(samples=["middle"]))
    agreeing = Models(small=["It is 4."], middle=["So: 4.0"])
    assert perform(router, ask(), agreeing) == "It is 4."
    assert agreeing.calls == [("small", "draft"), ("middle", "sample")]
    differing = Models(small=["It is 4."], middle=["It is 5."], large=["4"])
    assert perform(router, ask(), differing) == "4"
    assert differing.asked == ["small", "middle", "large"]


def test_no_sample_is_called_for_an_answer_that_failed_a_gate(make, ask, perform):
    router = make(cascade(samples=["middle"]))
    models = Models(small=[""], large=["4"])
    perform(router, ask(), models)
    assert models.asked == ["small", "large"]


def test_when_a_sample_fails_the_strong_model_answers(make, ask, perform):
    router = make(cascade(samples=["middle"]))
    models = Models(small=["4"], middle=[ProviderError(500)], large=["four"])
    assert perform(router, ask(), models) == "four"


def judged(threshold=0.7):
    return Verifier(checks=(NotEmpty(),), judge=Judge(model="middle"), threshold=threshold)


@pytest.mark.parametrize(("grade", "served"), [("9", "draft"), ("3", "better")])
def test_the_judges_grade_decides(make, ask, perform, grade, served):
    router = make(cascade(verifier=judged()))
    models = Models(small=["draft"], middle=[grade], large=["better"])
    assert perform(router, ask(), models) == served


@pytest.mark.parametrize("reply", [ProviderError(500), "no idea", "100"])
def test_when_the_judge_fails_the_strong_model_answers(make, ask, perform, caplog, reply):
    router = make(cascade(verifier=judged()))
    for _ in range(2):
        models = Models(small=["draft"], middle=[reply], large=["better"])
        assert perform(router, ask(), models) == "better"
        router.health.served("middle")
    assert caplog.text.count("the strong model answers") == 1


def test_a_check_that_raises_scores_0_and_is_logged_once(make, ask, perform, caplog):
    class Broken:
        name, gate = "broken", True

        def score(self, request, answers):
            raise RuntimeError

    router = make(cascade(verifier=Verifier(checks=(Broken(),))))
    for _ in range(2):
        models = Models(small=["draft"], large=["better"])
        assert perform(router, ask(), models) == "better"
    assert caplog.text.count("not trusted") == 1


def test_when_the_escalation_fails_the_cheap_answer_is_served(make, ask, perform):
    verifier = Verifier(checks=(NotRefused(), Agreement()), threshold=0.5)
    router = make(cascade(samples=["middle"], verifier=verifier))
    models = Models(small=["4"], middle=["5"], large=[ProviderError(500)])
    assert perform(router, ask(), models) == "4"
    assert router.last_record["served_by"] == "small"
    empty = Models(small=[""], middle=["5"], large=[ProviderError(400)])
    router = make(cascade())
    with pytest.raises(ProviderError):
        perform(router, ask(), empty)


def test_the_draft_is_escalated_and_not_its_own_models_sample(make, ask, perform):
    router = make(cascade(samples=["small"]))
    models = Models(small=["It is 4.", "It is 5."], large=["4"])
    assert perform(router, ask(), models) == "4"
    outcomes = [(a["model"], a["outcome"]) for a in router.last_record["attempts"]]
    assert outcomes == [("small", "escalated"), ("small", "sampled"), ("large", "served")]
    assert router.last_record["served_by"] == "large"


def test_a_fallback_of_the_cheap_model_is_not_checked(make, ask, perform):
    router = make(cascade())
    models = Models(small=[ProviderError(500)], middle=[""])
    assert perform(router, ask(), models) == ""


class Chunks:
    """A stream of texts that remembers whether it was closed; an exception in it is raised."""

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
    """Models that stream, one script a call."""

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
    """Read a routed call's stream, up to `stop` chunks."""

    def go(router, asked, caller, *, stop=100, **settings):
        routed = start(router, asked, **settings)
        read = []
        if request.param == "sync":
            chunks = routed.stream(caller)
            for chunk in chunks:
                read.append(chunk)
                if len(read) == stop:
                    break
            chunks.close()
            return read

        async def consume():
            async with aclosing(routed.astream(caller)) as chunks:
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
    record = router.last_record
    assert [a["outcome"] for a in record["attempts"]] == ["failed", "served"]


def test_a_stream_that_breaks_raises_with_its_partial_text(make, ask, stream):
    router = make()
    chunks = Chunks("fo", "ur", ProviderError(500), "never")
    with pytest.raises(InterruptedStreamError, match="small's stream broke after 2") as broken:
        stream(router, ask(), Streams(small=[chunks]))
    assert broken.value.partial == "four"
    assert chunks.closed
    record = router.last_record
    assert record["served_by"] is None
    assert record["attempts"][0]["error"] == "ProviderError"
    assert router.decide(ask()).model == "middle"


@pytest.mark.parametrize(("status", "cools_for"), [(400, None), (429, 7.0), (402, 30.0)])
def test_a_broken_stream_s_error_says_how_long_its_model_rests(
    make, ask, stream, status, cools_for
):
    router = make()
    chunks = Chunks("fo", ProviderError(status, {"retry-after": "7"}))
    with pytest.raises(InterruptedStreamError):
        stream(router, ask(), Streams(small=[chunks]))
    rests = router.health.cooling(now=router.clock()).get("small")
    assert (rests and round(rests)) == cools_for


def test_an_abandoned_stream_is_closed_and_its_model_does_not_cool_down(make, ask, stream):
    router, chunks = make(), Chunks("a", "b", "c")
    assert stream(router, ask(), Streams(small=[chunks]), stop=1) == ["a"]
    assert chunks.closed
    assert router.last_record["served_by"] == "small"
    assert router.decide(ask()).model == "small"


def test_an_empty_stream_is_an_answer(make, ask, stream):
    router = make()
    assert stream(router, ask(), Streams(small=[Chunks()])) == []
    assert router.last_record["served_by"] == "small"


def test_an_empty_first_chunk_holds_nothing_that_could_be_lost(make, ask, stream):
    router = make()
    broken, whole = Chunks("", ProviderError(500)), Chunks("", "four", "")
    assert stream(router, ask(), Streams(small=[broken], middle=[whole])) == ["", "four", ""]
    assert router.last_record["served_by"] == "middle"
    assert stream(make(), ask(), Streams(small=[Chunks("", "")])) == ["", ""]


def test_a_cascade_streams_after_the_answer_is_accepted(make, ask):
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


def test_a_sample_of_the_questions_is_stored_by_tenant_and_user(make, ask, tmp_path):
    traffic = SampleStore(tmp_path / "traffic.sqlite", rate=1.0)
    for name in ("acme", "birch"):
        with tenant(name):
            context = RoutingContext(user="u1")
            routed = RoutedCall(
                make(), ask(f"Is it {name}?"), context, TEXT_READER, traffic=traffic
            )
            routed.answer(FunctionCaller(Models(small=["four"])))
    assert traffic.forget(user="u1", tenant="acme") == 1
    assert list(read_traffic(tmp_path / "traffic.sqlite")) == [("Is it birch?", "")]
