"""The steps of a lookup, a cached call and a write, as plans (see `effects`).

    key → exact match → normalised match → nearest questions of the scope → matcher → hit
        → miss → single flight → model call → cacheability → stored

Nothing here blocks: the executor turns what may block into effects. Every failure of the store,
index or embedder is caught here and counts as a miss, so the user always gets an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from llm_optimizers.caching.answers import CacheResult, Codec, Hit, Tier
from llm_optimizers.caching.cacheability import Cacheability
from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.keys import CacheKey, scope_digest
from llm_optimizers.caching.matching.matcher import Matcher
from llm_optimizers.caching.ownership import MAX_PAYLOAD, reason_not_to_serve, reason_not_to_use
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
    """Call the model: the one effect that the adapter performs, as a stream if it wants.

    `leader` is the call in flight that others may wait for, to be told of a stream's pauses.
    """

    leader: InFlightCall[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(Generic[R]):
    """The result of a lookup; `vector` is the question's, None without a semantic lookup."""

    hit: Hit[R] | None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found(Generic[R]):
    """A hit from the store, and its payload for others who wait for the same answer."""

    hit: Hit[R]
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlans(Generic[R]):
    """The plans of one cache; without a `matcher`, matching is exact only. `ttl` is in seconds."""

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
        """Serve the key from the store, from another caller's call in flight, or by a call."""
        completed_before = self.single_flight.completed
        found = yield from self._find(key)
        if found.hit is not None:
            return CacheResult(value=found.hit.value, hit=found.hit)
        call = self.single_flight.join(key.exact)
        while not call.leading:
            shared = yield from self._wait_for_leader(key, call)
            if shared is not None:
                return CacheResult(value=shared.value, hit=shared)
            if not call.stalled:
                value, _ = yield from self._call_model(key, found)
                return CacheResult(value=value, hit=None)
            call = self.single_flight.join(key.exact, call)
        return (yield from self._lead(key, found, call, completed_before))

    def _lead(
        self, key: CacheKey, found: Lookup[R], call: InFlightCall[str], completed_before: int
    ) -> Plan[CacheResult[R]]:
        """Make the call for all who wait for it, unless its answer was stored since the lookup."""
        payload, given_up = None, False
        try:
            if self.single_flight.completed != completed_before:
                since = yield from self._find_stored_since(key)
                if since is not None:
                    payload = since.payload
                    return CacheResult(value=since.hit.value, hit=since.hit)
            value, payload = yield from self._call_model(key, found, call)
        except BaseException as error:
            given_up = not isinstance(error, Exception)
            raise
        finally:
            self.single_flight.complete(key.exact, call, payload, given_up=given_up)
        return CacheResult(value=value, hit=None)

    def keep(self, key: CacheKey, value: R, found: Lookup[R] | None = None) -> Plan[str | None]:
        """Store an answer if it is cacheable; return its text if other callers may share it.

        A store that fails is counted and otherwise ignored.
        """
        try:
            cacheability = self.codec.cacheability(value)
            reason = reason_not_to_use(cacheability, key)
            if reason is not None:
                self.counters.trouble("not admitted", reason, quiet=True)
                return None
            payload = self.codec.encode(value)
            if len(payload) > MAX_PAYLOAD:
                self.counters.trouble("not admitted", "too long", quiet=True)
                return None
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
            question=key.asked,
            payload=payload,
            vector=vector,
            created=now,
            expires=None if self.ttl is None else now + self.ttl,
            model=cacheability.model,
            usage=cacheability.usage,
        )
        try:
            yield from self.executor.use_store(lambda store: store.save(entry), writing=True)
        except StoreError as error:
            self.counters.trouble("store", error)
        else:
            self.counters.stored()
        return payload

    def _find(self, key: CacheKey) -> Plan[Lookup[R]]:
        try:
            found = yield from self._find_exact(key)
        except StoreError as error:
            self.counters.trouble("store", error)
            return Lookup(hit=None)
        if found is not None:
            return Lookup(hit=found.hit)
        vector = yield from self._embed_question(key)
        if vector is None:
            return Lookup(hit=None)
        found = yield from self._find_semantic(key, vector)
        return Lookup(hit=None if found is None else found.hit, vector=vector)

    def _find_exact(self, key: CacheKey) -> Plan[_Found[R] | None]:
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
            found = yield from self._serve(key, entry, tier, 1.0)
            if found is not None:
                return found
        return None

    def _find_semantic(self, key: CacheKey, vector: Vector) -> Plan[_Found[R] | None]:
        """Return a hit for the nearest stored question of the scope that the matcher accepts."""
        matcher, question = self.matcher, key.question
        if matcher is None or question is None:
            return None
        try:
            for candidate, cosine in (yield from self.executor.nearest(key.scope, vector)):
                if cosine < matcher.min_cosine:
                    break
                found = yield from self._match(key, question, candidate, cosine, matcher)
                if found is not None:
                    return found
        except StoreError as error:
            self.counters.trouble("store", error)
        return None

    def _match(
        self, key: CacheKey, question: str, candidate: str, cosine: float, matcher: Matcher
    ) -> Plan[_Found[R] | None]:
        """Return the entry with key `candidate` as a hit, if the matcher accepts its question."""
        try:
            entry = yield from self.executor.use_store(lambda store: store.fetch(candidate))
        except PoisonedEntryError as error:
            yield from self._drop(error.key, error)
            return None
        if entry is None or _of_another_embedder(entry, key):
            yield from self.executor.discard(candidate)
            return None
        reason = reason_not_to_serve(entry, key, "semantic", self.clock())
        if reason is not None or entry.question is None:
            yield from self._drop(entry.key, reason)
            return None
        try:
            decision = matcher.decide(question, entry.question, cosine)
        except Exception as error:  # noqa: BLE001 - without a decision nothing is served
            self.counters.trouble("a question could not be judged", error)
            return None
        if not decision.accept:
            return None
        return (yield from self._serve(key, entry, "semantic", decision.score))

    def _serve(
        self, key: CacheKey, entry: Entry, tier: Tier, score: float
    ) -> Plan[_Found[R] | None]:
        """Decode an entry into a hit; remove it if expired, damaged or another request's."""
        now = self.clock()
        if self._expired(entry, now):
            yield from self._remove(entry.key)
            return None
        reason = reason_not_to_serve(entry, key, tier, now)
        if reason is not None:
            yield from self._drop(entry.key, reason)
            return None
        try:
            value, _ = self._decode(key, entry.payload)
        except Exception as error:  # noqa: BLE001 - others may have written anything to the store
            yield from self._drop(entry.key, error)
            return None
        try:
            yield from self.executor.use_store(
                lambda store: store.touch(entry.key, now), writing=True
            )
        except StoreError as error:
            self.counters.trouble("store", error)
        self.counters.hit(tier)
        hit = Hit(
            value=value,
            tier=tier,
            score=score,
            key=entry.key,
            model=entry.model,
            usage=entry.usage,
            age=max(0.0, now - entry.created),
        )
        return _Found(hit=hit, payload=entry.payload)

    def _expired(self, entry: Entry, now: float) -> bool:
        """Whether the entry is too old, by its own time or by this cache's `ttl`."""
        own = entry.expires is not None and not now < entry.expires
        return own or (self.ttl is not None and not now - entry.created < self.ttl)

    def _decode(self, key: CacheKey, payload: str) -> tuple[R, Cacheability]:
        """Return the answer in a payload.

        Raises:
            ValueError: it would not have been stored for this key.
            Whatever the codec raises.
        """
        value = self.codec.decode(payload)
        cacheability = self.codec.cacheability(value)
        reason = reason_not_to_use(cacheability, key)
        if reason is not None:
            raise ValueError(f"the answer is not one to be stored: {reason}")
        return value, cacheability

    def _call_model(
        self, key: CacheKey, found: Lookup[R], leader: InFlightCall[str] | None = None
    ) -> Plan[tuple[R, str | None]]:
        """Call the model; return its answer, and its text if other callers may share it."""
        self.counters.miss()
        value: R = yield MakeCall(leader)
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
            value, cacheability = self._decode(key, payload)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be decoded is not shared
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

    def _find_stored_since(self, key: CacheKey) -> Plan[_Found[R] | None]:
        """Return an answer stored after our lookup and before we became the leader."""
        try:
            return (yield from self._find_exact(key))
        except StoreError as error:
            self.counters.trouble("store", error)
            return None

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


def _of_another_embedder(entry: Entry, key: CacheKey) -> bool:
    """Whether the entry was stored again for another embedding model since it was indexed."""
    return entry.scope != key.scope and scope_digest(entry.scope) == scope_digest(key.scope)
