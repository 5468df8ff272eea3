"""Watch what the cache uses: skip what keeps failing, and announce that it fails or works again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.errors import PoisonedEntryError, StoreError
from llm_optimizers.failures import Outage

__all__ = ["Announced", "watched"]


class _SkippedError(StoreError):
    """What failed a moment ago was not tried."""


class Announced:
    """Announces whether a part of the store works; raises only StoreError for any error of it.

    An unexpected error of a store or of FAISS costs no answer either.
    """

    __slots__ = ("_outage", "_part")

    def __init__(self, outage: Outage, part: str) -> None:
        self._outage = outage
        self._part = part

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        # A damaged entry does not mean that the store failed.
        if kind is None or isinstance(error, PoisonedEntryError):
            self._outage.worked(self._part)
        elif isinstance(error, Exception) and not isinstance(error, _SkippedError):
            failure = error
            if not isinstance(error, StoreError):
                failure = StoreError(f"{kind.__name__} in the cache's store: {error}")
            self._outage.failed(failure, self._part)
            if failure is not error:
                raise failure from error


@contextmanager
def watched(
    breaker: CircuitBreaker,
    name: str,
    *,
    failures: type[Exception],
    harmless: type[Exception],
) -> Iterator[None]:
    """Guard a call with a breaker that opens on `failures`, except on `harmless` ones."""
    if not breaker.allow():
        raise _SkippedError(f"the {name} failed a moment ago and is being skipped for now")
    try:
        yield
    except harmless:
        breaker.succeeded()
        raise
    except failures:
        breaker.failed()
        raise
    breaker.succeeded()
