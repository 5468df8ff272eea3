"""Close the provider's stream at once when its reader leaves.

LlamaIndex does not close the stream of an SDK that it reads from. OpenAI's and Anthropic's `Stream`
and the generator in it refer to each other, so a stream that is left stays open until the garbage
collector finds it. Until then the provider goes on writing what is billed, and the connection is
taken. And the collector may run in a thread that is just inside the lock of the connection pool:
closing then waits forever for that lock, which is not re-entrant, and so does every later call.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from types import AsyncGeneratorType, CellType, GeneratorType
from typing import Any

from llm_optimizers.effects import closing_async

__all__ = ["aclose_stream", "close_stream"]

_INSIDE = (GeneratorType, AsyncGeneratorType, CellType)
_MOST = 64
"""More objects than that between our stream and the SDK's are no nested generators."""


def close_stream(chunks: object) -> None:
    """Close a generator, and the SDK's stream that it reads."""
    streams = list(_streams_in(chunks))
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
    for stream in streams:
        with suppress(Exception):  # its connection may be broken already
            stream.close()


async def aclose_stream(chunks: AsyncIterator[Any]) -> None:
    """Async version of `close_stream`."""
    streams = list(_streams_in(chunks))
    async with closing_async(chunks):
        pass
    for stream in streams:
        with suppress(Exception):
            closing = stream.close()
            if inspect.isawaitable(closing):
                await closing


def _streams_in(chunks: object) -> Iterator[Any]:
    """Yield the SDK streams that suspended generators read, found through their frames."""
    waiting: list[object] = [chunks]
    for each in waiting:
        if not isinstance(each, _INSIDE) or len(waiting) > _MOST:
            continue
        for held in gc.get_referents(each):
            if isinstance(held, _INSIDE):
                if not any(held is known for known in waiting):
                    waiting.append(held)
            elif hasattr(type(held), "__stream__") and hasattr(held, "response"):
                yield held
