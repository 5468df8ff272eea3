"""The steps of a lookup, a cached call and a write, as plans (see `effects`).

    key → exact match → normalised match → nearest questions of the scope → matcher → hit
        → miss → single flight → model call → cacheability → stored

Nothing here blocks: the executor turns what may block into effects. Every failure of the store,
index or embedder is caught here and counts as a miss, so the user always gets an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from llm_optimizers.caching.answers import CacheResult, Codec, Hit, Tier
from llm_optimizers.caching.cacheability import reason_not_to_cache
from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.matching.matcher import Matcher
from llm_optimizers.caching.options import CallOptions
from llm_optimizers.caching.refusals import (
    GivenAnswer,
    RefusedAnswers,
    Refusing,
    digest_of,
    held_answers,
)
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
    """Call the model: the one effect that the adapter performs, as a stream if it wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(Generic[R]):
    """The result of a lookup; `vector` is the question's, None without a semantic lookup."""

    hit: Hit[R] | None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlans(Generic[R]):
    """The plans of one cache; without a `matcher`, matching is exact only. `ttl` is in seconds.

    `source` is the cache that takes a refused answer back. `options` are those of one call.
    """

    codec: Codec[R]
    executor: Executor
    matcher: Matcher | None
    single_flight: SingleFlight[str]
    counters: Counters
    clock: Clock
    ttl: float | None
    refused: RefusedAnswers = field(default_factory=RefusedAnswers)
    source: Refusing | None = field(default=None, repr=False)
    options: CallOptions[R] = field(default_factory=CallOptions)

    def lookup(self, key: CacheKey) -> Plan[Hit[R] | None]:
        """Find an answer that may be served for this key."""
        found: Lookup[R] = Lookup(hit=None)
        if not self.options.fresh_for(key, self.refused):
            found = yield from self._find(key)
        if found.hit is None:
            self.counters.miss()
        return found.hit

    def answer(self, key: CacheKey) -> Plan[CacheResult[R]]:
        """Serve the key from the store, from another caller's call in flight, or by a call."""
        if self.options.fresh_for(key, self.refused):
            value, _ = yield from self._call_model(key, None)
            return CacheResult(value=value, hit=None)
        completed_before = self.single_flight.completed
        found = yield from self._find(key)
        if found.hit is not None and not self.options.called_in_batch(key):
            return CacheResult(value=found.hit.value, hit=found.hit)
        if key.sampled:
            self.options.called(key)
            value, _ = yield from self._call_model(key, found)
            return CacheResult(value=value, hit=None)
        call = self.single_flight.join(key.exact)
        if not call.leading:
            shared = yield from self._wait_for_leader(key, call)
            if shared is not None:
                return CacheResult(value=shared.value, hit=shared)
            value, _ = yield from self._call_model(key, found)
            return CacheResult(value=value, hit=None)
        payload = None
        try:
            if self.single_flight.completed != completed_before:
                hit, payload = yield from self._find_stored_since(key)
                if hit is not None:
                    return CacheResult(value=hit.value, hit=hit)
            value, payload = yield from self._call_model(key, found)
        finally:
            self.single_flight.complete(key.exact, call, payload)
        return CacheResult(value=value, hit=None)

    def keep(self, key: CacheKey, value: R, found: Lookup[R] | None = None) -> Plan[str | None]:
        """Store an answer if it is cacheable; return its text if other callers may share it.

        A store that fails is counted and otherwise ignored.
        """
        try:
            cacheability = self.codec.cacheability(value)
            reason = reason_not_to_cache(cacheability)
            if reason is not None:
                self.counters.trouble("not admitted", reason, quiet=True)
                return None
            if not self.options.accepted(value):
                self.counters.trouble("not admitted", "its schema refused it", quiet=True)
                return None
            payload = self.codec.encode(value)
        except Exception as error:  # noqa: BLE001 - the caller gets any answer, stored or not
            self.counters.trouble("answer cannot be stored", error)
            return None
        vector = found.vector if found is not None else (yield from self._embed_question(key))
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
        held = held_answers()
        if held is None:
            yield from self._save(entry)
        else:
            held.append(partial(self._save, entry))
        self.options.report(self.source, key, key.exact, payload)
        return payload

    def _save(self, entry: Entry) -> Plan[None]:
        try:
            yield from self.executor.save(entry)
        except StoreError as error:
            self.counters.trouble("store", error)
        else:
            self.counters.stored()

    def remove_refused(self, answer: GivenAnswer) -> Plan[None]:
        """Remove a refused answer's entry, unless another answer has replaced it."""
        try:
            yield from self.executor.remove(
                answer.entry, only_if=lambda entry: digest_of(entry.payload) == answer.digest
            )
        except PoisonedEntryError as error:
            yield from self._drop(error.key, error)
        except StoreError as error:
            self.counters.trouble("store", error)

    def _find(self, key: CacheKey) -> Plan[Lookup[R]]:
        try:
            hit = yield from self._find_exact(key)
        except StoreError as error:
            self.counters.trouble("store", error)
            return Lookup(hit=None)
        if hit is not None:
            return Lookup(hit=hit)
        vector = yield from self._embed_question(key)
        if vector is not None:
            hit = yield from self._find_semantic(key, vector)
        return Lookup(hit=hit, vector=vector)

    def _find_exact(self, key: CacheKey) -> Plan[Hit[R] | None]:
        """Return a hit under the exact key, else under the normalised key.

        After an entry was dropped, the store is asked again: it may hold a good one as well.
        """
        for _ in range(_EXACT_TRIES):
            try:
                entry = yield from self.executor.use_store(
                    lambda store: store.fetch(key.exact, key.normalised)
                )
            except PoisonedEntryError as error:
                yield from self._drop(error.key, error)
                continue
            if entry is None:
                return None
            tier: Tier = "exact" if entry.key == key.exact else "normalised"
            hit = yield from self._serve(key, entry, tier, 1.0)
            if hit is not None:
                return hit
        return None

    def _find_semantic(self, key: CacheKey, vector: Vector) -> Plan[Hit[R] | None]:
        """Return a hit for the nearest stored question of the scope that the matcher accepts."""
        matcher, question = self.matcher, key.question
        if matcher is None or question is None:
            return None
        try:
            for candidate, cosine in (yield from self.executor.nearest(key.scope, vector)):
                if cosine < matcher.min_cosine:
                    break
                hit = yield from self._match(key, question, candidate, cosine, matcher)
                if hit is not None:
                    return hit
        except StoreError as error:
            self.counters.trouble("store", error)
        return None

    def _match(
        self, key: CacheKey, question: str, candidate: str, cosine: float, matcher: Matcher
    ) -> Plan[Hit[R] | None]:
        """Return the entry with key `candidate` as a hit, if the matcher accepts its question."""
        try:
            entry = yield from self.executor.use_store(lambda store: store.fetch(candidate))
        except PoisonedEntryError as error:
            yield from self._drop(error.key, error)
            return None
        if entry is None or entry.scope != key.scope or entry.question is None:
            yield from self._remove(candidate)
            return None
        try:
            decision = matcher.decide(question, entry.question, cosine)
        except Exception as error:  # noqa: BLE001 - without a decision nothing is served
            self.counters.trouble("a question could not be judged", error)
            return None
        if not decision.accept:
            return None
        return (yield from self._serve(key, entry, "semantic", decision.score))

    def _serve(self, key: CacheKey, entry: Entry, tier: Tier, score: float) -> Plan[Hit[R] | None]:
        """Decode an entry into a hit; drop it if expired, damaged or another tenant's."""
        now = self.clock()
        if entry.expires is not None and not now < entry.expires:
            yield from self._remove(entry.key)
            return None
        if entry.tenant != key.tenant:
            yield from self._drop(entry.key, "it belongs to another tenant")
            return None
        try:
            value = self.codec.decode(entry.payload)
        except Exception as error:  # noqa: BLE001 - others may have written anything to the store
            yield from self._drop(entry.key, error)
            return None
        if self.refused.includes(entry.payload) or not self.options.accepted(value):
            self.counters.trouble("refused entry dropped", "its parser refused it", quiet=True)
            yield from self._remove(entry.key)
            return None
        try:
            yield from self.executor.use_store(
                lambda store: store.touch(entry.key, now), writing=True
            )
        except StoreError as error:
            self.counters.trouble("store", error)
        self.counters.hit(tier)
        self.options.report(self.source, key, entry.key, entry.payload)
        return Hit(
            value=value,
            tier=tier,
            score=score,
            key=entry.key,
            model=entry.model,
            usage=entry.usage,
            age=max(0.0, now - entry.created),
        )

    def _call_model(self, key: CacheKey, found: Lookup[R] | None) -> Plan[tuple[R, str | None]]:
        """Call the model; return its answer, and its text if other callers may share it."""
        self.counters.miss()
        value: R = yield MakeCall()
        payload = yield from self.keep(key, value, found)
        return value, payload

    def _wait_for_leader(self, key: CacheKey, call: InFlightCall[str]) -> Plan[Hit[R] | None]:
        """Return the answer of the call in flight; None if it brings none in time."""
        payload = yield from self.executor.wait_for(call)
        if payload is None:
            if call.timed_out:
                self.single_flight.forget(key.exact, call)
            return None
        try:
            value = self.codec.decode(payload)
            cacheability = self.codec.cacheability(value)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be decoded is not shared
            self.counters.trouble("answer cannot be stored", error)
            return None
        if self.refused.includes(payload) or not self.options.accepted(value):
            return None
        self.counters.hit("shared")
        self.options.report(self.source, key, key.exact, payload)
        return Hit(
            value=value,
            tier="shared",
            score=1.0,
            key=key.exact,
            model=cacheability.model,
            usage=cacheability.usage,
            age=0.0,
        )

    def _find_stored_since(self, key: CacheKey) -> Plan[tuple[Hit[R] | None, str | None]]:
        """Return an answer stored after our lookup and before we became the leader.

        Also return its text, for the callers who now wait for us.
        """
        try:
            entry = yield from self.executor.use_store(lambda store: store.fetch(key.exact))
        except StoreError:
            return None, None
        if entry is None:
            return None, None
        hit = yield from self._serve(key, entry, "exact", 1.0)
        return hit, None if hit is None else entry.payload

    def _embed_question(self, key: CacheKey) -> Plan[Vector | None]:
        """Return the question's vector; None if only exact matching is allowed or possible."""
        if key.question is None or self.matcher is None:
            return None
        try:
            return (yield from self.executor.embed(key.question))
        except Exception as error:  # noqa: BLE001 - a user's embedder may raise anything
            self.counters.trouble("embedder: exact matching only", error)
            return None

    def _drop(self, key: str, reason: object) -> Plan[None]:
        self.counters.trouble("poisoned entry dropped", reason)
        yield from self._remove(key)

    def _remove(self, key: str) -> Plan[None]:
        """Remove an entry; if that fails, the next lookup will skip it again."""
        try:
            yield from self.executor.remove(key)
        except StoreError as error:
            self.counters.trouble("store", error)
