"""Waiting for what happens elsewhere, and seeing what is let go without a garbage collector."""

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
    """The asynchronous twin of `eventually`."""
    limit = time.monotonic() + _LIMIT
    while not condition():
        assert time.monotonic() < limit
        await asyncio.sleep(0.005)


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Keep the garbage collector from finding what hangs together in a circle."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
