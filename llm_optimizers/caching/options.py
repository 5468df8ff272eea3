"""How a cache treats one call: a fresh answer, a check before storing, samples of one batch.

A regenerate button asks for a fresh answer:

    with fresh_answers():
        chain.invoke(...)

As with `tenant`, a stream belongs to the code that starts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from llm_optimizers.caching.refusals import GivenAnswer

__all__ = ["CallOptions", "current_batch", "fresh_answers", "fresh_asked_for", "one_batch"]

R = TypeVar("R")

_fresh: ContextVar[bool] = ContextVar("llm_optimizers_fresh", default=False)
_batch: ContextVar[set[str] | None] = ContextVar("llm_optimizers_batch", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions(Generic[R]):
    """The options of one call.

    `fresh` skips the lookup and any call in flight; the new answer replaces the stored one.
    `accepts` says whether an answer is what was asked for (its schema accepts it): others are
    neither stored nor served. `on_given` is called with each answer that may have to be refused
    later. `batch` holds the keys that were called in the same batch (see `one_batch`).
    """

    fresh: bool = False
    accepts: Callable[[R], bool] | None = None
    on_given: Callable[[GivenAnswer], None] | None = None
    batch: set[str] | None = field(default=None, compare=False)

    @property
    def plain(self) -> bool:
        """Whether a caller has set no option."""
        return not self.fresh and self.accepts is None and self.on_given is None


@contextmanager
def fresh_answers(wanted: Any = True) -> Iterator[None]:
    """Answer the calls inside the block by the model; their answers replace the stored ones.

    `fresh_answers(False)` inside such a block lets the cache answer again.
    """
    token = _fresh.set(bool(wanted))
    try:
        yield
    finally:
        _fresh.reset(token)


def fresh_asked_for() -> bool:
    """Return whether the running code is inside `fresh_answers()`."""
    return _fresh.get()


@contextmanager
def one_batch() -> Iterator[None]:
    """Treat the calls inside the block as made at once, even if threads are too few for that.

    A request for samples (see `sampling`) is then never served an answer from its own batch.
    """
    token = _batch.set(set())
    try:
        yield
    finally:
        _batch.reset(token)


def current_batch() -> set[str] | None:
    """Return the keys called so far in the running batch, None outside `one_batch()`."""
    return _batch.get()
