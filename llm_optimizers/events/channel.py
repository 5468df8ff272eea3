"""Who listens to which events, and how an event reaches them.

One channel for the whole process. It holds its listeners until their subscriptions are closed. A
forked child keeps them; a spawned process, which imports everything again, has the log alone.
"""

from __future__ import annotations

import inspect
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Self, TypeAlias, TypeVar, overload

from llm_optimizers.arguments import function, refuse
from llm_optimizers.events.kinds import Event, Notice
from llm_optimizers.forks import ProcessLock

__all__ = ["Subscription", "emit", "has_listeners", "subscribe"]

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Event)
G = TypeVar("G", bound=Event)
_Listener: TypeAlias = Callable[[Any], object]
_SLOW_S = 0.25
"""Seconds of one call after which a listener is reported as slow."""
_COMPONENT = "llm_optimizers.events"


class Subscription:
    """A listener and what it listens to, until `close`; also as a `with` block."""

    def __init__(self, listener: _Listener, kinds: tuple[type[Event], ...]) -> None:
        self.kinds = kinds
        self._listener = listener
        self._closed = False
        self._reported = False

    def close(self) -> None:
        """Stop listening; the listener is not called again, also not for an event on its way."""
        self._closed = True
        _change(lambda known: tuple(each for each in known if each is not self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def deliver(self, event: Event) -> None:
        """Call the listener, unless it is the one whose call, in this thread, emitted the event.

        What ends the process or the thread, such as KeyboardInterrupt, is passed on.
        """
        calling = _calling()
        if self._closed or self in calling:
            return
        calling.add(self)
        began = time.perf_counter()
        try:
            result = self._listener(event)
            if inspect.iscoroutine(result):
                result.close()
                self._report("is an async function and was not run; give one that is not async")
        # A listener awaits nothing, so a cancellation is its own error, and none of its caller.
        except (Exception, CancelledError) as error:  # noqa: BLE001 - it is the user's own code
            self._report(f"failed ({type(error).__name__}) and stays subscribed")
        finally:
            calling.discard(self)
        took = time.perf_counter() - began
        if took > _SLOW_S:
            self._report(
                f"took {took:.1f} s, for which the calls of models wait; put a queue between: "
                "subscribe queue.SimpleQueue().put and read it in a thread"
            )

    def _report(self, what: str) -> None:
        with _changing:
            if self._reported:
                return
            self._reported = True
        name = getattr(self._listener, "__qualname__", type(self._listener).__qualname__)
        emit(Notice(component=_COMPONENT, message=f"the listener {name} {what} (logged once)"))


class _Listeners:
    """An unchanging set of subscriptions, and those of each kind that was asked for."""

    __slots__ = ("_by_kind", "all")

    def __init__(self, subscriptions: tuple[Subscription, ...]) -> None:
        self.all = subscriptions
        self._by_kind: dict[type, tuple[Subscription, ...]] = {}

    def of(self, kind: type) -> tuple[Subscription, ...]:
        found = self._by_kind.get(kind)
        if found is None:
            found = tuple(each for each in self.all if issubclass(kind, each.kinds))
            self._by_kind[kind] = found
        return found


_listeners = _Listeners(())
_changing = ProcessLock()
_local = threading.local()


def _calling() -> set[Subscription]:
    """Return the subscriptions whose listeners this thread is calling."""
    calling: set[Subscription] = _local.__dict__.setdefault("calling", set())
    return calling


def _change(change: Callable[[tuple[Subscription, ...]], tuple[Subscription, ...]]) -> None:
    # A new object each time: code that iterates over the old one needs no lock.
    global _listeners
    with _changing:
        _listeners = _Listeners(change(_listeners.all))


@overload
def subscribe(listener: Callable[[Event], object]) -> Subscription: ...


@overload
def subscribe(listener: Callable[[E], object], kind: type[E], /) -> Subscription: ...


@overload
def subscribe(
    listener: Callable[[E | F], object], kind: type[E], other: type[F], /
) -> Subscription: ...


@overload
def subscribe(
    listener: Callable[[E | F | G], object], kind: type[E], other: type[F], third: type[G], /
) -> Subscription: ...


@overload
def subscribe(
    listener: Callable[[E], object],
    kind: type[E],
    other: type[E],
    third: type[E],
    /,
    *kinds: type[E],
) -> Subscription: ...


def subscribe(listener: Callable[[Any], object], *kinds: type[Event]) -> Subscription:
    """Call `listener` with every event of these kinds and of those below them; of all, if none.

    It is called at once, in the thread that emits the event, by several threads at a time, and must
    be quick. Subscribed twice, it is called twice. An event that it causes itself is not given to
    it again.

    Raises:
        ConfigurationError: it is no function, or an async one, or a kind is no class of events.
    """
    function("listener", listener)
    given: tuple[object, ...] = kinds
    for kind in given:
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            refuse("kinds", kind, "classes of events, such as HitServed")
    added = Subscription(listener, kinds or (Event,))
    _change(lambda known: (*known, added))
    return added


def emit(event: Event) -> None:
    """Give an event to those who listen to its kind. Never raises, and waits for nothing itself."""
    try:
        for each in _listeners.of(type(event)):
            each.deliver(event)
    except Exception:  # noqa: BLE001, S110 - such as no room left on the stack
        pass


def has_listeners(kind: type[Event]) -> bool:
    """Whether anyone listens to a kind; an event that nobody hears need not be made."""
    return bool(_listeners.of(kind))
