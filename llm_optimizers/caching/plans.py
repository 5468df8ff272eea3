"""The one way through the cache, as plans: look up, answer, keep.

    key → exact → normalised → nearest questions of the scope → acceptance → hit
        → miss → single flight → call → admission → kept

Nothing here does I/O; `shell` performs the effects. Every failure of a store, an index or an
embedder is caught here and becomes a miss: the cache never costs the user an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from llm_optimizers.caching.admission import Traits, refuses
from llm_optimizers.caching.effects import Call, Embed, Fetch, Forget, Nearest, Save, Touch, Wait
from llm_optimizers.caching.entries import Entry, Vector
from llm_optimizers.caching.flights import Flights
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.scoring import Acceptance
from llm_optimizers.caching.stats import Journal
from llm_optimizers.costs import Usage
from llm_optimizers.effects import Plan
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.types import Clock

__all__ = ["Answer", "CachePlans", "Codec", "Hit", "Lookup", "Tier"]

R = TypeVar("R")
Tier: TypeAlias = Literal["exact", "normalised", "semantic", "shared"]


class Codec(Protocol[R]):
    """How an adapter's answers are written down and read back."""

    def encode(self, value: R) -> str:
        """The answer as text."""

    def decode(self, payload: str) -> R:
        """A fresh copy of the answer. Raises ValueError for text that `encode` did not write."""

    def traits(self, value: R) -> Traits:
        """What admission and the account need to know of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Generic[R]):
    """A served answer and where it came from.

    `model` and `usage` are those of the call that made it, unknown ones None. `score` is 1.0 but
    for semantic hits, where it is the acceptance's. `shared` means that a call under way was
    joined, not that a stored answer was found.
    """

    value: R
    tier: Tier
    score: float
    key: str
    model: str
    usage: Usage | None
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(Generic[R]):
    """What a lookup found, and the question's vector for storing if it found nothing."""

    hit: Hit[R] | None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[R]):
    """An answer; `hit` is None when it was called for."""

    value: R
    hit: Hit[R] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlans(Generic[R]):
    """The cache's decisions. `ttl` in seconds; `acceptance` None means exact matching only."""

    codec: Codec[R]
    acceptance: Acceptance | None
    flights: Flights[str]
    journal: Journal
    clock: Clock
    ttl: float | None

    def lookup(self, key: CacheKey) -> Plan[Lookup[R]]:
        """Find an answer that may be served for this key."""
        try:
            entry = yield from Fetch(key.exact, key.normalised)
            if entry is not None:
                tier: Tier = "exact" if entry.key == key.exact else "normalised"
                hit = yield from self._open(entry, tier, 1.0)
                if hit is not None:
                    return Lookup(hit=hit)
        except PoisonedEntryError as error:
            yield from self._drop(error.key, error)
        except StoreError as error:
            self.journal.trouble("store", error)
            return self._missed(None)
        question = self._semantic_question(key)
        if question is None or self.acceptance is None:
            return self._missed(None)
        return (yield from self._semantic(key, question, self.acceptance))

    def answer(self, key: CacheKey) -> Plan[Answer[R]]:
        """Serve the key from the cache, from a call under way, or by calling."""
        found = yield from self.lookup(key)
        if found.hit is not None:
            return Answer(value=found.hit.value, hit=found.hit)
        flight = self.flights.join(key.exact)
        if not flight.leading:
            payload = yield from Wait(flight)
            if payload is not None:
                return self._shared(key, payload)
            value: R = yield from Call()
            yield from self.keep(key, value, found.vector)
            return Answer(value=value, hit=None)
        payload = None
        try:
            landed = yield from self._landed_meanwhile(key)
            if landed is not None:
                return Answer(value=landed.value, hit=landed)
            value = yield from Call()
            payload = self._encoded(value)
            yield from self.keep(key, value, found.vector, payload)
        finally:
            self.flights.land(key.exact, flight, payload)
        return Answer(value=value, hit=None)

    def keep(
        self, key: CacheKey, value: R, vector: Vector | None = None, payload: str | None = None
    ) -> Plan[None]:
        """Store an answer if it is worth it; failing to store it is no failure."""
        traits = self.codec.traits(value)
        reason = refuses(traits)
        if reason is not None:
            self.journal.trouble("not admitted", reason, quiet=True)
            return
        payload = payload if payload is not None else self._encoded(value)
        if payload is None:
            return
        question = self._semantic_question(key)
        if vector is None and question is not None:
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

    def _semantic(self, key: CacheKey, question: str, acceptance: Acceptance) -> Plan[Lookup[R]]:
        vector = yield from self._embedded(question)
        if vector is None:
            return self._missed(None)
        try:
            for candidate, cosine in (yield from Nearest(key.scope, vector)):
                if cosine < acceptance.floor:
                    break
                hit = yield from self._weigh(key, question, candidate, cosine, acceptance)
                if hit is not None:
                    return Lookup(hit=hit)
        except StoreError as error:
            self.journal.trouble("store", error)
        return self._missed(vector)

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
            yield from Forget(candidate)
            return None
        verdict = acceptance.judge(question, entry.question, cosine)
        if not verdict.accept:
            return None
        return (yield from self._open(entry, "semantic", verdict.score))

    def _open(self, entry: Entry, tier: Tier, score: float) -> Plan[Hit[R] | None]:
        """Read a fresh entry's answer; an expired or damaged one is dropped."""
        now = self.clock()
        if not entry.fresh(now):
            yield from Forget(entry.key)
            return None
        try:
            value = self.codec.decode(entry.payload)
        except ValueError as error:
            yield from self._drop(entry.key, error)
            return None
        yield from Touch(entry.key)
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

    def _landed_meanwhile(self, key: CacheKey) -> Plan[Hit[R] | None]:
        """An answer that was stored between our lookup and our boarding of the flight."""
        try:
            entry = yield from Fetch(key.exact)
            return None if entry is None else (yield from self._open(entry, "exact", 1.0))
        except StoreError:
            return None

    def _semantic_question(self, key: CacheKey) -> str | None:
        """The question if it may be matched by meaning and the embedder sees the whole of it."""
        question = key.question
        if question is None or self.acceptance is None or not self.acceptance.covers(question):
            return None
        return question

    def _embedded(self, question: str) -> Plan[Vector | None]:
        try:
            return (yield from Embed(question))
        except Exception as error:  # noqa: BLE001 - a user's embedder may raise anything
            self.journal.trouble("embedder: exact matching only", error)
            return None

    def _drop(self, key: str, error: Exception) -> Plan[None]:
        self.journal.trouble("poisoned entry dropped", error)
        try:
            yield from Forget(key)
        except StoreError as failure:
            self.journal.trouble("store", failure)

    def _encoded(self, value: R) -> str | None:
        try:
            return self.codec.encode(value)
        except (TypeError, ValueError) as error:
            self.journal.trouble("answer cannot be stored", error)
            return None

    def _shared(self, key: CacheKey, payload: str) -> Answer[R]:
        value = self.codec.decode(payload)
        traits = self.codec.traits(value)
        self.journal.hit("shared")
        hit = Hit(
            value=value,
            tier="shared",
            score=1.0,
            key=key.exact,
            model=traits.model,
            usage=traits.usage,
            age=0.0,
        )
        return Answer(value=value, hit=hit)

    def _missed(self, vector: Vector | None) -> Lookup[R]:
        self.journal.miss()
        return Lookup(hit=None, vector=vector)
