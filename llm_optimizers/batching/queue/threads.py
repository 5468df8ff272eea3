"""A private event loop in a daemon thread, for callers of any thread and any loop.

Connections live in this one loop, so no caller's loop can be closed under them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from llm_optimizers.errors import ConfigurationError, RefusedError

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """An event loop that runs until `stop`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop; raises RefusedError once it has stopped."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise RefusedError("closed: open a new one to go on") from error

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for it in this thread.

        Raises:
            ConfigurationError: this is the loop's own thread, where waiting would never end.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise ConfigurationError(
                "an asynchronous handler must not wait for its own queue: use asubmit"
            )
        return self.submit(work).result()

    def stop(self) -> None:
        """Cancel what is left, end the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
