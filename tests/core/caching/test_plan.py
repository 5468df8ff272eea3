"""The cache's plans, run on a fake store, index, embedder and model.

Every test runs twice: with a blocking store, whose calls are effects, and with one in memory, which
is called directly.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from llm_optimizers.caching.answers import CacheResult, JSONCodec
from llm_optimizers.caching.answers.cacheability import Cacheability
from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.in_flight.single_flight import InFlightCall, SingleFlight
from llm_optimizers.caching.keys import CacheKey, keys_of_question
from llm_optimizers.caching.matching.matcher import MatchDecision
from llm_optimizers.caching.plan import CachePlans, MakeCall
from llm_optimizers.caching.stats import Counters
from llm_optimizers.caching.stores.protocol import Entry
from llm_optimizers.effects import Effect, adrive, aperform, drive, perform
from llm_optimizers.errors import PoisonedEntryError, StoreError

NOW = 1_000.0
VECTOR = np.array([1, 0], np.float32)
SCOPE = "s/fake embedder"
EXACT, NORMALISED = keys_of_question(SCOPE, "a question")
KEY = CacheKey(
    exact=EXACT,
    normalised=NORMALISED,
    scope=SCOPE,
    tenant="",
    question="a question",
    asked="a question",
    completion=False,
)
VARIANT = keys_of_question(SCOPE, "A question?")[0]
"""The key of a question with the same normalised key."""
SAME = keys_of_question(SCOPE, "question a")[0]
"""The key of a question with the same meaning."""
TRAP = keys_of_question(SCOPE, "another question")[0]


class SameWords:
    """Accepts questions with the same words."""

    min_cosine = 0.5

    def decide(self, question: str, candidate: str, cosine: float, *_: object) -> MatchDecision:
        same = sorted(question.split()) == sorted(candidate.split())
        return MatchDecision(accept=same, score=cosine, reason="words")


Make = Callable[..., "Fakes"]


@dataclass
class Fakes:
    """A store, index, embedder and model that return the given values or raise given exceptions.

    `done` lists the calls in order, as names and arguments.
    """

    blocking: bool = False
    fetched: dict[str, Any] = field(default_factory=dict)
    near: Any = ()
    vector: Any = field(default_factory=lambda: VECTOR)
    called: Any = "live"
    saving: Any = None
    touching: Any = None
    deleting: Any = None
    done: list[tuple[Any, ...]] = field(default_factory=list)
    id = "fake embedder"
    dimension = 2

    def fetch(self, key: str, normalised: str | None = None) -> Any:
        self.done.append(("fetch", key, normalised))
        return value_or_error(self.fetched.get(key) or self.fetched.get(normalised or ""))

    def save(self, entry: Entry) -> None:
        self.done.append(("save", entry))
        value_or_error(self.saving)

    def touch(self, key: str, now: float) -> None:
        self.done.append(("touch", key, now))
        value_or_error(self.touching)

    def delete(self, keys: Collection[str]) -> None:
        self.done.append(("delete", *keys))
        value_or_error(self.deleting)
        self.fetched = {k: v for k, v in self.fetched.items() if _key_of(v) not in keys}

    def search(self, scope: str, vector: Any, k: int) -> Any:
        self.done.append(("search", scope))
        return value_or_error(self.near)

    def search_at_once(self, scope: str, vector: Any, k: int) -> Any:
        return self.search(scope, vector, k)

    def discard(self, key: str) -> None:
        self.done.append(("discard", key))

    def embed(self, texts: list[str]) -> Any:
        self.done.append(("embed", *texts))
        return [value_or_error(self.vector)]

    async def aembed(self, texts: list[str]) -> Any:
        return self.embed(texts)

    def covers(self, text: str) -> bool:
        return len(text) < 100

    def perform(self, effect: Effect[Any]) -> Any:
        if isinstance(effect, MakeCall):
            self.done.append(("call",))
            return value_or_error(self.called)
        return perform(effect)

    def calls_of(self, name: str) -> list[tuple[Any, ...]]:
        return [each for each in self.done if each[0] == name]

    def saved(self) -> Entry:
        ((_, entry),) = self.calls_of("save")
        assert isinstance(entry, Entry)
        return entry


def _key_of(value: Any) -> str:
    return str(getattr(value, "key", ""))


def value_or_error(result: Any) -> Any:
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.fixture(params=[False, True], ids=["memory", "blocking"])
def make(request: pytest.FixtureRequest) -> Callable[..., Fakes]:
    """Make fakes."""

    def maker(fetched: dict[str, Any] | None = None, **fields: Any) -> Fakes:
        return Fakes(blocking=request.param, fetched=fetched or {}, **fields)

    return maker


def entry(asked: str = "a question", **fields: Any) -> Entry:
    key, normalised = keys_of_question(SCOPE, asked)
    defaults: dict[str, Any] = {
        "key": key,
        "normalised": normalised,
        "scope": SCOPE,
        "tenant": "",
        "question": asked,
        "payload": json.dumps(f"stored {asked}"),
        "vector": VECTOR,
        "created": NOW - 10,
        "expires": None,
    }
    return Entry(**{**defaults, **fields})


class PlansFactory:
    """Makes plans for several fakes in turn, with the same counters and calls in flight."""

    def __init__(self, **fields: Any) -> None:
        self.fields: dict[str, Any] = {
            "codec": JSONCodec(),
            "matcher": SameWords(),
            "single_flight": SingleFlight(),
            "counters": Counters(),
            "clock": lambda: NOW,
            "ttl": 60.0,
            **fields,
        }

    @property
    def single_flight(self) -> SingleFlight[str]:
        single_flight: SingleFlight[str] = self.fields["single_flight"]
        return single_flight

    @property
    def counters(self) -> Counters:
        counters: Counters = self.fields["counters"]
        return counters

    def on(self, fakes: Fakes) -> CachePlans[Any]:
        executor = Executor(
            store=fakes,  # type: ignore[arg-type]  # only what the plans use
            index=fakes,  # type: ignore[arg-type]
            embedder=fakes,  # type: ignore[arg-type]
            clock=lambda: NOW,
            wait_timeout=0.0,
        )
        return CachePlans(executor=executor, **self.fields)

    def answer(self, fakes: Fakes, key: CacheKey = KEY) -> CacheResult[Any]:
        return drive(self.on(fakes).answer(key), fakes.perform)


@pytest.fixture
def plans() -> PlansFactory:
    return PlansFactory()


def test_an_exact_entry_is_served(plans: PlansFactory, make: Make) -> None:
    fakes = make({EXACT: entry()})
    answer = plans.answer(fakes)
    assert answer.value == "stored a question"
    assert answer.hit is not None
    assert (answer.hit.tier, answer.hit.score, answer.hit.age) == ("exact", 1.0, 10.0)
    assert fakes.done == [("fetch", EXACT, NORMALISED), ("touch", EXACT, NOW)]


def test_a_normalised_entry_is_served_as_a_normalised_hit(plans: PlansFactory, make: Make) -> None:
    answer = plans.answer(make({NORMALISED: entry("A question?")}))
    assert answer.hit is not None
    assert answer.hit.tier == "normalised"


def test_a_question_with_the_same_meaning_is_served(plans: PlansFactory, make: Make) -> None:
    fakes = make({SAME: entry("question a")}, near=[(SAME, 0.9)])
    answer = plans.answer(fakes)
    assert answer.hit is not None
    assert (answer.hit.tier, answer.hit.score, answer.hit.key) == ("semantic", 0.9, SAME)


def test_candidates_are_matched_until_one_is_accepted(plans: PlansFactory, make: Make) -> None:
    fakes = make(
        {TRAP: entry("another question"), SAME: entry("question a")},
        near=[(TRAP, 0.99), (SAME, 0.9)],
    )
    answer = plans.answer(fakes)
    assert answer.value == "stored question a"


def test_candidates_below_the_minimum_cosine_are_not_fetched(
    plans: PlansFactory, make: Make
) -> None:
    fakes = make({SAME: entry("question a")}, near=[(SAME, 0.4)])
    assert plans.answer(fakes).value == "live"
    assert ("fetch", SAME, None) not in fakes.done


def test_a_miss_calls_the_model_and_stores_the_answer_with_the_lookups_vector(
    plans: PlansFactory,
    make: Make,
) -> None:
    fakes = make()
    assert plans.answer(fakes).hit is None
    assert fakes.saved().payload == '"live"'
    assert fakes.saved().vector is VECTOR
    assert (fakes.saved().created, fakes.saved().expires) == (NOW, NOW + 60)
    assert len(fakes.calls_of("embed")) == 1
    assert plans.counters.stats().misses == 1


def test_an_expired_entry_is_removed_and_the_model_called(plans: PlansFactory, make: Make) -> None:
    fakes = make({EXACT: entry(expires=NOW)})
    assert plans.answer(fakes).value == "live"
    assert ("delete", EXACT) in fakes.done
    assert plans.answer(make({EXACT: entry(expires=NOW + 0.1)})).hit is not None


def test_an_expired_entry_does_not_hide_a_valid_one(plans: PlansFactory, make: Make) -> None:
    fakes = make({EXACT: entry(expires=NOW - 1), NORMALISED: entry("A question?")})
    answer = plans.answer(fakes, replace(KEY, question=None))
    assert answer.value == "stored A question?"


@pytest.mark.parametrize(
    "damaged",
    [entry(payload="no json"), entry(payload="[" * 100_000), PoisonedEntryError("bad", key=EXACT)],
)
def test_a_damaged_entry_is_dropped_and_counted(
    plans: PlansFactory, make: Make, damaged: Any
) -> None:
    fakes = make({EXACT: damaged})
    assert plans.answer(fakes).value == "live"
    assert ("delete", EXACT) in fakes.done
    assert plans.counters.stats().troubles == {"poisoned entry dropped": 1}


def test_a_damaged_candidate_is_dropped_and_the_next_one_matched(
    plans: PlansFactory, make: Make
) -> None:
    fakes = make(
        {"bad": PoisonedEntryError("bad", key="bad"), SAME: entry("question a")},
        near=[("bad", 0.99), (SAME, 0.9)],
    )
    assert plans.answer(fakes).value == "stored question a"
    assert ("delete", "bad") in fakes.done


@pytest.mark.parametrize("stray", [None, entry("question a", scope="s/another embedder")])
def test_a_candidate_that_is_gone_or_stored_for_another_embedder_leaves_the_index(
    plans: PlansFactory, make: Make, stray: Entry | None
) -> None:
    fakes = make({SAME: stray} if stray else {}, near=[(SAME, 0.99)])
    assert plans.answer(fakes).value == "live"
    assert ("discard", SAME) in fakes.done
    assert not fakes.calls_of("delete")
    assert not plans.counters.stats().troubles


FOREIGN = [
    {"tenant": "theirs"},
    {"scope": "theirs/fake embedder"},
    {"question": "which one?"},
    {"question": None, "key": "another key"},
    {"key": "another key"},
    {"normalised": "another key"},
    {"created": NOW + 1_000_000},
    {"payload": "[" * 2**26},
    {"payload": "null"},
    {"payload": '""'},
    {"payload": "[" * 200 + "]" * 200},
]


@pytest.mark.parametrize("forged", FOREIGN, ids=lambda forged: ",".join(forged))
@pytest.mark.parametrize("found", ["exact", "normalised", "semantic"])
def test_an_entry_that_is_not_for_this_request_is_dropped_and_counted(
    plans: PlansFactory, make: Make, forged: dict[str, Any], found: str
) -> None:
    question = {"exact": "a question", "normalised": "A question?", "semantic": "question a"}[found]
    row = entry(question, **forged)
    place = {"exact": EXACT, "normalised": NORMALISED, "semantic": SAME}[found]
    fakes = make({str(place): row}, near=[(SAME, 0.99)])
    assert plans.answer(fakes).value == "live"
    assert ("delete", row.key) in fakes.done
    assert plans.counters.stats().troubles == {"poisoned entry dropped": 1}


@pytest.mark.parametrize("found", ["normalised", "semantic"])
def test_only_the_exact_key_proves_an_entry_without_a_question(
    plans: PlansFactory, make: Make, found: str
) -> None:
    row = entry({"normalised": "A question?", "semantic": "question a"}[found], question=None)
    fakes = make({str(NORMALISED if found == "normalised" else SAME): row}, near=[(SAME, 0.99)])
    assert plans.answer(fakes).value == "live"
    assert plans.answer(make({EXACT: entry(question=None)})).value == "stored a question"


def test_an_exact_entry_survives_a_change_of_the_embedder(plans: PlansFactory, make: Make) -> None:
    fakes = make({EXACT: entry(scope="s/another embedder")})
    assert plans.answer(fakes).value == "stored a question"


def test_the_caches_own_ttl_holds_for_entries_stored_without_one(make: Make) -> None:
    fakes = make({EXACT: entry(created=NOW - 60)})
    assert PlansFactory(ttl=60.0).answer(fakes).value == "live"
    assert ("delete", EXACT) in fakes.done
    fakes = make({EXACT: entry(created=NOW - 59)})
    assert PlansFactory(ttl=60.0).answer(fakes).value == "stored a question"


class OneKind(JSONCodec):
    """Its answers are completions, or chat messages."""

    def __init__(self, *, completion: bool) -> None:
        self.completion = completion

    def cacheability(self, value: Any) -> Cacheability:
        return Cacheability(completion=self.completion)


@pytest.mark.parametrize("completion", [False, True])
def test_an_answer_of_another_kind_is_neither_served_nor_shared_nor_stored(
    make: Make, completion: bool
) -> None:
    key = replace(KEY, completion=completion)
    plans = PlansFactory(codec=OneKind(completion=not completion))
    fakes = make({EXACT: entry()})
    assert plans.answer(fakes, key).value == "live"
    assert ("delete", EXACT) in fakes.done
    assert not fakes.calls_of("save")
    troubles = plans.counters.stats().troubles
    assert troubles == {"poisoned entry dropped": 1, "not admitted": 1}
    plans = PlansFactory(codec=plans.fields["codec"], single_flight=AlwaysJoined('"shared"'))
    assert plans.answer(make(), key).value == "live"
    fakes = make({EXACT: entry()})
    right = PlansFactory(codec=OneKind(completion=completion))
    assert right.answer(fakes, key).value == "stored a question"


def test_a_codec_need_not_keep_the_finish_reason(make: Make) -> None:
    class Forgetful(JSONCodec):
        def cacheability(self, value: Any) -> Cacheability:
            reason = "stop" if value == "live" else ""
            return Cacheability(gives_reasons=True, finish_reason=reason)

    plans = PlansFactory(codec=Forgetful())
    assert plans.answer(make({EXACT: entry()})).value == "stored a question"
    assert plans.answer(make()).value == "live"
    assert plans.counters.stats().stored == 1


def test_a_key_made_without_the_asked_text_is_stored_with_its_question(
    plans: PlansFactory, make: Make
) -> None:
    fakes = make()
    plans.answer(fakes, replace(KEY, asked=None))
    assert fakes.saved().question == "a question"


def test_an_answer_that_is_too_long_is_not_stored(plans: PlansFactory, make: Make) -> None:
    fakes = make(called="x" * 2**25)
    assert plans.answer(fakes).hit is None
    assert not fakes.calls_of("save")
    assert plans.counters.stats().troubles == {"not admitted": 1}


def test_no_text_of_a_damaged_answer_is_logged(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Telling(JSONCodec):
        def decode(self, payload: str) -> Any:
            raise ValueError(f"cannot read {payload}")

    assert PlansFactory(codec=Telling()).answer(make({EXACT: entry()})).value == "live"
    assert "ValueError" in caplog.text
    assert "stored a question" not in caplog.text


def test_a_broken_store_is_a_miss(plans: PlansFactory, make: Make) -> None:
    broken = StoreError("broken")
    fakes = make({EXACT: broken}, saving=broken, near=broken)
    assert plans.answer(fakes).value == "live"
    assert plans.counters.stats().stored == 0
    fakes = make(near=broken)
    assert plans.answer(fakes).value == "live"


def test_a_hit_that_cannot_be_counted_is_still_a_hit(plans: PlansFactory, make: Make) -> None:
    fakes = make({EXACT: entry()}, touching=StoreError("read only"))
    assert plans.answer(fakes).value == "stored a question"


@pytest.mark.parametrize("error", [RuntimeError("down"), StoreError("another dimension")])
def test_a_failing_embedder_means_exact_matching_and_one_warning(
    plans: PlansFactory, make: Make, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    fakes = make(vector=error)
    assert plans.answer(fakes).value == "live"
    assert fakes.saved().vector is None
    assert len(caplog.records) == 1
    assert "exact matching only" in caplog.text


def test_questions_longer_than_the_embedders_window_are_not_embedded(
    plans: PlansFactory, make: Make
) -> None:
    fakes = make()
    plans.answer(fakes, replace(KEY, question="long " * 50))
    assert not fakes.calls_of("embed")
    assert fakes.saved().vector is None


def test_a_failing_matcher_or_embedder_serves_nothing(make: Make) -> None:
    class Broken(SameWords):
        def decide(self, question: str, candidate: str, cosine: float, *_: object) -> MatchDecision:
            raise RuntimeError("broken")

    class Blind(Fakes):
        def covers(self, text: str) -> bool:
            raise RuntimeError("broken")

    stored = {SAME: entry("question a")}
    fakes = make(stored, near=[(SAME, 0.99)])
    assert PlansFactory(matcher=Broken()).answer(fakes).value == "live"
    blind = Blind(blocking=fakes.blocking, fetched=stored, near=[(SAME, 0.99)])
    assert PlansFactory().answer(blind).value == "live"


@pytest.mark.parametrize("value", ["", None, [], {}])
def test_an_uncacheable_answer_is_returned_and_not_stored(
    plans: PlansFactory, make: Make, value: Any
) -> None:
    fakes = make(called=value)
    assert plans.answer(fakes).value == value
    assert not fakes.calls_of("save")
    assert plans.counters.stats().troubles == {"not admitted": 1}


def test_an_answer_that_cannot_be_encoded_is_returned_and_not_stored(
    plans: PlansFactory, make: Make
) -> None:
    value = {"a set"}
    fakes = make(called=value)
    assert plans.answer(fakes).value is value
    assert not fakes.calls_of("save")
    assert plans.counters.stats().troubles == {"answer cannot be stored": 1}


class Counted(JSONCodec):
    """A list holds several answers."""

    def cacheability(self, value: Any) -> Cacheability:
        return replace(super().cacheability(value), choices=len(value))


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_an_answer_with_another_number_of_choices_is_neither_stored_nor_shared(
    plans: PlansFactory, make: Make, asked: int
) -> None:
    fakes, key = make(called=["a", "b"]), replace(KEY, choices=asked)
    whole = replace(plans.on(fakes), codec=Counted())
    assert drive(whole.answer(key), fakes.perform).value == ["a", "b"]
    assert len(fakes.calls_of("save")) == (asked == 2)
    assert plans.counters.stats().troubles == ({} if asked == 2 else {"not admitted": 1})


@pytest.mark.parametrize("asked", [2, 3])
def test_a_stored_answer_with_another_number_of_choices_is_not_served(
    plans: PlansFactory, make: Make, asked: int
) -> None:
    fakes, key = make(fetched={KEY.exact: entry(payload='["a", "b"]')}), replace(KEY, choices=asked)
    hit = drive(replace(plans.on(fakes), codec=Counted()).lookup(key), fakes.perform)
    assert (hit is not None) is (asked == 2)
    assert (fakes.calls_of("delete") == []) is (asked == 2)


class AlwaysJoined(SingleFlight[str]):
    """Every caller joins a call in flight that brings this payload."""

    def __init__(self, payload: str | None) -> None:
        super().__init__()
        self._payload = payload

    def join(self, key: str) -> InFlightCall[str]:
        leader, waiter = super().join(key), super().join(key)
        self.complete(key, leader, self._payload)
        return waiter


def test_a_call_in_flight_is_joined(make: Make) -> None:
    plans, fakes = PlansFactory(single_flight=AlwaysJoined('"shared"')), make()
    answer = plans.answer(fakes)
    assert answer.value == "shared"
    assert answer.hit is not None
    assert answer.hit.tier == "shared"
    assert not fakes.calls_of("call")
    assert plans.counters.stats().misses == 0


@pytest.mark.parametrize("shared", [None, "no json"])
def test_a_waiter_calls_the_model_if_the_leader_brings_nothing(
    make: Make, shared: str | None
) -> None:
    fakes = make()
    assert PlansFactory(single_flight=AlwaysJoined(shared)).answer(fakes).value == "live"
    assert len(fakes.calls_of("save")) == 1


def test_an_error_of_the_call_reaches_the_caller_and_ends_the_call_in_flight(
    plans: PlansFactory, make: Make
) -> None:
    error = KeyError("the provider's")
    with pytest.raises(KeyError) as caught:
        plans.answer(make(called=error))
    assert caught.value is error
    assert plans.single_flight.join(EXACT).leading


def test_a_plan_closed_midway_ends_the_call_in_flight_and_stores_nothing(
    plans: PlansFactory, make: Make
) -> None:
    fakes = make()
    plan = plans.on(fakes).answer(KEY)
    effect = next(plan)
    while not isinstance(effect, MakeCall):
        effect = plan.send(fakes.perform(effect))
    plan.close()
    assert not fakes.calls_of("save")
    assert plans.single_flight.join(EXACT).leading


def test_an_answer_stored_since_the_lookup_is_served_to_all_waiters(make: Make) -> None:
    fakes = make()

    class Racing(SingleFlight[str]):
        """One caller finishes between our lookup and our join, and another one joins us."""

        def join(self, key: str) -> InFlightCall[str]:
            other = super().join(key)
            fakes.fetched[EXACT] = entry()
            self.complete(key, other, None)
            ours = super().join(key)
            self.waiter = super().join(key)
            return ours

    single_flight = Racing()
    answer = PlansFactory(single_flight=single_flight).answer(fakes, replace(KEY, question=None))
    assert answer.value == "stored a question"
    assert single_flight.waiter.result(0) == '"stored a question"'


def test_without_concurrent_calls_the_store_is_asked_once(plans: PlansFactory, make: Make) -> None:
    fakes = make()
    plans.answer(fakes, replace(KEY, question=None))
    assert fakes.calls_of("fetch") == [("fetch", EXACT, NORMALISED)]


def test_unexpected_errors_of_store_or_index_do_not_fail_the_call(
    plans: PlansFactory, make: Make
) -> None:
    broken = RuntimeError("broken")
    for fakes in (make({EXACT: broken}), make(near=broken), make(saving=broken)):
        assert plans.answer(fakes).value == "live"
    fakes = make({EXACT: entry(expires=NOW)}, deleting=broken)
    assert plans.answer(fakes).value == "live"


@pytest.mark.parametrize("blocking", [False, True])
async def test_only_a_blocking_store_is_called_off_the_event_loop(blocking: bool) -> None:
    threads: set[int] = set()

    class Watched(Fakes):
        def fetch(self, key: str, normalised: str | None = None) -> Any:
            threads.add(threading.get_ident())
            return super().fetch(key, normalised)

        def search(self, scope: str, vector: Any, k: int) -> Any:
            threads.add(threading.get_ident())
            return super().search(scope, vector, k)

        def discard(self, key: str) -> None:
            threads.add(threading.get_ident())

    fakes = Watched(blocking=blocking, near=[("gone", 0.99)])

    async def calling(effect: Effect[Any]) -> Any:
        return "live" if isinstance(effect, MakeCall) else await aperform(effect)

    answer = await adrive(PlansFactory().on(fakes).answer(KEY), calling)
    assert answer.value == "live"
    assert fakes.calls_of("save")
    assert (threading.get_ident() in threads) is not blocking


def test_a_failing_store_is_skipped_for_a_while() -> None:
    now = NOW
    broken = StoreError("broken")
    fakes = Fakes(blocking=True, fetched={EXACT: broken}, saving=broken)
    plans = PlansFactory(clock=lambda: now).on(fakes)
    for _ in range(3):
        assert drive(plans.answer(KEY), fakes.perform).value == "live"
    assert len(fakes.calls_of("fetch")) == len(fakes.calls_of("save")) == 1


def test_a_damaged_entry_does_not_open_the_circuit_breaker() -> None:
    fakes = Fakes(blocking=True, fetched={EXACT: PoisonedEntryError("bad", key=EXACT)})
    plans = PlansFactory().on(fakes)
    assert drive(plans.answer(KEY), fakes.perform).value == "live"
    fakes.fetched[EXACT] = entry()
    assert drive(plans.answer(KEY), fakes.perform).value == "stored a question"
