"""The one way through the cache, as plans: look up, answer, keep.

    key → exact → normalised → nearest questions of the scope → acceptance → hit
        → miss → single flight → call → cacheability → kept

Nothing here blocks: the executor makes effects of what may. Every failure of a store, an index or
an embedder is caught here and becomes a miss: the cache never costs the user an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from llm_optimizers.caching.answers import CacheResult, Codec, Hit, Tier
from llm_optimizers.caching.cacheability import reason_not_to_cache
from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.matching.matcher import Matcher
from llm_optimizers.caching.single_flight import InFlightCall, SingleFlight
from llm_optimizers.caching.stats import Counters
from llm_optimizers.caching.stores.protocol import Entry, Vector
from llm_optimizers.effects import Effect, Plan
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.types import Clock

__all__ = ["CachePlans", "Lookup", "MakeCall"]

R = TypeVar("R")
_EXACT_TRIES = 3


@dataclass(frozen=True, slots=True)
class MakeCall(Effect[R], Generic[R]):
    """The call itself: the one effect that an adapter performs, as a stream if it likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(Generic[R]):
    """What a lookup found; `vector` is the question's, None where it is not matched by meaning."""

    hit: Hit[R] | None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlans(Generic[R]):
    """The cache's decisions; `matcher` None means exact matching only, `ttl` is in seconds."""

    codec: Codec[R]
    executor: Executor
    matcher: Matcher | None
    single_flight: SingleFlight[str]
    counters: Counters
    clock: Clock
    ttl: float | None

    def lookup(self, key: CacheKey) -> Plan[Hit[R] | None]:
        """Find an answer that may be served for this key."""
        found = yield from self._find(key)
        if found.hit is None:
            self.counters.miss()
        return found.hit

    def answer(self, key: CacheKey) -> Plan[CacheResult[R]]:
        """Serve the key from the cache, from a call under way, or by calling."""
        landed_before = self.single_flight.completed
        found = yield from self._find(key)
        if found.hit is not None:
            return CacheResult(value=found.hit.value, hit=found.hit)
        flight = self.single_flight.join(key.exact)
        if not flight.leading:
            shared = yield from self._joined(key, flight)
            if shared is not None:
                return CacheResult(value=shared.value, hit=shared)
            value, _ = yield from self._called(key, found)
            return CacheResult(value=value, hit=None)
        payload = None
        try:
            if self.single_flight.completed != landed_before:
                completed, payload = yield from self._landed_meanwhile(key)
                if completed is not None:
                    return CacheResult(value=completed.value, hit=completed)
            value, payload = yield from self._called(key, found)
        finally:
            self.single_flight.complete(key.exact, flight, payload)
        return CacheResult(value=value, hit=None)

    def keep(self, key: CacheKey, value: R, found: Lookup[R] | None = None) -> Plan[str | None]:
        """Store an answer if it is worth it; returns it as text if others may share it.

        Failing to store it is no failure.
        """
        try:
            cacheability = self.codec.cacheability(value)
            reason = reason_not_to_cache(cacheability)
            if reason is not None:
                self.counters.trouble("not admitted", reason, quiet=True)
                return None
            payload = self.codec.encode(value)
        except Exception as error:  # noqa: BLE001 - an answer of any kind is the caller's, kept or not
            self.counters.trouble("answer cannot be stored", error)
            return None
        vector = found.vector if found is not None else (yield from self._embedded(key))
        now = self.clock()
        entry = Entry(
            key=key.exact,
            normalised=key.normalised,
            scope=key.scope,
            tenant=key.tenant,
            question=key.question if vector is not None else None,
            payload=payload,
            vector=vector,
            created=now,
            expires=None if self.ttl is None else now + self.ttl,
            model=cacheability.model,
            usage=cacheability.usage,
        )
        try:
            yield from self.executor.stored(lambda store: store.save(entry), writing=True)
        except StoreError as error:
            self.counters.trouble("store", error)
        else:
            self.counters.stored()
        return payload

    def _find(self, key: CacheKey) -> Plan[Lookup[R]]:
        try:
            hit = yield from self._exact(key)
        except StoreError as error:
            self.counters.trouble("store", error)
            return Lookup(hit=None)
        if hit is not None:
            return Lookup(hit=hit)
        vector = yield from self._embedded(key)
        if vector is not None:
            hit = yield from self._semantic(key, vector)
        return Lookup(hit=hit, vector=vector)

    def _exact(self, key: CacheKey) -> Plan[Hit[R] | None]:
        """The entry of the exact key, else of the normalised one.

        An entry that had to be dropped may have stood before one that may be served.
        """
        for _ in range(_EXACT_TRIES):
            try:
                entry = yield from self.executor.stored(
                    lambda store: store.fetch(key.exact, key.normalised)
                )
            except PoisonedEntryError as error:
                yield from self._drop(error.key, error)
                continue
            if entry is None:
                return None
            tier: Tier = "exact" if entry.key == key.exact else "normalised"
            hit = yield from self._open(key, entry, tier, 1.0)
            if hit is not None:
                return hit
        return None

    def _semantic(self, key: CacheKey, vector: Vector) -> Plan[Hit[R] | None]:
        """The nearest stored question of the scope that asks the same."""
        matcher, question = self.matcher, key.question
        if matcher is None or question is None:
            return None
        try:
            for candidate, cosine in (yield from self.executor.nearest(key.scope, vector)):
                if cosine < matcher.min_cosine:
                    break
                hit = yield from self._weigh(key, question, candidate, cosine, matcher)
                if hit is not None:
                    return hit
        except StoreError as error:
            self.counters.trouble("store", error)
        return None

    def _weigh(
        self, key: CacheKey, question: str, candidate: str, cosine: float, matcher: Matcher
    ) -> Plan[Hit[R] | None]:
        """The candidate as a hit, if it asks the same as the question."""
        try:
            entry = yield from self.executor.stored(lambda store: store.fetch(candidate))
        except PoisonedEntryError as error:
            yield from self._drop(error.key, error)
            return None
        if entry is None or entry.scope != key.scope or entry.question is None:
            yield from self._forget(candidate)
            return None
        try:
            verdict = matcher.decide(question, entry.question, cosine)
        except Exception as error:  # noqa: BLE001 - whatever cannot be judged is not served
            self.counters.trouble("a question could not be judged", error)
            return None
        if not verdict.accept:
            return None
        return (yield from self._open(key, entry, "semantic", verdict.score))

    def _open(self, key: CacheKey, entry: Entry, tier: Tier, score: float) -> Plan[Hit[R] | None]:
        """Read an entry's answer; one that is expired, damaged or another tenant's is dropped."""
        now = self.clock()
        if entry.expires is not None and not now < entry.expires:
            yield from self._forget(entry.key)
            return None
        if entry.tenant != key.tenant:
            yield from self._drop(entry.key, "it belongs to another tenant")
            return None
        try:
            value = self.codec.decode(entry.payload)
        except Exception as error:  # noqa: BLE001 - what anybody may have written to the store
            yield from self._drop(entry.key, error)
            return None
        try:
            yield from self.executor.stored(lambda store: store.touch(entry.key, now), writing=True)
        except StoreError as error:
            self.counters.trouble("store", error)
        self.counters.hit(tier)
        return Hit(
            value=value,
            tier=tier,
            score=score,
            key=entry.key,
            model=entry.model,
            usage=entry.usage,
            age=max(0.0, now - entry.created),
        )

    def _called(self, key: CacheKey, found: Lookup[R]) -> Plan[tuple[R, str | None]]:
        """Make the call; its answer and, if others may share it, its text."""
        self.counters.miss()
        value: R = yield MakeCall()
        payload = yield from self.keep(key, value, found)
        return value, payload

    def _joined(self, key: CacheKey, flight: InFlightCall[str]) -> Plan[Hit[R] | None]:
        """The answer of a call under way; None if there is none in time."""
        payload = yield from self.executor.waited(flight)
        if payload is None:
            if flight.timed_out:
                self.single_flight.forget(key.exact, flight)
            return None
        try:
            value = self.codec.decode(payload)
            cacheability = self.codec.cacheability(value)
        except Exception as error:  # noqa: BLE001 - a codec that cannot read itself shares nothing
            self.counters.trouble("answer cannot be stored", error)
            return None
        self.counters.hit("shared")
        return Hit(
            value=value,
            tier="shared",
            score=1.0,
            key=key.exact,
            model=cacheability.model,
            usage=cacheability.usage,
            age=0.0,
        )

    def _landed_meanwhile(self, key: CacheKey) -> Plan[tuple[Hit[R] | None, str | None]]:
        """An answer that was stored between our lookup and our joining of the flight.

        Its text comes along, for those who have joined after us.
        """
        try:
            entry = yield from self.executor.stored(lambda store: store.fetch(key.exact))
        except StoreError:
            return None, None
        if entry is None:
            return None, None
        hit = yield from self._open(key, entry, "exact", 1.0)
        return hit, None if hit is None else entry.payload

    def _embedded(self, key: CacheKey) -> Plan[Vector | None]:
        """The question's vector, None where it may not be matched by meaning or cannot be."""
        if key.question is None or self.matcher is None:
            return None
        try:
            return (yield from self.executor.embedded(key.question))
        except Exception as error:  # noqa: BLE001 - a user's embedder may raise anything
            self.counters.trouble("embedder: exact matching only", error)
            return None

    def _drop(self, key: str, reason: object) -> Plan[None]:
        self.counters.trouble("poisoned entry dropped", reason)
        yield from self._forget(key)

    def _forget(self, key: str) -> Plan[None]:
        """Remove an entry; one that cannot be removed is met and passed over again."""
        try:
            yield from self.executor.forget(key)
        except StoreError as failure:
            self.counters.trouble("store", failure)
