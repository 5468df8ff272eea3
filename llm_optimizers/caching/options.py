"""How a cache treats one call: a fresh answer, a check before storing, samples of one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from llm_optimizers.arguments import fields, function, optional
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.refusals import (
    GivenAnswer,
    RefusedAnswers,
    Refusing,
    collected_answers,
    digest_of,
)
from llm_optimizers.freshness import fresh_asked_for

__all__ = ["CallOptions", "in_context", "one_batch"]

R = TypeVar("R")

_LARGEST_BATCH = 4096
_KINDS = {"fresh": bool, "batches": tuple}
_batch: ContextVar[set[str] | None] = ContextVar("llm_optimizers_batch", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions(Generic[R]):
    """The options of one call.

    `fresh` skips the lookup and any call in flight; the new answer replaces the stored one.
    `accepts` says whether an answer is what was asked for (its schema accepts it): others are
    neither stored nor served. `on_given` is called with each answer that may have to be refused
    later. `batches` hold the keys of calls that count as made at once with this one: those of the
    same batch (see `one_batch`), or of the same run of a chain.
    """

    fresh: bool = False
    accepts: Callable[[R], bool] | None = None
    on_given: Callable[[GivenAnswer], None] | None = None
    batches: tuple[set[str], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        fields(self, _KINDS)
        optional(function, "accepts", self.accepts)  # a coroutine would count as accepted
        optional(function, "on_given", self.on_given)

    def fresh_for(self, key: CacheKey, refused: RefusedAnswers) -> bool:
        """Whether the model must be asked, and neither the store nor a call in flight.

        A refusal asks for one such call. A sample is never one of the same batch.
        """
        return refused.take(key.exact) or self.fresh or self.called_in_batch(key)

    def called_in_batch(self, key: CacheKey) -> bool:
        """Whether this is a sample, and another one of the same batch is or was being made."""
        return key.sampled and any(key.exact in batch for batch in self.batches)

    def called(self, key: CacheKey) -> None:
        """Note that a sample is being made."""
        for batch in self.batches:
            if len(batch) >= _LARGEST_BATCH:
                # A run that makes so many calls (a service's) does not make them at once.
                batch.clear()
            batch.add(key.exact)

    def accepted(self, value: R) -> bool:
        """Whether the answer is what the call asked for; a check that fails has not accepted it."""
        try:
            return self.accepts is None or self.accepts(value)
        except Exception:  # noqa: BLE001 - a schema's validators may raise anything
            return False

    def report(self, source: Refusing | None, key: CacheKey, entry: str, payload: str) -> None:
        """Report an answer that its caller may refuse later."""
        collected = collected_answers()
        if source is None or (collected is None and self.on_given is None):
            return
        given = GivenAnswer(source=source, key=key.exact, entry=entry, digest=digest_of(payload))
        if collected is not None:
            collected.append(given)
        if self.on_given is not None:
            self.on_given(given)

    @property
    def plain(self) -> bool:
        """Whether a caller has set no option."""
        return (
            not self.fresh and not self.batches and self.accepts is None and self.on_given is None
        )


@contextmanager
def one_batch() -> Iterator[None]:
    """Treat the calls inside the block as made at once, even if threads are too few for that.

    A request for samples (see `sampling`) is then never served an answer from its own batch. A
    batch inside another one is part of it.
    """
    outer = _batch.get()
    token = _batch.set(set() if outer is None else outer)
    try:
        yield
    finally:
        _batch.reset(token)


def in_context(options: CallOptions[R]) -> CallOptions[R]:
    """Return the options with what the running code asks for: a fresh answer, its batch."""
    batch = _batch.get()
    batches = options.batches if batch is None else (*options.batches, batch)
    return replace(options, fresh=options.fresh or fresh_asked_for(), batches=batches)
