"""The cache's decisions, tested by handing them results: no store, no embedder, no model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from llm_optimizers.caching.answers import Answer, JSONCodec
from llm_optimizers.caching.effects import (
    Call,
    Embed,
    Fetch,
    Forget,
    Nearest,
    Save,
    Touch,
    Wait,
)
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.matching.matcher import Verdict
from llm_optimizers.caching.plan import CachePlans
from llm_optimizers.caching.single_flight import Flights
from llm_optimizers.caching.stats import Journal
from llm_optimizers.caching.stores.entries import Entry
from llm_optimizers.effects import Effect, drive
from llm_optimizers.errors import PoisonedEntryError, StoreError

NOW = 1_000.0
VECTOR = np.array([1, 0], np.float32)
KEY = CacheKey(exact="e", normalised="n", scope="s", tenant="", question="a question")


class SameWords:
    """Accepts what holds the same words."""

    floor = 0.5

    def judge(self, question: str, candidate: str, cosine: float) -> Verdict:
        same = sorted(question.split()) == sorted(candidate.split())
        return Verdict(accept=same, score=cosine, reason="words")


@dataclass
class World:
    """Answers each effect from what the test put here; an exception is raised."""

    fetched: dict[str, Any] = field(default_factory=dict)
    near: Any = ()
    vector: Any = field(default_factory=lambda: VECTOR)
    called: Any = "live"
    saving: Any = None
    touching: Any = None
    shared: str | None = None
    done: list[Effect[Any]] = field(default_factory=list)

    def perform(self, effect: Effect[Any]) -> Any:
        self.done.append(effect)
        result = self._result(effect)
        if isinstance(result, BaseException):
            raise result
        return result

    def _result(self, effect: Effect[Any]) -> Any:
        match effect:
            case Fetch(key, normalised):
                return self.fetched.get(key) or self.fetched.get(normalised or "")
            case Embed():
                return self.vector
            case Nearest():
                return self.near
            case Save():
                return self.saving
            case Touch():
                return self.touching
            case Forget(key):
                self.fetched = {k: v for k, v in self.fetched.items() if _key_of(v) != key}
                return None
            case Wait():
                return self.shared
            case Call():
                return self.called
        raise AssertionError(effect)

    def those(self, kind: type) -> list[Any]:
        return [effect for effect in self.done if isinstance(effect, kind)]


def _key_of(value: Any) -> str:
    return str(value.key)


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


@pytest.fixture
def plans() -> CachePlans[Any]:
    return CachePlans(
        codec=JSONCodec(),
        acceptance=SameWords(),
        covers=lambda text: len(text) < 100,
        flights=Flights(),
        journal=Journal(),
        clock=lambda: NOW,
        ttl=60.0,
    )


def answered(plans: CachePlans[Any], world: World, key: CacheKey = KEY) -> Answer[Any]:
    return drive(plans.answer(key), world.perform)


def test_an_exact_entry_is_served_at_once(plans: CachePlans[Any]) -> None:
    world = World({"e": entry()})
    answer = answered(plans, world)
    assert answer.value == "stored e"
    assert answer.hit is not None
    assert (answer.hit.tier, answer.hit.score, answer.hit.age) == ("exact", 1.0, 10.0)
    assert world.done == [Fetch("e", "n"), Touch("e")]


def test_a_normalised_entry_is_served_as_such(plans: CachePlans[Any]) -> None:
    answer = answered(plans, World({"n": entry("other")}))
    assert answer.hit is not None
    assert answer.hit.tier == "normalised"


def test_a_question_of_the_same_meaning_is_served(plans: CachePlans[Any]) -> None:
    world = World({"other": entry("other")}, near=[("other", 0.9)])
    answer = answered(plans, world)
    assert answer.hit is not None
    assert (answer.hit.tier, answer.hit.score, answer.hit.key) == ("semantic", 0.9, "other")


def test_candidates_are_weighed_until_one_is_accepted(plans: CachePlans[Any]) -> None:
    lookalike = entry("trap", question="another question")
    world = World(
        {"trap": lookalike, "other": entry("other")}, near=[("trap", 0.99), ("other", 0.9)]
    )
    answer = answered(plans, world)
    assert answer.value == "stored other"


def test_no_candidate_below_the_floor_is_even_read(plans: CachePlans[Any]) -> None:
    world = World({"other": entry("other")}, near=[("other", 0.4)])
    assert answered(plans, world).value == "live"
    assert Fetch("other") not in world.done


def test_a_miss_is_called_for_and_kept_with_the_vector_it_was_looked_up_by(
    plans: CachePlans[Any],
) -> None:
    world = World()
    assert answered(plans, world).hit is None
    (saved,) = world.those(Save)
    assert saved.entry.payload == '"live"'
    assert saved.entry.vector is VECTOR
    assert (saved.entry.created, saved.entry.expires) == (NOW, NOW + 60)
    assert len(world.those(Embed)) == 1
    assert plans.journal.stats().misses == 1


def test_an_expired_entry_is_dropped_and_called_for_again(plans: CachePlans[Any]) -> None:
    world = World({"e": entry(expires=NOW)})
    assert answered(plans, world).value == "live"
    assert Forget("e") in world.done
    assert answered(plans, World({"e": entry(expires=NOW + 0.1)})).hit is not None


def test_an_expired_entry_does_not_hide_a_fresh_one(plans: CachePlans[Any]) -> None:
    world = World({"e": entry(expires=NOW - 1), "n": entry("fresh")})
    answer = answered(plans, world, replace(KEY, question=None))
    assert answer.value == "stored fresh"


@pytest.mark.parametrize(
    "poison",
    [entry(payload="no json"), entry(payload="[" * 100_000), PoisonedEntryError("bad", key="e")],
)
def test_a_poisoned_entry_is_dropped_and_counted(plans: CachePlans[Any], poison: Any) -> None:
    world = World({"e": poison})
    assert answered(plans, world).value == "live"
    assert Forget("e") in world.done
    assert plans.journal.stats().troubles == {"poisoned entry dropped": 1}


def test_a_poisoned_candidate_is_dropped_and_the_next_one_weighed(plans: CachePlans[Any]) -> None:
    world = World(
        {"bad": PoisonedEntryError("bad", key="bad"), "other": entry("other")},
        near=[("bad", 0.99), ("other", 0.9)],
    )
    assert answered(plans, world).value == "stored other"
    assert Forget("bad") in world.done


@pytest.mark.parametrize("stray", [None, entry("x", scope="foreign"), entry("x", question=None)])
def test_a_candidate_that_is_not_what_the_index_said_is_forgotten(
    plans: CachePlans[Any], stray: Entry | None
) -> None:
    world = World({"x": stray} if stray else {}, near=[("x", 0.99)])
    assert answered(plans, world).value == "live"
    assert Forget("x") in world.done


def test_a_broken_store_is_a_miss(plans: CachePlans[Any]) -> None:
    broken = StoreError("broken")
    world = World({"e": broken}, saving=broken, near=broken)
    assert answered(plans, world).value == "live"
    assert plans.journal.stats().stored == 0
    world = World(near=broken)
    assert answered(plans, world).value == "live"


def test_a_hit_that_cannot_be_counted_is_still_a_hit(plans: CachePlans[Any]) -> None:
    world = World({"e": entry()}, touching=StoreError("read only"))
    assert answered(plans, world).value == "stored e"


@pytest.mark.parametrize("error", [RuntimeError("down"), StoreError("another dimension")])
def test_without_vectors_matching_is_exact_and_said_once(
    plans: CachePlans[Any], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        world = World(vector=error)
        assert answered(plans, world).value == "live"
        (saved,) = world.those(Save)
        assert saved.entry.vector is None
        assert len(world.those(Embed)) == 1
    assert len(caplog.records) == 1
    assert "exact matching only" in caplog.text


def test_questions_longer_than_the_embedder_sees_are_not_embedded(plans: CachePlans[Any]) -> None:
    world = World()
    answered(plans, world, replace(KEY, question="long " * 50))
    assert not world.those(Embed)
    (saved,) = world.those(Save)
    assert saved.entry.question is None


def test_a_judge_or_an_embedder_that_breaks_serves_nothing(plans: CachePlans[Any]) -> None:
    class Broken(SameWords):
        def judge(self, question: str, candidate: str, cosine: float) -> Verdict:
            raise RuntimeError("broken")

    world = World({"other": entry("other")}, near=[("other", 0.99)])
    assert answered(replace(plans, acceptance=Broken()), world).value == "live"

    def broken(text: str) -> bool:
        raise RuntimeError("broken")

    assert answered(replace(plans, covers=broken), World()).value == "live"


@pytest.mark.parametrize("value", ["", None, [], {}])
def test_what_is_not_worth_keeping_is_returned_and_not_kept(
    plans: CachePlans[Any], value: Any
) -> None:
    world = World(called=value)
    assert answered(plans, world).value == value
    assert not world.those(Save)
    assert plans.journal.stats().troubles == {"not admitted": 1}


def test_an_answer_that_cannot_be_written_is_returned_and_not_kept(plans: CachePlans[Any]) -> None:
    value = {"a set"}
    world = World(called=value)
    assert answered(plans, world).value is value
    assert not world.those(Save)
    assert plans.journal.stats().troubles == {"answer cannot be stored": 1}


def test_a_call_under_way_is_joined(plans: CachePlans[Any]) -> None:
    plans.flights.join("e")
    world = World(shared='"theirs"')
    answer = answered(plans, world)
    assert answer.value == "theirs"
    assert answer.hit is not None
    assert answer.hit.tier == "shared"
    assert not world.those(Call)
    assert plans.journal.stats().misses == 0


@pytest.mark.parametrize("shared", [None, "no json"])
def test_a_flight_that_brings_nothing_is_replaced_by_a_call(
    plans: CachePlans[Any], shared: str | None
) -> None:
    plans.flights.join("e")
    world = World(shared=shared)
    assert answered(plans, world).value == "live"
    assert len(world.those(Save)) == 1


def test_an_error_of_the_call_is_the_callers_and_ends_the_flight(plans: CachePlans[Any]) -> None:
    error = KeyError("the provider's")
    with pytest.raises(KeyError) as caught:
        answered(plans, World(called=error))
    assert caught.value is error
    assert plans.flights.join("e").leading


def test_a_plan_that_is_closed_midway_ends_the_flight_and_keeps_nothing(
    plans: CachePlans[Any],
) -> None:
    world = World()
    plan = plans.answer(KEY)
    effect = next(plan)
    while not isinstance(effect, Call):
        effect = plan.send(world.perform(effect))
    plan.close()
    assert not world.those(Save)
    assert plans.flights.join("e").leading


def test_an_answer_stored_on_the_way_to_the_flight_is_served_to_all_aboard(
    plans: CachePlans[Any],
) -> None:
    world = World()
    plan = plans.answer(replace(KEY, question=None))
    assert plan.send(None) == Fetch("e", "n")
    assert plan.send(None) == Fetch("e")
    waiter = plans.flights.join("e")
    with pytest.raises(StopIteration) as end:
        plan.send(world.perform(plan.send(entry())))
    assert end.value.value.value == "stored e"
    assert waiter.wait(0) == '"stored e"'
