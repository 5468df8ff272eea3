"""How a framework calls a router's models, and how the plan's effects are run with it.

Deadlines are kept here: an asynchronous call that takes too long is cancelled; a synchronous one
runs in its own thread, which is abandoned.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from llm_optimizers.costs.context import call_scope
from llm_optimizers.effects import Effect, RunFunction, aperform
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.plan import CallModel, Pause

__all__ = ["CallResult", "Caller", "ReplyReader", "async_effect_runner", "effect_runner"]

R = TypeVar("R")
C = TypeVar("C")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Caller(Protocol[R_co, C]):
    """How a framework calls one of the models; `attempt.model` names it."""

    def ask(self, attempt: CallModel) -> R_co:
        """Return the whole reply."""
        ...

    async def aask(self, attempt: CallModel) -> R_co:
        """Return the whole reply, asynchronously."""
        ...

    def stream(self, attempt: CallModel) -> Iterator[C]:
        """Return the reply in chunks; the model is called when the first one is read."""
        ...

    def astream(self, attempt: CallModel) -> AsyncIterator[C]:
        """Return the reply in chunks, asynchronously."""
        ...

    def mark(self, chunk: C, attempt: CallModel, *, first: bool) -> C:
        """Return the chunk with the metadata that the conversation's next turns read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyReader(Generic[R, C]):
    """How a framework's replies are read.

    `read` gives a cascade's checks the answer, `chunks` splits a reply that had to be checked
    whole into a stream, `text` is a chunk's text, for the partial answer of a broken stream.
    `is_empty` says that a chunk holds nothing of the answer, as the first one of many providers.
    """

    read: Callable[[R], ModelAnswer]
    chunks: Callable[[R], Iterator[C]]
    text: Callable[[C], str]
    is_empty: Callable[[C], bool]


@dataclass(frozen=True, slots=True)
class CallResult(Generic[T]):
    """A model call and what it returned."""

    attempt: CallModel
    value: T


def effect_runner(call: Callable[[CallModel], T]) -> Callable[[Effect[Any]], Any]:
    """Return a function that runs the plan's effects and calls models with `call`."""

    def attempt(effect: CallModel) -> CallResult[T]:
        with call_scope(effect.context):
            return CallResult(effect, call(effect))

    def perform(effect: Effect[Any]) -> Any:
        if isinstance(effect, Pause):
            return time.sleep(effect.seconds)
        if isinstance(effect, RunFunction):
            return effect.function()
        assert isinstance(effect, CallModel)
        return attempt(effect) if effect.timeout_s is None else _call_in_thread(attempt, effect)

    return perform


def async_effect_runner(call: Callable[[CallModel], Any]) -> Callable[[Effect[Any]], Any]:
    """Async version of `effect_runner`."""

    async def perform(effect: Effect[Any]) -> Any:
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        if isinstance(effect, RunFunction):
            return await aperform(effect)
        assert isinstance(effect, CallModel)
        async with asyncio.timeout(effect.timeout_s):
            with call_scope(effect.context):
                return CallResult(effect, await call(effect))

    return perform


def _call_in_thread(
    attempt: Callable[[CallModel], CallResult[T]], effect: CallModel
) -> CallResult[T]:
    """Return the call's result, or raise TimeoutError when it takes longer than `timeout_s`."""
    reply: Future[CallResult[T]] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result = context.run(attempt, effect)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            reply.set_exception(error)
        else:
            reply.set_result(result)

    thread = threading.Thread(target=work, name=f"routed-{effect.model}", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system has no more threads, or the interpreter is ending
        work()  # late is better than never
    try:
        return reply.result(timeout=effect.timeout_s)
    except TimeoutError:
        if reply.done():
            raise
        reply.add_done_callback(_close)
        seconds = f"{effect.timeout_s:.1f}"
        raise TimeoutError(f"{effect.model} did not answer within {seconds} s") from None


def _close(reply: Future[CallResult[Any]]) -> None:
    """Close a stream that was opened too late to be read."""
    with suppress(Exception):
        reply.result().value.close()
