"""Wait for other threads and processes; test what is freed without the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LIMIT = 30.0


def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    limit = time.monotonic() + _LIMIT
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


async def aeventually(condition: Callable[[], object]) -> None:
    """The asynchronous version of `eventually`."""
    limit = time.monotonic() + _LIMIT
    while not condition():
        assert time.monotonic() < limit
        await asyncio.sleep(0.005)


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Turn the garbage collector off, so that objects in reference cycles are not freed."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
