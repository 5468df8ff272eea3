"""The stream of a call that others wait for: it notes whether its reader or its provider is slow.

Classes instead of generators, since closing one must only close the stream inside it (see
`effects.closing_async`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, TypeVar

from llm_optimizers.caching.in_flight.single_flight import InFlightCall

__all__ = ["AsyncPacedStream", "PacedStream", "apaced", "paced"]

C = TypeVar("C")


class PacedStream(Generic[C]):
    """The chunks of a leader's stream; from each chunk to the next request the call is paused."""

    def __init__(self, chunks: Iterator[C], call: InFlightCall[Any]) -> None:
        self._chunks = iter(chunks)
        self._call = call

    def __iter__(self) -> Iterator[C]:
        return self

    def __next__(self) -> C:
        self._call.resume()
        chunk = next(self._chunks)
        self._call.pause()
        return chunk

    def close(self) -> None:
        """Close the stream, if it can be closed."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


class AsyncPacedStream(Generic[C]):
    """Async version of `PacedStream`."""

    def __init__(self, chunks: AsyncIterator[C], call: InFlightCall[Any]) -> None:
        self._chunks = aiter(chunks)
        self._call = call

    def __aiter__(self) -> AsyncIterator[C]:
        return self

    async def __anext__(self) -> C:
        self._call.resume()
        chunk = await anext(self._chunks)
        self._call.pause()
        return chunk

    async def aclose(self) -> None:
        """Close the stream, if it can be closed."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


def paced(chunks: Iterator[C], call: InFlightCall[Any] | None) -> Iterator[C]:
    """Return the stream of a call that others may wait for; any other stream as it is."""
    return chunks if call is None else PacedStream(chunks, call)


def apaced(chunks: AsyncIterator[C], call: InFlightCall[Any] | None) -> AsyncIterator[C]:
    """Async version of `paced`."""
    return chunks if call is None else AsyncPacedStream(chunks, call)
