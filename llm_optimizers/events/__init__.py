"""Events: what happens inside the package, for logs, metrics, alerts and reports.

    with subscribe(print, HitServed, StoreFailed):
        model.invoke("How do I return boots?")

Every part of the package says here what a person or a program outside may want to know; none of
them writes a warning by itself. The log is one listener: it writes each `Notice` as a warning of
the logger `event.component`, once.

A listener is called at once, in the thread that emitted the event, and must be quick: the model's
call waits for it, and in an event loop the whole loop does. One that may wait (for a server, a
file, a lock) belongs behind a queue: subscribe `queue.SimpleQueue().put` and read it in a thread of
your own. What a listener raises is logged once and goes no further; the listener stays subscribed.

kinds.py     the kinds of events
channel.py   subscribe, emit
log.py       the listener that writes the log
"""

from __future__ import annotations

from llm_optimizers.events import log as _log
from llm_optimizers.events.channel import Subscription, emit, has_listeners, subscribe
from llm_optimizers.events.kinds import (
    Event,
    HitServed,
    ModelUnpriced,
    Notice,
    RecordsLost,
    SampleBought,
    StoreFailed,
    StoreRecovered,
    StrategyReturned,
    StrategyWithdrawn,
    VerdictGiven,
)

__all__ = [
    "Event",
    "HitServed",
    "ModelUnpriced",
    "Notice",
    "RecordsLost",
    "SampleBought",
    "StoreFailed",
    "StoreRecovered",
    "StrategyReturned",
    "StrategyWithdrawn",
    "Subscription",
    "VerdictGiven",
    "emit",
    "has_listeners",
    "subscribe",
]

_log.install()
