"""Concurrent callers, few calls: any thread, any event loop, one upstream call a group.

What goes wrong in the usual sketch, and what is done here instead:

- Futures bound to one event loop leave callers of the others hanging: callers hold a
  `concurrent.futures.Future`, which `acall` wraps in the loop it runs in.
- A cancelled caller breaks the group: it is dropped before it is paid
  (`set_running_or_notify_cancel`), and nobody's cancellation touches the call of the others,
  which runs in a thread of its own.
- The first caller's contextvars (and with them callbacks and token counts) leak into the call: it
  runs in an empty context.
- An async client used from a second loop dies: the call is the synchronous one.
- One bad item fails everybody: a failed group is asked again item by item (see `isolate`), and
  `call` may return an exception in an item's place.
- Waiting out the timer: a group goes when it is full, and a deadline pulls it forward.
- A forked process waits for threads that only its parent has: it starts with new ones.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from llm_optimizers.batching.coalescing.dispatch import Dispatch, GroupCall, Pending, is_item_error
from llm_optimizers.batching.coalescing.grouping import GroupLimits
from llm_optimizers.batching.coalescing.slots import Slots
from llm_optimizers.errors import DeadlineError, RefusedError
from llm_optimizers.types import Clock

__all__ = ["Coalescer", "SharedCall"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_OPEN: WeakSet[Coalescer[Any, Any]] = WeakSet()


class Coalescer(Generic[Item, Answer]):
    """Gathers items of concurrent callers and answers a group of them with one `call`.

    Args:
        call: takes the items of one group (all of one key) and returns as many answers in the
            same order; an exception in place of an answer is raised to that caller alone, and
            `RetryAlone` asks for one item again by itself. It runs in a worker thread, never in a
            caller's context.
        limits: when a group is sent.
        max_pending: callers beyond this many wait for a place (backpressure).
        max_calls: upstream calls at the same time; groups fill up while all are busy.
        isolate: whether a failed group is to be asked again item by item.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        call: GroupCall[Item, Answer],
        *,
        limits: GroupLimits | None = None,
        max_pending: int = 1_000,
        max_calls: int = 8,
        isolate: Callable[[Exception], bool] = is_item_error,
        clock: Clock = time.monotonic,
    ) -> None:
        self._new_dispatch: Callable[[], Dispatch[Item, Answer]] = lambda: Dispatch(
            call,
            limits=limits or GroupLimits(),
            max_calls=max_calls,
            isolate=isolate,
            clock=clock,
        )
        self._max_pending = max_pending
        self._clock = clock
        self._closed = False
        self._start()
        _OPEN.add(self)

    def call(
        self, item: Item, *, key: Hashable = None, tokens: int = 0, timeout: float | None = None
    ) -> Answer:
        """Answer one item, waiting in this thread.

        Raises:
            DeadlineError: `timeout` seconds passed and nothing was paid for the item.
            TimeoutError: `timeout` passed while its call was under way; the answer is dropped.
            RefusedError: the coalescer is closed.
            Exception: whatever the call raised for this item.
        """
        return self.shared(item, key=key, tokens=tokens, timeout=timeout).result()

    async def acall(
        self,
        item: Item,
        *,
        key: Hashable = None,
        tokens: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109 - it also decides when a group is sent
    ) -> Answer:
        """Answer one item without blocking the event loop; raises what `call` raises."""
        return await self.shared(item, key=key, tokens=tokens, timeout=timeout).aresult()

    def shared(
        self, item: Item, *, key: Hashable = None, tokens: int = 0, timeout: float | None = None
    ) -> SharedCall[Item, Answer]:
        """One item's call, which joins a group once somebody submits it or waits for it."""
        return SharedCall(self, item, key=key, tokens=tokens, timeout=timeout)

    def submit(
        self, item: Item, *, key: Hashable = None, tokens: int = 0, timeout: float | None = None
    ) -> Future[Answer]:
        """Hand in one item; blocks only while `max_pending` others wait, at most `timeout` s.

        Cancelling the future before its group is sent costs nothing. With a timeout the group is
        sent early enough to be answered in time; enforcing it is up to who waits.

        Raises:
            DeadlineError: no place came free in time.
            RefusedError: the coalescer is closed.
        """
        return self.shared(item, key=key, tokens=tokens, timeout=timeout).submit()

    def flush(self) -> None:
        """Send what is waiting now instead of at its time."""
        self._dispatch.flush()

    @property
    def closed(self) -> bool:
        """Whether callers are refused."""
        return self._closed

    def close(self, timeout: float | None = None) -> None:
        """Answer everybody who is waiting, then refuse; never call it from inside `call`.

        Raises:
            TimeoutError: calls were still under way after `timeout` seconds; they go on, and
                callers whose item had not been sent get a RefusedError.
        """
        with self._changed:
            self._closed = True
        self._slots.close()
        self._dispatch.flush(drain=True)
        with self._changed:
            drained = self._changed.wait_for(lambda: self._pending == 0, timeout)
        for pending in [] if drained else self._dispatch.withdraw():
            if pending.started or pending.future.set_running_or_notify_cancel():
                pending.future.set_exception(RefusedError("closed before the item was sent"))
        self._dispatch.shutdown(wait=drained)
        if not drained:
            raise TimeoutError(f"calls were still under way {timeout} s after close()")

    def __enter__(self) -> Coalescer[Item, Answer]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        """Start with no callers waiting, at first and in a forked process: that has neither its
        parent's threads nor their callers, and locks may be held by threads it does not have.
        """
        self._dispatch = self._new_dispatch()
        self._slots = Slots(self._max_pending)
        self._changed = threading.Condition()
        self._pending = 0

    def _enter(
        self, item: Item, key: Hashable, tokens: int, deadline: float | None
    ) -> Future[Answer]:
        """Group an item that has a place."""
        pending: Pending[Item, Answer] = Pending(item=item, key=key)
        with self._changed:
            closed = self._closed
            self._pending += not closed
        if closed:
            self._slots.release()
            raise RefusedError("closed: no more requests are taken; make a new one to go on")
        pending.future.add_done_callback(lambda future: self._settled(pending, future))
        self._dispatch.add(pending, tokens=tokens, deadline=deadline)
        return pending.future

    def _settled(self, pending: Pending[Item, Answer], future: Future[Answer]) -> None:
        """Free the place of an item that has its answer or its error, or was cancelled."""
        if future.cancelled():
            self._dispatch.discard(pending)
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()
        self._slots.release()


class SharedCall(Generic[Item, Answer]):
    """One caller's end of a call that others share.

    Nothing joins a group before `submit`, `result` or `aresult`. `timeout` counts from the waiting.
    """

    def __init__(
        self,
        coalescer: Coalescer[Item, Answer],
        item: Item,
        *,
        key: Hashable,
        tokens: int,
        timeout: float | None,
    ) -> None:
        self._coalescer = coalescer
        self._item = item
        self._key = key
        self._tokens = tokens
        self._timeout = timeout
        self._future: Future[Answer] | None = None

    def submit(self) -> Future[Answer]:
        """Join a group now; see `Coalescer.submit`."""
        if self._future is None:
            deadline = self._deadline()
            self._coalescer._slots.acquire(self._timeout)
            self._future = self._join(deadline)
        return self._future

    def cancel(self) -> None:
        """Leave the group, if its call has not been made."""
        if self._future is not None:
            self._future.cancel()

    def result(self) -> Answer:
        """The answer, waiting in this thread; raises what `Coalescer.call` raises."""
        began = time.monotonic()
        future = self.submit()
        left = None if self._timeout is None else self._timeout - (time.monotonic() - began)
        try:
            return future.result(None if left is None else max(0.0, left))
        except TimeoutError as error:
            if future.done() and not future.cancelled():
                return future.result()  # answered at the last moment, or its own TimeoutError
            raise _late(self._timeout, paid=not future.cancel()) from error
        except BaseException:
            future.cancel()
            raise

    async def aresult(self) -> Answer:
        """The answer, without blocking the event loop; raises what `Coalescer.call` raises."""
        deadline = self._deadline()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                if self._future is None:
                    await self._coalescer._slots.acquire_async()
                    self._future = self._join(deadline)
                return await asyncio.wrap_future(self._future)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the call's own
            paid = self._future is not None and not self._future.cancel()
            raise _late(self._timeout, paid=paid) from error

    @property
    def in_flight(self) -> bool:
        """Whether a group was joined, and neither answered nor left."""
        return self._future is not None and not self._future.done()

    def when_done(self, callback: Callable[[Answer | BaseException], None]) -> None:
        """Pass the answer or the error to `callback` once it is known, even if the caller was
        cancelled; never for a call that was not made. It runs in the thread that made the call.
        """

        def settled(future: Future[Answer]) -> None:
            if not future.cancelled():
                error = future.exception()
                callback(future.result() if error is None else error)

        if self._future is not None:
            self._future.add_done_callback(settled)

    def _deadline(self) -> float | None:
        return None if self._timeout is None else self._coalescer._clock() + self._timeout

    def _join(self, deadline: float | None) -> Future[Answer]:
        return self._coalescer._enter(self._item, self._key, self._tokens, deadline)


def _late(timeout: float | None, *, paid: bool) -> TimeoutError:
    timeout = timeout or 0.0
    if paid:
        return TimeoutError(f"no answer within {timeout:.3g} s; the call was under way and is paid")
    return DeadlineError(f"not sent within {timeout:.3g} s, so nothing was paid; allow more time")


def _restart_all() -> None:
    for coalescer in list(_OPEN):
        coalescer._start()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_restart_all)
