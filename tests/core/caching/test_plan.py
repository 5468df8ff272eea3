"""The cache's decisions, tested by handing them results: no file, no vectors, no model.

Every test runs twice: over a store that blocks, whose calls are effects, and over one that does
not, which is called at once.
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
from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.matching.matcher import MatchDecision
from llm_optimizers.caching.plan import CachePlans, MakeCall
from llm_optimizers.caching.single_flight import InFlightCall, SingleFlight
from llm_optimizers.caching.stats import Counters
from llm_optimizers.caching.stores.protocol import Entry
from llm_optimizers.effects import Effect, adrive, aperform, drive, perform
from llm_optimizers.errors import PoisonedEntryError, StoreError

NOW = 1_000.0
VECTOR = np.array([1, 0], np.float32)
KEY = CacheKey(exact="e", normalised="n", scope="s", tenant="", question="a question")


class SameWords:
    """Accepts what holds the same words."""

    min_cosine = 0.5

    def decide(self, question: str, candidate: str, cosine: float) -> MatchDecision:
        same = sorted(question.split()) == sorted(candidate.split())
        return MatchDecision(accept=same, score=cosine, reason="words")


Make = Callable[..., "World"]


@dataclass
class World:
    """Store, index and embedder that give what the test put here; an exception is raised.

    `done` holds what was asked of them, in order, as names and arguments.
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
    id = "the world's"
    dimension = 2

    def fetch(self, key: str, normalised: str | None = None) -> Any:
        self.done.append(("fetch", key, normalised))
        return given(self.fetched.get(key) or self.fetched.get(normalised or ""))

    def save(self, entry: Entry) -> None:
        self.done.append(("save", entry))
        given(self.saving)

    def touch(self, key: str, now: float) -> None:
        self.done.append(("touch", key, now))
        given(self.touching)

    def delete(self, keys: Collection[str]) -> None:
        self.done.append(("delete", *keys))
        given(self.deleting)
        self.fetched = {k: v for k, v in self.fetched.items() if _key_of(v) not in keys}

    def search(self, scope: str, vector: Any, k: int) -> Any:
        self.done.append(("search", scope))
        return given(self.near)

    def discard(self, key: str) -> None:
        self.done.append(("discard", key))

    def embed(self, texts: list[str]) -> Any:
        self.done.append(("embed", *texts))
        return [given(self.vector)]

    def covers(self, text: str) -> bool:
        return len(text) < 100

    def perform(self, effect: Effect[Any]) -> Any:
        if isinstance(effect, MakeCall):
            self.done.append(("call",))
            return given(self.called)
        return perform(effect)

    def those(self, name: str) -> list[tuple[Any, ...]]:
        return [each for each in self.done if each[0] == name]

    def saved(self) -> Entry:
        ((_, entry),) = self.those("save")
        assert isinstance(entry, Entry)
        return entry


def _key_of(value: Any) -> str:
    return str(getattr(value, "key", ""))


def given(result: Any) -> Any:
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.fixture(params=[False, True], ids=["memory", "blocking"])
def make(request: pytest.FixtureRequest) -> Callable[..., World]:
    """Makes a world."""

    def maker(fetched: dict[str, Any] | None = None, **fields: Any) -> World:
        return World(blocking=request.param, fetched=fetched or {}, **fields)

    return maker


def entry(key: str = "e", **fields: Any) -> Entry:
    defaults: dict[str, Any] = {
        "normalised": "n",
        "scope": "s",
        "tenant": "",
        "question": "question a",
        "payload": json.dumps(f"stored {key}"),
        "vector": VECTOR,
        "created": NOW - 10,
        "expires": None,
    }
    return Entry(key=key, **{**defaults, **fields})


class Served:
    """Plans over one world after the other: what they count and who is under way stays."""

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

    def over(self, world: World) -> CachePlans[Any]:
        executor = Executor(
            store=world,  # type: ignore[arg-type]  # only what the plans use
            index=world,  # type: ignore[arg-type]
            embedder=world,  # type: ignore[arg-type]
            clock=lambda: NOW,
            wait_timeout=0.0,
        )
        return CachePlans(executor=executor, **self.fields)

    def answer(self, world: World, key: CacheKey = KEY) -> CacheResult[Any]:
        return drive(self.over(world).answer(key), world.perform)


@pytest.fixture
def plans() -> Served:
    return Served()


def test_an_exact_entry_is_served_at_once(plans: Served, make: Make) -> None:
    world = make({"e": entry()})
    answer = plans.answer(world)
    assert answer.value == "stored e"
    assert answer.hit is not None
    assert (answer.hit.tier, answer.hit.score, answer.hit.age) == ("exact", 1.0, 10.0)
    assert world.done == [("fetch", "e", "n"), ("touch", "e", NOW)]


def test_a_normalised_entry_is_served_as_such(plans: Served, make: Make) -> None:
    answer = plans.answer(make({"n": entry("other")}))
    assert answer.hit is not None
    assert answer.hit.tier == "normalised"


def test_a_question_of_the_same_meaning_is_served(plans: Served, make: Make) -> None:
    world = make({"other": entry("other")}, near=[("other", 0.9)])
    answer = plans.answer(world)
    assert answer.hit is not None
    assert (answer.hit.tier, answer.hit.score, answer.hit.key) == ("semantic", 0.9, "other")


def test_candidates_are_weighed_until_one_is_accepted(plans: Served, make: Make) -> None:
    lookalike = entry("trap", question="another question")
    world = make(
        {"trap": lookalike, "other": entry("other")}, near=[("trap", 0.99), ("other", 0.9)]
    )
    answer = plans.answer(world)
    assert answer.value == "stored other"


def test_no_candidate_below_the_floor_is_even_read(plans: Served, make: Make) -> None:
    world = make({"other": entry("other")}, near=[("other", 0.4)])
    assert plans.answer(world).value == "live"
    assert ("fetch", "other", None) not in world.done


def test_a_miss_is_called_for_and_kept_with_the_vector_it_was_looked_up_by(
    plans: Served,
    make: Make,
) -> None:
    world = make()
    assert plans.answer(world).hit is None
    assert world.saved().payload == '"live"'
    assert world.saved().vector is VECTOR
    assert (world.saved().created, world.saved().expires) == (NOW, NOW + 60)
    assert len(world.those("embed")) == 1
    assert plans.counters.stats().misses == 1


def test_an_expired_entry_is_dropped_and_called_for_again(plans: Served, make: Make) -> None:
    world = make({"e": entry(expires=NOW)})
    assert plans.answer(world).value == "live"
    assert ("delete", "e") in world.done
    assert plans.answer(make({"e": entry(expires=NOW + 0.1)})).hit is not None


def test_an_expired_entry_does_not_hide_a_fresh_one(plans: Served, make: Make) -> None:
    world = make({"e": entry(expires=NOW - 1), "n": entry("fresh")})
    answer = plans.answer(world, replace(KEY, question=None))
    assert answer.value == "stored fresh"


@pytest.mark.parametrize(
    "poison",
    [entry(payload="no json"), entry(payload="[" * 100_000), PoisonedEntryError("bad", key="e")],
)
def test_a_poisoned_entry_is_dropped_and_counted(plans: Served, make: Make, poison: Any) -> None:
    world = make({"e": poison})
    assert plans.answer(world).value == "live"
    assert ("delete", "e") in world.done
    assert plans.counters.stats().troubles == {"poisoned entry dropped": 1}


def test_a_poisoned_candidate_is_dropped_and_the_next_one_weighed(
    plans: Served, make: Make
) -> None:
    world = make(
        {"bad": PoisonedEntryError("bad", key="bad"), "other": entry("other")},
        near=[("bad", 0.99), ("other", 0.9)],
    )
    assert plans.answer(world).value == "stored other"
    assert ("delete", "bad") in world.done


@pytest.mark.parametrize("stray", [None, entry("x", scope="foreign"), entry("x", question=None)])
def test_a_candidate_that_is_not_what_the_index_said_is_forgotten(
    plans: Served, make: Make, stray: Entry | None
) -> None:
    world = make({"x": stray} if stray else {}, near=[("x", 0.99)])
    assert plans.answer(world).value == "live"
    assert ("delete", "x") in world.done


def test_a_broken_store_is_a_miss(plans: Served, make: Make) -> None:
    broken = StoreError("broken")
    world = make({"e": broken}, saving=broken, near=broken)
    assert plans.answer(world).value == "live"
    assert plans.counters.stats().stored == 0
    world = make(near=broken)
    assert plans.answer(world).value == "live"


def test_a_hit_that_cannot_be_counted_is_still_a_hit(plans: Served, make: Make) -> None:
    world = make({"e": entry()}, touching=StoreError("read only"))
    assert plans.answer(world).value == "stored e"


@pytest.mark.parametrize("error", [RuntimeError("down"), StoreError("another dimension")])
def test_without_vectors_matching_is_exact_and_said_once(
    plans: Served, make: Make, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        world = make(vector=error)
        assert plans.answer(world).value == "live"
        assert world.saved().vector is None
        assert len(world.those("embed")) == 1
    assert len(caplog.records) == 1
    assert "exact matching only" in caplog.text


def test_questions_longer_than_the_embedder_sees_are_not_embedded(
    plans: Served, make: Make
) -> None:
    world = make()
    plans.answer(world, replace(KEY, question="long " * 50))
    assert not world.those("embed")
    assert world.saved().question is None


def test_a_judge_or_an_embedder_that_breaks_serves_nothing(make: Make) -> None:
    class Broken(SameWords):
        def decide(self, question: str, candidate: str, cosine: float) -> MatchDecision:
            raise RuntimeError("broken")

    class Blind(World):
        def covers(self, text: str) -> bool:
            raise RuntimeError("broken")

    stored = {"other": entry("other")}
    world = make(stored, near=[("other", 0.99)])
    assert Served(matcher=Broken()).answer(world).value == "live"
    blind = Blind(blocking=world.blocking, fetched=stored, near=[("other", 0.99)])
    assert Served().answer(blind).value == "live"


@pytest.mark.parametrize("value", ["", None, [], {}])
def test_what_is_not_worth_keeping_is_returned_and_not_kept(
    plans: Served, make: Make, value: Any
) -> None:
    world = make(called=value)
    assert plans.answer(world).value == value
    assert not world.those("save")
    assert plans.counters.stats().troubles == {"not admitted": 1}


def test_an_answer_that_cannot_be_written_is_returned_and_not_kept(
    plans: Served, make: Make
) -> None:
    value = {"a set"}
    world = make(called=value)
    assert plans.answer(world).value is value
    assert not world.those("save")
    assert plans.counters.stats().troubles == {"answer cannot be stored": 1}


class Aboard(SingleFlight[str]):
    """Every caller joins a call under way, which brings this payload."""

    def __init__(self, payload: str | None) -> None:
        super().__init__()
        self._payload = payload

    def join(self, key: str) -> InFlightCall[str]:
        leader, waiter = super().join(key), super().join(key)
        self.complete(key, leader, self._payload)
        return waiter


def test_a_call_under_way_is_joined(make: Make) -> None:
    plans, world = Served(single_flight=Aboard('"theirs"')), make()
    answer = plans.answer(world)
    assert answer.value == "theirs"
    assert answer.hit is not None
    assert answer.hit.tier == "shared"
    assert not world.those("call")
    assert plans.counters.stats().misses == 0


@pytest.mark.parametrize("shared", [None, "no json"])
def test_a_flight_that_brings_nothing_is_replaced_by_a_call(make: Make, shared: str | None) -> None:
    world = make()
    assert Served(single_flight=Aboard(shared)).answer(world).value == "live"
    assert len(world.those("save")) == 1


def test_an_error_of_the_call_is_the_callers_and_ends_the_flight(plans: Served, make: Make) -> None:
    error = KeyError("the provider's")
    with pytest.raises(KeyError) as caught:
        plans.answer(make(called=error))
    assert caught.value is error
    assert plans.single_flight.join("e").leading


def test_a_plan_that_is_closed_midway_ends_the_flight_and_keeps_nothing(
    plans: Served, make: Make
) -> None:
    world = make()
    plan = plans.over(world).answer(KEY)
    effect = next(plan)
    while not isinstance(effect, MakeCall):
        effect = plan.send(world.perform(effect))
    plan.close()
    assert not world.those("save")
    assert plans.single_flight.join("e").leading


def test_an_answer_stored_on_the_way_to_the_flight_is_served_to_all_aboard(make: Make) -> None:
    world = make()

    class Racing(SingleFlight[str]):
        """Another caller is done between our lookup and our joining, and a third joins us."""

        def join(self, key: str) -> InFlightCall[str]:
            other = super().join(key)
            world.fetched["e"] = entry()
            self.complete(key, other, None)
            ours = super().join(key)
            self.waiter = super().join(key)
            return ours

    single_flight = Racing()
    answer = Served(single_flight=single_flight).answer(world, replace(KEY, question=None))
    assert answer.value == "stored e"
    assert single_flight.waiter.wait(0) == '"stored e"'


def test_where_nobody_was_under_way_the_store_is_asked_once(plans: Served, make: Make) -> None:
    world = make()
    plans.answer(world, replace(KEY, question=None))
    assert world.those("fetch") == [("fetch", "e", "n")]


@pytest.mark.parametrize("asked", ["e", "n"])
def test_an_entry_of_another_tenant_is_dropped_and_counted(
    plans: Served, make: Make, asked: str
) -> None:
    world = make({asked: entry("x", tenant="theirs")})
    assert plans.answer(world, replace(KEY, tenant="ours")).value == "live"
    assert ("delete", "x") in world.done
    assert plans.counters.stats().troubles == {"poisoned entry dropped": 1}


def test_a_store_or_an_index_that_breaks_its_promise_costs_no_answer(
    plans: Served, make: Make
) -> None:
    broken = RuntimeError("broken")
    for world in (make({"e": broken}), make(near=broken), make(saving=broken)):
        assert plans.answer(world).value == "live"
    world = make({"e": entry(expires=NOW)}, deleting=broken)
    assert plans.answer(world).value == "live"


@pytest.mark.parametrize("blocking", [False, True])
async def test_only_a_store_that_blocks_is_called_off_the_event_loop(blocking: bool) -> None:
    threads: set[int] = set()

    class Watched(World):
        def fetch(self, key: str, normalised: str | None = None) -> Any:
            threads.add(threading.get_ident())
            return super().fetch(key, normalised)

        def search(self, scope: str, vector: Any, k: int) -> Any:
            threads.add(threading.get_ident())
            return super().search(scope, vector, k)

        def discard(self, key: str) -> None:
            threads.add(threading.get_ident())

        async def aembed(self, texts: list[str]) -> Any:
            return self.embed(texts)

    world = Watched(blocking=blocking, near=[("gone", 0.99)])

    async def calling(effect: Effect[Any]) -> Any:
        return "live" if isinstance(effect, MakeCall) else await aperform(effect)

    answer = await adrive(Served().over(world).answer(KEY), calling)
    assert answer.value == "live"
    assert world.those("save")
    assert (threading.get_ident() in threads) is not blocking


def test_a_store_that_fails_is_left_alone_for_a_while() -> None:
    now = NOW
    broken = StoreError("broken")
    world = World(blocking=True, fetched={"e": broken}, saving=broken)
    plans = Served(clock=lambda: now).over(world)
    for _ in range(3):
        assert drive(plans.answer(KEY), world.perform).value == "live"
    assert len(world.those("fetch")) == len(world.those("save")) == 1


def test_a_damaged_row_is_no_reason_to_leave_the_store_alone() -> None:
    world = World(blocking=True, fetched={"e": PoisonedEntryError("bad", key="e")})
    plans = Served().over(world)
    assert drive(plans.answer(KEY), world.perform).value == "live"
    world.fetched["e"] = entry()
    assert drive(plans.answer(KEY), world.perform).value == "stored e"
