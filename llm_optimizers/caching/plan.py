"""The one way through the cache, as plans: look up, answer, keep.

    key → exact → normalised → nearest questions of the scope → acceptance → hit
        → miss → single flight → call → admission → kept

Nothing here does I/O; `shell` performs the effects. Every failure of a store, an index or an
embedder is caught here and becomes a miss: the cache never costs the user an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from llm_optimizers.caching.answers import Answer, Codec, Hit, Tier
from llm_optimizers.caching.cacheability import refuses
from llm_optimizers.caching.effects import Call, Embed, Fetch, Forget, Nearest, Save, Touch, Wait
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.matching.matcher import Acceptance
from llm_optimizers.caching.single_flight import Flight, Flights
from llm_optimizers.caching.stats import Journal
from llm_optimizers.caching.stores.entries import Entry, Vector
from llm_optimizers.effects import Plan
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.types import Clock

__all__ = ["CachePlans", "Lookup"]

R = TypeVar("R")
_EXACT_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(Generic[R]):
    """What a lookup found, and the question's vector for storing if it found nothing."""

    hit: Hit[R] | None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlans(Generic[R]):
    """The cache's decisions.

    `acceptance` None means exact matching only; `covers` tells whether the embedder sees the
    whole of a text; `ttl` is in seconds.
    """

    codec: Codec[R]
    acceptance: Acceptance | None
    covers: Callable[[str], bool]
    flights: Flights[str]
    journal: Journal
    clock: Clock
    ttl: float | None

    def lookup(self, key: CacheKey) -> Plan[Hit[R] | None]:
        """Find an answer that may be served for this key."""
        found = yield from self._find(key)
        if found.hit is None:
            self.journal.miss()
        return found.hit

    def answer(self, key: CacheKey) -> Plan[Answer[R]]:
        """Serve the key from the cache, from a call under way, or by calling."""
        found = yield from self._find(key)
        if found.hit is not None:
            return Answer(value=found.hit.value, hit=found.hit)
        flight = self.flights.join(key.exact)
        if not flight.leading:
            shared = yield from self._joined(key, flight)
            if shared is not None:
                return Answer(value=shared.value, hit=shared)
            value, _ = yield from self._called(key, found)
            return Answer(value=value, hit=None)
        payload = None
        try:
            landed, payload = yield from self._landed_meanwhile(key)
            if landed is not None:
                return Answer(value=landed.value, hit=landed)
            value, payload = yield from self._called(key, found)
        finally:
            self.flights.land(key.exact, flight, payload)
        return Answer(value=value, hit=None)

    def keep(self, key: CacheKey, value: R, found: Lookup[R] | None = None) -> Plan[str | None]:
        """Store an answer if it is worth it; returns it as text if others may share it.

        Failing to store it is no failure.
        """
        try:
            traits = self.codec.traits(value)
            reason = refuses(traits)
            if reason is not None:
                self.journal.trouble("not admitted", reason, quiet=True)
                return None
            payload = self.codec.encode(value)
        except Exception as error:  # noqa: BLE001 - an answer of any kind is the caller's, kept or not
            self.journal.trouble("answer cannot be stored", error)
            return None
        question = self._semantic_question(key)
        vector = found.vector if found is not None else None
        if found is None and question is not None:
            vector = yield from self._embedded(question)
        now = self.clock()
        entry = Entry(
            key=key.exact,
            normalised=key.normalised,
            scope=key.scope,
            tenant=key.tenant,
            question=question,
            payload=payload,
            vector=vector,
            created=now,
            expires=None if self.ttl is None else now + self.ttl,
            model=traits.model,
            usage=traits.usage,
        )
        try:
            yield from Save(entry)
        except StoreError as error:
            self.journal.trouble("store", error)
        else:
            self.journal.stored()
        return payload

    def _find(self, key: CacheKey) -> Plan[Lookup[R]]:
        try:
            hit = yield from self._exact(key)
        except StoreError as error:
            self.journal.trouble("store", error)
            return Lookup(hit=None)
        question = self._semantic_question(key)
        if hit is not None or question is None or self.acceptance is None:
            return Lookup(hit=hit)
        return (yield from self._semantic(key, question, self.acceptance))

    def _exact(self, key: CacheKey) -> Plan[Hit[R] | None]:
        """The entry of the exact key, else of the normalised one.

        An entry that had to be dropped may have stood before one that may be served.
        """
        for _ in range(_EXACT_TRIES):
            try:
                entry = yield from Fetch(key.exact, key.normalised)
            except PoisonedEntryError as error:
                yield from self._drop(error.key, error)
                continue
            if entry is None:
                return None
            tier: Tier = "exact" if entry.key == key.exact else "normalised"
            hit = yield from self._open(entry, tier, 1.0)
            if hit is not None:
                return hit
        return None

    def _called(self, key: CacheKey, found: Lookup[R]) -> Plan[tuple[R, str | None]]:
        """Make the call; its answer and, if others may share it, its text."""
        self.journal.miss()
        value: R = yield from Call()
        payload = yield from self.keep(key, value, found)
        return value, payload

    def _joined(self, key: CacheKey, flight: Flight[str]) -> Plan[Hit[R] | None]:
        """The answer of a call under way; None if there is none in time."""
        payload = yield from Wait(flight)
        if payload is None:
            if flight.overdue:
                self.flights.leave(key.exact, flight)
            return None
        try:
            value = self.codec.decode(payload)
            traits = self.codec.traits(value)
        except Exception as error:  # noqa: BLE001 - a codec that cannot read itself shares nothing
            self.journal.trouble("answer cannot be stored", error)
            return None
        self.journal.hit("shared")
        return Hit(
            value=value,
            tier="shared",
            score=1.0,
            key=key.exact,
            model=traits.model,
            usage=traits.usage,
            age=0.0,
        )

    def _semantic(self, key: CacheKey, question: str, acceptance: Acceptance) -> Plan[Lookup[R]]:
        vector = yield from self._embedded(question)
        if vector is None:
            return Lookup(hit=None)
        try:
            for candidate, cosine in (yield from Nearest(key.scope, vector)):
                if cosine < acceptance.floor:
                    break
                hit = yield from self._weigh(key, question, candidate, cosine, acceptance)
                if hit is not None:
                    return Lookup(hit=hit)
        except StoreError as error:
            self.journal.trouble("store", error)
        return Lookup(hit=None, vector=vector)

    def _weigh(
        self, key: CacheKey, question: str, candidate: str, cosine: float, acceptance: Acceptance
    ) -> Plan[Hit[R] | None]:
        """The candidate as a hit, if it asks the same as the question."""
        try:
            entry = yield from Fetch(candidate)
        except PoisonedEntryError as error:
            yield from self._drop(error.key, error)
            return None
        if entry is None or entry.scope != key.scope or entry.question is None:
            yield from self._forget(candidate)
            return None
        try:
            verdict = acceptance.judge(question, entry.question, cosine)
        except Exception as error:  # noqa: BLE001 - whatever cannot be judged is not served
            self.journal.trouble("a question could not be judged", error)
            return None
        if not verdict.accept:
            return None
        return (yield from self._open(entry, "semantic", verdict.score))

    def _open(self, entry: Entry, tier: Tier, score: float) -> Plan[Hit[R] | None]:
        """Read a fresh entry's answer; an expired or damaged one is dropped."""
        now = self.clock()
        if not entry.fresh(now):
            yield from self._forget(entry.key)
            return None
        try:
            value = self.codec.decode(entry.payload)
        except Exception as error:  # noqa: BLE001 - what anybody may have written to the store
            yield from self._drop(entry.key, error)
            return None
        try:
            yield from Touch(entry.key)
        except StoreError as error:
            self.journal.trouble("store", error)
        self.journal.hit(tier)
        return Hit(
            value=value,
            tier=tier,
            score=score,
            key=entry.key,
            model=entry.model,
            usage=entry.usage,
            age=max(0.0, now - entry.created),
        )

    def _landed_meanwhile(self, key: CacheKey) -> Plan[tuple[Hit[R] | None, str | None]]:
        """An answer that was stored between our lookup and our boarding of the flight.

        Its text comes along, for those who have boarded after us.
        """
        try:
            entry = yield from Fetch(key.exact)
        except StoreError:
            return None, None
        if entry is None:
            return None, None
        hit = yield from self._open(entry, "exact", 1.0)
        return hit, None if hit is None else entry.payload

    def _semantic_question(self, key: CacheKey) -> str | None:
        """The question if it may be matched by meaning and the embedder sees the whole of it."""
        question = key.question
        if question is None or self.acceptance is None:
            return None
        try:
            return question if self.covers(question) else None
        except Exception as error:  # noqa: BLE001 - a user's embedder may raise anything
            self.journal.trouble("embedder: exact matching only", error)
            return None

    def _embedded(self, question: str) -> Plan[Vector | None]:
        try:
            return (yield from Embed(question))
        except Exception as error:  # noqa: BLE001 - a user's embedder may raise anything
            self.journal.trouble("embedder: exact matching only", error)
            return None

    def _drop(self, key: str, error: Exception) -> Plan[None]:
        self.journal.trouble("poisoned entry dropped", error)
        yield from self._forget(key)

    def _forget(self, key: str) -> Plan[None]:
        """Remove an entry; one that cannot be removed is met and passed over again."""
        try:
            yield from Forget(key)
        except StoreError as failure:
            self.journal.trouble("store", failure)
