"""Makes the calls of groups: a timer thread sends groups that are due, other threads call.

Calls never run in a caller's thread, event loop or context, so that no caller can affect the call
of the others. Only `CallerTenant` is kept, which all callers of a group have in common.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from llm_optimizers.batching.coalescing.grouping import Grouping, GroupLimits
from llm_optimizers.batching.coalescing.threads import CallThreads
from llm_optimizers.effects import NOT_IN_FUTURES
from llm_optimizers.errors import ItemError, RefusedError
from llm_optimizers.failures import http_status, read_failure
from llm_optimizers.tenancy import CallerTenant
from llm_optimizers.types import Clock

__all__ = ["Dispatch", "GroupCall", "Pending", "RetryAlone", "is_item_error"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_IDLE_SECONDS = 1.0
_ITEM_STATUSES = frozenset({400, 404, 413, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAlone(Generic[Item]):
    """An outcome that asks for a separate call for `item`, which the group's call left open."""

    item: Item


GroupCall: TypeAlias = Callable[[Sequence[Item]], "Sequence[Answer | Exception | RetryAlone[Item]]"]


def is_item_error(error: Exception) -> bool:
    """Whether one item may have caused a group's error, so that separate calls can help.

    True for a refused request (HTTP 400, 404, 413, 422) or a local error. False for a rate limit,
    an outage, a wrong key or a timeout, which separate calls would only multiply.
    """
    status = http_status(error)
    if status is not None:
        return status in _ITEM_STATUSES
    if isinstance(error, OSError | RefusedError):
        return False
    # A reply that cannot be parsed may be one item's.
    return isinstance(error, ValueError) or not read_failure(error, now=0.0).retryable


@dataclass(slots=True, eq=False)
class Pending(Generic[Item, Answer]):
    """One caller's item and future; `started` is True once its call has begun and may be billed.

    Only items with the same `key` and `tenant` are sent together.
    """

    item: Item
    key: Hashable
    tenant: CallerTenant
    future: Future[Answer] = field(default_factory=Future)
    started: bool = False

    @property
    def group(self) -> Hashable:
        """What all items of a group have in common."""
        return self.key, self.tenant


class Dispatch(Generic[Item, Answer]):
    """Sends groups when they are full or due, with at most `max_calls` concurrent calls."""

    def __init__(
        self,
        call: GroupCall[Item, Answer],
        *,
        limits: GroupLimits,
        max_calls: int,
        isolate: Callable[[Exception], bool],
        clock: Clock,
    ) -> None:
        self._call = call
        self._grouping: Grouping[Pending[Item, Answer]] = Grouping(limits)
        self._max_calls = max_calls
        self._isolate = isolate
        self._clock = clock
        self._changed = threading.Condition()
        self._threads = CallThreads("coalescer", idle=_IDLE_SECONDS)
        self._timer: threading.Thread | None = None
        self._stopped = False
        self._calls = 0
        self._typical_seconds = 0.0
        self._draining = False

    def add(
        self, pending: Pending[Item, Answer], *, tokens: int = 0, deadline: float | None = None
    ) -> None:
        """Add an item to a group; its caller wants the answer by `deadline`, on `clock`."""
        with self._changed:
            before, now = self._grouping.next_due(), self._clock()
            self._grouping.add(
                pending,
                key=pending.group,
                now=now,
                tokens=tokens,
                send_by=None if deadline is None else self._send_by(deadline, now),
            )
            if self._draining:
                self._grouping.seal_all()
            due = self._grouping.next_due()
            if due is not None and (before is None or due < before):
                self._wake_timer()
        self._pump()

    def discard(self, pending: Pending[Item, Answer]) -> None:
        """Take a cancelled item out of its group."""
        with self._changed:
            self._grouping.discard(pending, key=pending.group)

    def flush(self, *, drain: bool = False) -> None:
        """Send all waiting groups now; with `drain`, also send later items at once."""
        with self._changed:
            self._draining = self._draining or drain
            self._grouping.seal_all()
        self._pump()

    def withdraw(self) -> list[Pending[Item, Answer]]:
        """Remove and return all items whose call has not started."""
        withdrawn: list[Pending[Item, Answer]] = []
        with self._changed:
            self._grouping.seal_all()
            while group := self._grouping.take(self._clock()):
                withdrawn.extend(group)
        return withdrawn

    def shutdown(self, *, wait: bool) -> None:
        """Stop the threads; running calls are finished."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            timer = self._timer
        if wait and timer is not None and timer is not threading.current_thread():
            timer.join()
        self._threads.close(wait=wait)

    def _send_by(self, deadline: float, now: float) -> float:
        """Return when to send: 1.5 typical call times before `deadline`, or halfway if earlier."""
        return deadline - max(1.5 * self._typical_seconds, (deadline - now) / 2)

    def _wake_timer(self) -> None:
        if self._timer is not None and self._timer.is_alive():
            self._changed.notify_all()
            return
        timer = threading.Thread(target=self._watch, name="coalescer-timer", daemon=True)
        try:
            timer.start()
        except RuntimeError:  # the system has no more threads, or the interpreter is ending
            self._grouping.seal_all()  # nothing could send the groups later
        else:
            self._timer = timer

    def _watch(self) -> None:
        """Send groups when they are due; the thread ends after some idle seconds."""
        while True:
            self._pump()
            with self._changed:
                due = self._grouping.next_due()
                if due is None:
                    self._changed.wait_for(self._needs_timer, _IDLE_SECONDS)
                    if self._grouping.next_due() is None:
                        self._timer = None
                        return
                elif self._calls >= self._max_calls:
                    self._changed.wait()
                else:
                    self._changed.wait(max(0.0, due - self._clock()))

    def _needs_timer(self) -> bool:
        return self._stopped or self._grouping.next_due() is not None

    def _pump(self) -> None:
        """Start as many calls as `max_calls` allows."""
        while True:
            with self._changed:
                if self._calls >= self._max_calls:
                    return
                taken = self._grouping.take(self._clock())
                if not taken:
                    return
                group = [p for p in taken if p.started or p.future.set_running_or_notify_cancel()]
                for pending in group:
                    pending.started = True
                self._calls += bool(group)
            if group:
                self._start(group)

    def _start(self, group: list[Pending[Item, Answer]]) -> None:
        try:
            self._threads.submit(partial(self._send, group))
        except RuntimeError as error:  # as in `_wake_timer`
            self._finished(0.0)
            for pending in group:
                pending.future.set_exception(RefusedError(f"no call could be started: {error}"))

    def _send(self, group: list[Pending[Item, Answer]]) -> None:
        began = self._clock()
        try:
            outcomes = self._outcomes(group)
        finally:
            self._finished(self._clock() - began)
        again: list[Pending[Item, Answer]] = []
        for pending, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, RetryAlone):
                pending.item = outcome.item
                again.append(pending)
            elif isinstance(outcome, Exception):
                pending.future.set_exception(_copied(outcome))
            else:
                pending.future.set_result(outcome)
        with self._changed:
            for pending in again:
                self._grouping.add_alone(pending)
        self._pump()

    def _outcomes(
        self, group: Sequence[Pending[Item, Answer]]
    ) -> list[Answer | Exception | RetryAlone[Item]]:
        """Make the call and return as many outcomes as items, even if it fails."""
        try:
            call = partial(self._call, [pending.item for pending in group])
            answers = list(group[0].tenant.run(call))
        except Exception as error:  # noqa: BLE001 - it is raised again to each caller
            if len(group) > 1 and self._may_isolate(error):
                return [RetryAlone(item=pending.item) for pending in group]
            return [error for _ in group]
        except BaseException as error:  # noqa: BLE001 - nothing catches it in a pool thread
            return [ItemError(f"the call was stopped: {type(error).__name__}") for _ in group]
        missing = ItemError(f"the call answered {len(answers)} of {len(group)} items")
        return [*answers[: len(group)], *(missing for _ in group[len(answers) :])]

    def _may_isolate(self, error: Exception) -> bool:
        try:
            return self._isolate(error)
        except Exception:  # noqa: BLE001 - an error of any class, with attributes that raise
            return False

    def _finished(self, seconds: float) -> None:
        with self._changed:
            self._calls -= 1
            self._typical_seconds += 0.2 * (seconds - self._typical_seconds)
            self._changed.notify_all()


def _copied(error: Exception) -> Exception:
    """Copy the error for one caller, so that tracebacks of many threads do not pile up on it.

    Some exceptions cannot be copied, and botocore's become those of a base class. They are shared,
    which is harmless. What an event loop cannot pass on becomes another error.
    """
    if isinstance(error, NOT_IN_FUTURES):
        stopped = ItemError(f"the call was stopped: {type(error).__name__}")
        stopped.__cause__ = error
        return stopped
    try:
        copied = copy.copy(error)
    except Exception:  # noqa: BLE001 - whatever the class of an error raises
        return error
    if type(copied) is not type(error):
        return error
    copied.__cause__, copied.__context__ = error.__cause__, error.__context__
    copied.__suppress_context__ = error.__suppress_context__
    return copied
