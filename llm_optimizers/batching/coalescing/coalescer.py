"""Concurrent callers, from any thread and event loop, share one upstream call per group.

Problems of simpler designs, and how they are avoided here:

- A future bound to one event loop hangs callers of other loops: callers hold a
  `concurrent.futures.Future`, which `acall` wraps for the running loop.
- A cancelled caller breaks its group: it is removed before the call is billed
  (`set_running_or_notify_cancel`), and the call runs in a thread that no cancellation affects.
- The first caller's context variables (with callbacks and token counters) leak into the call: the
  call runs in a context that has only the tenant, the wish for fresh answers and whether the
  callers are held out, and only callers who have these in common share a call.
- An async client fails in a second event loop: the call is synchronous.
- One bad item fails the whole group: the items of a failed group are called separately (see
  `isolate`), and `call` may return an exception for an item.
- Callers wait longer than needed: a full group is sent at once, and a deadline sends it early.
- A forked process waits for threads that only its parent has: it starts new ones.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from llm_optimizers.arguments import function, instance, number, optional, refuse, whole
from llm_optimizers.batching.coalescing.dispatch import Dispatch, GroupCall, Pending, is_item_error
from llm_optimizers.batching.coalescing.grouping import GroupLimits
from llm_optimizers.batching.coalescing.slots import Slots
from llm_optimizers.errors import DeadlineError, RefusedError
from llm_optimizers.forks import renew_in_children
from llm_optimizers.pickling import NotPickled
from llm_optimizers.tenancy import CallerTenant
from llm_optimizers.types import Clock

__all__ = ["Coalescer", "SharedCall"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Coalescer(NotPickled, Generic[Item, Answer]):
    """Groups items of concurrent callers and answers each group with one `call`.

    Args:
        call: takes the items of one group (all with the same key) and returns as many answers in
            the same order. An exception instead of an answer is raised to that caller only, and
            `RetryAlone` calls again for that item only. It runs in a worker thread, never in a
            caller's context.
        limits: when a group is sent.
        max_pending: further callers wait for a slot (backpressure).
        max_calls: concurrent upstream calls; groups fill up while all are busy.
        isolate: whether to call separately for each item of a group that failed with an error.
        clock: monotonic seconds.

    Raises:
        ConfigurationError: an argument is out of range or of another kind.
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
        function("call", call)
        whole("max_calls", max_calls, least=1)
        optional(instance, "limits", limits, GroupLimits)
        function("isolate", isolate)
        self._new_dispatch: Callable[[], Dispatch[Item, Answer]] = lambda: Dispatch(
            call,
            limits=limits or GroupLimits(),
            max_calls=max_calls,
            isolate=isolate,
            clock=clock,
        )
        self._max_pending = max_pending
        self._clock = function("clock", clock)
        self._closed = False
        self.renew()
        renew_in_children(self)

    def call(
        self, item: Item, *, key: Hashable = None, tokens: int = 0, timeout: float | None = None
    ) -> Answer:
        """Answer one item, waiting in this thread.

        Raises:
            DeadlineError: `timeout` seconds passed before the item was sent; nothing was billed.
            TimeoutError: `timeout` passed during the call; the answer is dropped.
            RefusedError: the coalescer is closed.
            Exception: the call's error for this item.
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
        self,
        item: Item,
        *,
        key: Hashable = None,
        tokens: int = 0,
        timeout: float | None = None,
        tenant: CallerTenant | None = None,
    ) -> SharedCall[Item, Answer]:
        """Return a handle of one item's call; it joins a group when submitted or awaited.

        `tenant` is by default that of the running code.

        Raises:
            ConfigurationError: the key cannot be hashed.
        """
        whole("tokens", tokens, least=0)
        optional(number, "timeout", timeout, least=0)
        try:
            hash(key)
        except TypeError:
            refuse("key", key, "a value that can be hashed; equal ones share a call")
        owner = CallerTenant.read() if tenant is None else tenant
        return SharedCall(self, item, key=key, tokens=tokens, timeout=timeout, tenant=owner)

    def submit(
        self, item: Item, *, key: Hashable = None, tokens: int = 0, timeout: float | None = None
    ) -> Future[Answer]:
        """Submit one item; blocks only while `max_pending` others wait, at most `timeout` seconds.

        Cancelling the future before its group is sent costs nothing. With a timeout the group is
        sent early enough to be answered in time; the future itself does not time out.

        Raises:
            DeadlineError: no slot became free in time.
            RefusedError: the coalescer is closed.
        """
        return self.shared(item, key=key, tokens=tokens, timeout=timeout).submit()

    def flush(self) -> None:
        """Send all waiting groups now."""
        self._dispatch.flush()

    @property
    def closed(self) -> bool:
        """Whether the coalescer is closed and refuses callers."""
        return self._closed

    def close(self, timeout: float | None = None) -> None:
        """Answer all waiting callers and refuse later ones; must not be called from `call`.

        Raises:
            TimeoutError: calls were still running after `timeout` seconds. They continue; callers
                whose item was not sent get a RefusedError.
        """
        optional(number, "timeout", timeout, least=0)
        with self._changed:
            self._closed = True
        self._slots.close()
        self._dispatch.flush(drain=True)
        with self._changed:
            drained = self._changed.wait_for(lambda: not self._unanswered, timeout)
        for pending in [] if drained else self._dispatch.withdraw():
            if pending.started or pending.future.set_running_or_notify_cancel():
                pending.future.set_exception(RefusedError("closed before the item was sent"))
        self._dispatch.shutdown(wait=drained)
        if not drained:
            raise TimeoutError(f"calls were still running {timeout} s after close()")

    def __enter__(self) -> Coalescer[Item, Answer]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def renew(self) -> None:
        """Begin without callers; also in a forked child, where the parent's threads are not.

        Callers of the parent wait there, and get their answers there.
        """
        self._dispatch = self._new_dispatch()
        self._slots = Slots(self._max_pending)
        self._changed = threading.Condition()
        self._unanswered: set[Future[Answer]] = set()

    def _enter(
        self, item: Item, key: Hashable, tokens: int, deadline: float | None, tenant: CallerTenant
    ) -> Future[Answer]:
        """Add an item that has a slot to a group."""
        pending: Pending[Item, Answer] = Pending(item=item, key=key, tenant=tenant)
        pending.future.add_done_callback(lambda future: self._done(pending, future))
        try:
            self._wait_for(pending.future)
            self._dispatch.add(pending, tokens=tokens, deadline=deadline)
        except BaseException:
            pending.future.cancel()  # or `close` would wait for it
            raise
        return pending.future

    def _wait_for(self, future: Future[Answer]) -> None:
        """Let `close` wait for this answer too."""
        with self._changed:
            if self._closed:
                raise RefusedError("the coalescer is closed; create a new one")
            self._unanswered.add(future)

    def _done(self, pending: Pending[Item, Answer], future: Future[Answer]) -> None:
        """Free the slot of an item that has an answer or an error, or was cancelled."""
        if future.cancelled():
            self._dispatch.discard(pending)
        with self._changed:
            self._unanswered.discard(future)
            self._changed.notify_all()
        self._slots.release()


class SharedCall(Generic[Item, Answer]):
    """One caller's handle of a shared call.

    It joins a group with `submit`, `result` or `aresult`; `timeout` counts from then.
    """

    def __init__(
        self,
        coalescer: Coalescer[Item, Answer],
        item: Item,
        *,
        key: Hashable,
        tokens: int,
        timeout: float | None,
        tenant: CallerTenant,
    ) -> None:
        self._coalescer = coalescer
        self._tenant = tenant
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
        """Leave the group if its call has not started."""
        if self._future is not None:
            self._future.cancel()

    def result(self) -> Answer:
        """Wait for the answer in this thread; raises what `Coalescer.call` raises."""
        began = time.monotonic()
        future = self.submit()
        left = None if self._timeout is None else self._timeout - (time.monotonic() - began)
        try:
            return future.result(None if left is None else max(0.0, left))
        except TimeoutError as error:
            if future.done() and not future.cancelled():
                return future.result()  # just answered, or the call raised a TimeoutError
            raise _timeout_error(self._timeout, sent=not future.cancel()) from error
        except BaseException:
            future.cancel()
            raise

    async def aresult(self) -> Answer:
        """Wait for the answer in the event loop; raises what `Coalescer.call` raises."""
        deadline = self._deadline()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                if self._future is None:
                    await self._coalescer._slots.acquire_async()
                    self._future = self._join(deadline)
                return await asyncio.wrap_future(self._future)
        except TimeoutError as error:
            if not limit.expired():
                raise  # raised by the call
            sent = self._future is not None and not self._future.cancel()
            raise _timeout_error(self._timeout, sent=sent) from error

    @property
    def in_flight(self) -> bool:
        """Whether it has joined a group and has neither an answer nor left."""
        return self._future is not None and not self._future.done()

    def when_done(self, callback: Callable[[Answer | BaseException], None]) -> None:
        """Pass the answer or error to `callback` once it is known, even if the caller has left.

        Never called for a call that was not made. It runs in the thread that made the call.
        """

        def done(future: Future[Answer]) -> None:
            if not future.cancelled():
                error = future.exception()
                callback(future.result() if error is None else error)

        if self._future is not None:
            self._future.add_done_callback(done)

    def _deadline(self) -> float | None:
        return None if self._timeout is None else self._coalescer._clock() + self._timeout

    def _join(self, deadline: float | None) -> Future[Answer]:
        return self._coalescer._enter(self._item, self._key, self._tokens, deadline, self._tenant)


def _timeout_error(timeout: float | None, *, sent: bool) -> TimeoutError:
    timeout = timeout or 0.0
    if sent:
        return TimeoutError(f"no answer within {timeout:.3g} s; the call was sent and is billed")
    return DeadlineError(f"not sent within {timeout:.3g} s, nothing was billed; allow more time")
