"""Calls a queue's handler so that nothing it raises or returns can stop the queue."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any, TypeAlias

from llm_optimizers.batching.queue.job import dump_json
from llm_optimizers.errors import ConfigurationError

__all__ = ["Handler", "HandlerCalls"]

Handler: TypeAlias = Callable[[Any], Any]
"""Takes a job's payload and returns its result, both JSON; may be a coroutine function."""


class HandlerCalls:
    """A synchronous handler runs in threads of its own, an asynchronous one in the event loop.

    Neither sees the submitter's context variables.
    """

    def __init__(self, handler: Handler, slots: int) -> None:
        self._handler = handler
        self._is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - an object's __call__ may be async
        )
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="job")

    async def call(self, payload: Any) -> tuple[Any, BaseException | None]:
        """Return the handler's result, or its error.

        An error is returned and not raised: SystemExit would end the event loop, and the handler's
        own CancelledError would look like a cancellation of the job.
        """
        try:
            if self._is_async:
                result = await self._handler(payload)
            else:
                loop = asyncio.get_running_loop()
                result, error = await loop.run_in_executor(
                    self._threads, Context().run, self._in_thread, payload
                )
                if error is not None:
                    return None, error
                if isinstance(result, Awaitable):
                    result = await result
            return _checked(result), None
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return None, error
        except BaseException as error:  # noqa: BLE001 - decided on by the caller, kept with the job
            return None, error

    def close(self) -> None:
        """Start no more calls; those that run are abandoned."""
        self._threads.shutdown(wait=False)

    def _in_thread(self, payload: Any) -> tuple[Any, BaseException | None]:
        try:
            return self._handler(payload), None
        except BaseException as error:  # noqa: BLE001 - as in `call`
            return None, error


def _checked(result: Any) -> Any:
    try:
        dump_json(result, "handler's result")
    except ConfigurationError as error:
        raise ConfigurationError(f"the job ran and was billed, but {error}") from None
    return result
