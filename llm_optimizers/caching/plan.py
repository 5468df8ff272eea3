"""The steps of a cached call and a write, as plans (see `effects`).

    lookup → miss → single flight → model call → cacheability → stored

Nothing here blocks: the executor turns what may block into effects. Every failure of the store,
index or embedder is caught here or in `lookups`, so the user always gets an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from llm_optimizers.caching.answers import CacheResult, Hit
from llm_optimizers.caching.answers.hits import announce_hit
from llm_optimizers.caching.answers.ids import ids_of_hit
from llm_optimizers.caching.in_flight.single_flight import InFlightCall, SingleFlight
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.lookups import Found, Lookup, LookupPlans
from llm_optimizers.caching.ownership import MAX_PAYLOAD, reason_not_to_use
from llm_optimizers.caching.refusals import GivenAnswer, HeldAnswers, digest_of, held_answers
from llm_optimizers.caching.stores.protocol import Entry
from llm_optimizers.effects import Effect, Plan
from llm_optimizers.errors import PoisonedEntryError, StoreError

__all__ = ["CachePlans", "Lookup", "MakeCall"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class MakeCall(Effect[R], Generic[R]):
    """Call the model: the one effect that the adapter performs, as a stream if it wants.

    `leader` is the call in flight that others may wait for; a stream notes its pauses there.
    """

    leader: InFlightCall[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlans(LookupPlans[R]):
    """The plans of one cache."""

    single_flight: SingleFlight[str]

    def answer(self, key: CacheKey) -> Plan[CacheResult[R]]:
        """Serve the key from the store, from another caller's call in flight, or by a call."""
        result = yield from self._answer(key)
        if result.hit is not None:
            announce_hit(result.hit)
        return result

    def _answer(self, key: CacheKey) -> Plan[CacheResult[R]]:
        if self.options.fresh_for(key, self.refused):
            value, _ = yield from self._call_model(key, None)
            return CacheResult(value=value, hit=None)
        completed_before = self.single_flight.completed
        found = yield from self.find(key)
        if found.hit is not None and not self.options.called_in_batch(key):
            return CacheResult(value=found.hit.value, hit=found.hit)
        if key.sampled:
            self.options.called(key)
            value, _ = yield from self._call_model(key, found)
            return CacheResult(value=value, hit=None)
        call = self.single_flight.join(key.in_flight)
        while not call.leading:
            shared = yield from self._wait_for_leader(key, call)
            if shared is not None:
                return CacheResult(value=shared.value, hit=shared)
            if not call.stalled:
                value, _ = yield from self._call_model(key, found)
                return CacheResult(value=value, hit=None)
            call = self.single_flight.join(key.in_flight, call)
        return (yield from self._lead(key, found, call, completed_before))

    def _lead(
        self, key: CacheKey, found: Lookup[R], call: InFlightCall[str], completed_before: int
    ) -> Plan[CacheResult[R]]:
        """Make the call for all who wait for it, unless its answer was stored since the lookup."""
        payload, given_up, held = None, False, None
        try:
            if self.single_flight.completed != completed_before:
                since = yield from self._find_stored_since(key)
                if since is not None:
                    payload = since.payload
                    return CacheResult(value=since.hit.value, hit=since.hit)
            value, payload = yield from self._call_model(key, found, call)
            held = held_answers()
        except BaseException as error:
            given_up = not isinstance(error, Exception)
            raise
        finally:
            if held is None or payload is None:
                self.single_flight.complete(key.in_flight, call, payload, given_up=given_up)
            else:
                self._complete_later(key, call, payload, held)
        return CacheResult(value=value, hit=None)

    def _complete_later(
        self, key: CacheKey, call: InFlightCall[str], payload: str, held: HeldAnswers
    ) -> None:
        """Share an answer once its caller accepts it; waiters wait only as for a slow reader."""
        call.pause()
        held.tell(
            lambda accepted: self.single_flight.complete(
                key.in_flight, call, payload if accepted else None
            )
        )

    def keep(
        self,
        key: CacheKey,
        value: R,
        found: Lookup[R] | None = None,
        asked: float | None = None,
    ) -> Plan[str | None]:
        """Store an answer if it is cacheable; return its text if other callers may share it.

        `asked` is when the model was asked: an answer to a later call stays stored. A store that
        fails is counted and otherwise ignored.
        """
        try:
            cacheability = self.codec.cacheability(value)
            reason = reason_not_to_use(cacheability, key)
            if reason is not None:
                self.counters.trouble("not admitted", reason, quiet=True)
                return None
            if not self.options.accepted(value):
                self.counters.trouble("not admitted", "its schema refused it", quiet=True)
                return None
            payload = self.codec.encode(value)
            if len(payload) > MAX_PAYLOAD:
                self.counters.trouble("not admitted", "too long", quiet=True)
                return None
        except Exception as error:  # noqa: BLE001 - the caller gets any answer, stored or not
            self.counters.trouble("answer cannot be stored", error)
            return None
        self.refused.given_again(key.exact, payload)
        vector = found.vector if found is not None else (yield from self.embed_question(key))
        now = self.clock()
        entry = Entry(
            key=key.exact,
            normalised=key.normalised,
            scope=key.scope,
            tenant=key.tenant,
            question=key.question if key.asked is None else key.asked,
            payload=payload,
            vector=vector,
            created=now,
            expires=None if self.ttl is None else now + self.ttl,
            model=cacheability.model,
            usage=cacheability.usage,
            cost=cacheability.cost,
            estimated=cacheability.estimated,
        )
        held = held_answers()
        if held is None:
            yield from self._save(entry, asked)
        else:
            held.hold(partial(self._save, entry, asked))
        self.options.report(self.source, key, key.exact, payload)
        return payload

    def _save(self, entry: Entry, asked: float | None) -> Plan[None]:
        try:
            saved = yield from self.executor.save(entry, asked)
        except StoreError as error:
            self.counters.trouble("store", error, quiet=True)
        else:
            if saved:
                self.counters.stored()

    def remove_refused(self, answer: GivenAnswer) -> Plan[None]:
        """Remove a refused answer's entry, unless another answer has replaced it."""
        try:
            yield from self.executor.remove(
                answer.entry, only_if=lambda entry: digest_of(entry.payload) == answer.digest
            )
        except PoisonedEntryError as error:
            yield from self.drop(error.key, error)
        except StoreError as error:
            self.counters.trouble("store", error, quiet=True)

    def _call_model(
        self, key: CacheKey, found: Lookup[R] | None, leader: InFlightCall[str] | None = None
    ) -> Plan[tuple[R, str | None]]:
        """Call the model; return its answer, and its text if other callers may share it."""
        self.counters.miss()
        asked, saves = self.clock(), self.executor.saves
        value: R = yield MakeCall(leader)
        alone = self.executor.saves == saves
        payload = yield from self.keep(key, value, found, None if alone else asked)
        return value, payload

    def _wait_for_leader(self, key: CacheKey, call: InFlightCall[str]) -> Plan[Hit[R] | None]:
        """Return the answer of the call in flight; None if it brings none in time."""
        payload = yield from self.executor.wait_for(call)
        if payload is None:
            if call.timed_out:
                self.single_flight.forget(key.in_flight, call)
            return None
        ids = ids_of_hit(same=True, keeps_ids=key.keeps_ids, age=0.0)
        try:
            value, cacheability = self.decode(key, payload, ids)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be decoded is not shared
            self.counters.trouble("answer cannot be stored", error)
            return None
        if self.refuses(payload, value, key.exact):
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
            cost=cacheability.cost,
            estimated=cacheability.estimated,
            age=0.0,
        )

    def _find_stored_since(self, key: CacheKey) -> Plan[Found[R] | None]:
        """Return an answer stored after our lookup and before we became the leader."""
        try:
            return (yield from self.find_exact(key))
        except StoreError as error:
            self.counters.trouble("store", error, quiet=True)
            return None
