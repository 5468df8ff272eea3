"""Performs many small requests of one event loop iteration as one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["MicroBatcher"]

A = TypeVar("A")
R = TypeVar("R")


class MicroBatcher(Generic[A, R]):
    """Calls `perform` once with all items passed in one iteration of the event loop.

    `perform` returns one result for each item. An error it raises is raised to every caller.
    """

    def __init__(self, perform: Callable[[list[A]], Awaitable[list[R]]]) -> None:
        self._perform = perform
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: A) -> R:
        """Return the result for this item."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._start)
        result: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, result))
        return await result

    def _start(self) -> None:
        task = asyncio.create_task(self._perform_all())
        self._tasks.add(task)  # the loop keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    async def _perform_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            results = await self._perform([item for item, _ in waiting])
        except Exception as error:  # noqa: BLE001 - raised to every waiting caller
            for _, result in waiting:
                if not result.done():
                    result.set_exception(error)
            return
        for (_, result), value in zip(waiting, results, strict=True):
            if not result.done():
                result.set_result(value)
