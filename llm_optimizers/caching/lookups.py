"""The steps of a lookup, as plans (see `effects`).

    key → exact match → normalised match → nearest questions of the scope → matcher → hit

Every failure of the store, index or embedder is caught here and counts as a miss; the executor
announces it. A row is served only after it was compared with the request it would answer
(`ownership`); a damaged or foreign one is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from llm_optimizers.caching.answers import Codec, Hit, Tier, decoded
from llm_optimizers.caching.answers.cacheability import Cacheability, Judged
from llm_optimizers.caching.answers.hits import announce_hit
from llm_optimizers.caching.answers.ids import ServedIds, ids_of_hit
from llm_optimizers.caching.executor import Executor
from llm_optimizers.caching.keys import CacheKey, Unmatched, scope_digest
from llm_optimizers.caching.matching.matcher import Matcher
from llm_optimizers.caching.matching.text_features import (
    TextFeatures,
    extract_features,
    loads_words,
)
from llm_optimizers.caching.memo import EntryMemo
from llm_optimizers.caching.options import CallOptions
from llm_optimizers.caching.ownership import reason_not_to_serve, reason_not_to_use
from llm_optimizers.caching.refusals import RefusedAnswers, Refusing, digest_of
from llm_optimizers.caching.stats import Counters
from llm_optimizers.caching.stores.protocol import Entry, Vector
from llm_optimizers.effects import Plan, RunFunction
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.types import Clock

__all__ = ["Found", "Lookup", "LookupPlans"]

R = TypeVar("R")
_EXACT_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(Generic[R]):
    """The result of a lookup; `vector` is the question's, None without a semantic lookup."""

    hit: Hit[R] | None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[R]):
    """A hit from the store, and its payload for others who wait for the same answer."""

    hit: Hit[R]
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question to be matched by meaning."""

    question: str
    vector: Vector
    matcher: Matcher


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupPlans(Generic[R]):
    """The lookups of one cache; without a `matcher`, matching is exact only.

    `ttl` is in seconds, and also holds for entries that were stored without one or with a longer
    one. `source` is the cache that takes a refused answer back. `options` are those of one call.
    """

    codec: Codec[R]
    executor: Executor
    matcher: Matcher | None
    counters: Counters
    clock: Clock
    ttl: float | None
    refused: RefusedAnswers = field(default_factory=RefusedAnswers)
    judged: Judged = field(default_factory=Judged)
    memo: EntryMemo = field(default_factory=EntryMemo)
    source: Refusing | None = field(default=None, repr=False)
    options: CallOptions[R] = field(default_factory=CallOptions)

    def warm_up(self, question: str) -> None:
        """Load what the first lookup of a question would load."""
        try:
            self.executor.warm_up(question)
            if self.matcher is not None:
                self.matcher.decide(question, question, 1.0)
        except Exception as error:  # noqa: BLE001 - the calls go on without what failed
            self.counters.trouble("warm-up", error)

    def lookup(self, key: CacheKey) -> Plan[Hit[R] | None]:
        """Find an answer that may be served for this key."""
        found: Lookup[R] = Lookup(hit=None)
        if not self.options.fresh_for(key, self.refused):
            found = yield from self.find(key)
        if found.hit is None:
            self.counters.miss()
            if key.sampled:
                self.options.called(key)
        else:
            announce_hit(found.hit)
        return found.hit

    def find(self, key: CacheKey) -> Plan[Lookup[R]]:
        """Find an answer as `lookup` does; also return the question's vector, for storing it."""
        try:
            found = yield from self.find_exact(key)
        except StoreError as error:
            self.counters.trouble("store", error, quiet=True)
            return Lookup(hit=None)
        vector = None if found is not None else (yield from self.embed_question(key))
        if vector is not None:
            found = yield from self._find_semantic(key, vector)
        if self.matcher is not None:
            no_vector = None if vector is not None else Unmatched.NO_VECTOR
            self.counters.compared(
                key.scope, served=found is not None, reason=key.unmatched or no_vector
            )
        return Lookup(hit=None if found is None else found.hit, vector=vector)

    def find_exact(self, key: CacheKey) -> Plan[Found[R] | None]:
        """Return a hit under the exact key, else under the normalised key.

        After an entry was dropped, the store is asked again: it may hold a good one as well.
        """
        for _ in range(_EXACT_TRIES):
            try:
                entry = yield from self.executor.use_store(
                    lambda store: store.fetch(key.exact, key.normalised)
                )
            except PoisonedEntryError as error:
                yield from self.drop(error.key, error)
                continue
            if entry is None:
                return None
            tier: Tier = "exact" if entry.key == key.exact else "normalised"
            found = yield from self._serve(key, entry, tier, 1.0)
            if found is not None:
                return found
        return None

    def _find_semantic(self, key: CacheKey, vector: Vector) -> Plan[Found[R] | None]:
        """Return a hit for the nearest stored question of the scope that the matcher accepts."""
        matcher, question = self.matcher, key.question
        if matcher is None or question is None:
            return None
        asked = _Asked(question=question, vector=vector, matcher=matcher)
        try:
            nearest = yield from self.executor.nearest(key.scope, vector)
            if nearest and loads_words(question):
                yield from RunFunction(partial(extract_features, question))
            if nearest:
                self.counters.comparable(key.scope)
            for candidate, cosine in nearest:
                if cosine < matcher.min_cosine:
                    break
                found = yield from self._match(key, asked, candidate, cosine)
                if found is not None:
                    return found
        except StoreError as error:
            self.counters.trouble("store", error, quiet=True)
        return None

    def _match(
        self, key: CacheKey, asked: _Asked, candidate: str, cosine: float
    ) -> Plan[Found[R] | None]:
        """Return the entry with key `candidate` as a hit, if the matcher accepts its question."""
        try:
            entry = yield from self.executor.use_store(lambda store: store.fetch(candidate))
        except PoisonedEntryError as error:
            yield from self.drop(error.key, error)
            return None
        if entry is None or _of_another_embedder(entry, key):
            yield from self.executor.discard(candidate)
            return None
        reason = reason_not_to_serve(entry, key, "semantic", self.clock())
        if reason is None and not self.executor.confirms(cosine, asked.vector, entry.question):
            reason = "its vector is not that of its question"
        if reason is not None or entry.question is None:
            yield from self.drop(entry.key, reason)
            return None
        try:
            decision = asked.matcher.decide(
                asked.question, entry.question, cosine, self._features_of(key, entry)
            )
        except Exception as error:  # noqa: BLE001 - without a decision nothing is served
            self.counters.trouble("a question could not be judged", error)
            return None
        if not decision.accept:
            return None
        return (yield from self._serve(key, entry, "semantic", decision.score))

    def _serve(
        self, key: CacheKey, entry: Entry, tier: Tier, score: float
    ) -> Plan[Found[R] | None]:
        """Decode an entry into a hit; remove it if expired, damaged or another request's."""
        now = self.clock()
        if self._expired(entry, now):
            yield from self._remove(entry.key)
            return None
        reason = reason_not_to_serve(entry, key, tier, now)
        if reason is not None:
            yield from self.drop(entry.key, reason)
            return None
        age = max(0.0, now - entry.created)
        ids = ids_of_hit(same=tier == "exact", keeps_ids=key.keeps_ids, age=age)
        try:
            value, _ = self.decode(key, entry.payload, ids, entry=entry.key)
        except Exception as error:  # noqa: BLE001 - others may have written anything to the store
            # Not its message, which may quote the answer.
            yield from self.drop(entry.key, f"its answer cannot be read: {type(error).__name__}")
            return None
        if self.refuses(entry.payload, value, key.exact, entry.key):
            self.counters.trouble("refused entry dropped", "its parser refused it", quiet=True)
            yield from self._remove(entry.key)
            return None
        try:
            yield from self.executor.use_store(
                lambda store: store.touch(entry.key, now), writing=True
            )
        except StoreError as error:
            self.counters.trouble("store", error, quiet=True)
        self.counters.hit(tier)
        self.options.report(self.source, key, entry.key, entry.payload)
        hit = Hit(
            value=value,
            tier=tier,
            score=score,
            key=entry.key,
            model=entry.model,
            usage=entry.usage,
            cost=entry.cost,
            estimated=entry.estimated,
            age=age,
        )
        return Found(hit=hit, payload=entry.payload)

    def _expired(self, entry: Entry, now: float) -> bool:
        """Whether the entry is too old, by its own time or by this cache's `ttl`."""
        own = entry.expires is not None and not now < entry.expires
        return own or (self.ttl is not None and not now - entry.created < self.ttl)

    def _features_of(self, key: CacheKey, entry: Entry) -> Callable[[str], TextFeatures]:
        """Return what reads the question asked, or the entry's, once."""

        def features(text: str) -> TextFeatures:
            return self.memo.get(
                ("features", text),
                partial(extract_features, text),
                owner=entry.key if text == entry.question else key.exact,
                characters=4 * len(text),
            )

        return features

    def decode(
        self, key: CacheKey, payload: str, ids: ServedIds, *, entry: str | None = None
    ) -> tuple[R, Cacheability]:
        """Return the answer in a payload, that of an entry if its key is given, with these ids.

        Raises:
            ValueError: it would not have been stored for this key.
            Whatever the codec raises.
        """
        memo = None if entry is None else self.memo
        value = decoded(self.codec, payload, ids, memo=memo, entry=entry or "")
        cacheability = self.judged.get(digest_of(payload), lambda: self.codec.cacheability(value))
        reason = reason_not_to_use(cacheability, key)
        if reason is not None:
            raise ValueError(f"the answer is not one to be stored: {reason}")
        return value, cacheability

    def refuses(self, payload: str, value: R, *keys: str) -> bool:
        """Whether an answer was refused under one of these keys, or is not what this call asks."""
        return self.refused.includes(payload, *keys) or not self.options.accepted(value)

    def embed_question(self, key: CacheKey) -> Plan[Vector | None]:
        """Return the question's vector; None if only exact matching is allowed or possible."""
        if key.question is None or self.matcher is None:
            return None
        try:
            return (yield from self.executor.embed(key.question))
        except Exception as error:  # noqa: BLE001 - a user's embedder may raise anything
            # A StoreError is of this question alone.
            quiet = not isinstance(error, StoreError)
            self.counters.trouble("embedder: exact matching only", error, quiet=quiet)
            return None

    def drop(self, key: str, reason: object) -> Plan[None]:
        """Remove a damaged entry, and count it."""
        self.counters.trouble("poisoned entry dropped", reason)
        yield from self._remove(key)

    def _remove(self, key: str) -> Plan[None]:
        """Remove an entry; if that fails, the next lookup will skip it again."""
        try:
            yield from self.executor.remove(key)
        except StoreError as error:
            self.counters.trouble("store", error, quiet=True)


def _of_another_embedder(entry: Entry, key: CacheKey) -> bool:
    """Whether the entry was stored again for another embedding model since it was indexed."""
    return entry.scope != key.scope and scope_digest(entry.scope) == scope_digest(key.scope)
