"""Carrying a routed request out: the plan of `serving`, performed with or without an event loop.

Whoever embeds the router says only how one model is called; time, waiting, failures, escalation
and the record are the same everywhere.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from llm_optimizers.effects import Effect, adrive, drive
from llm_optimizers.routing.cascade.checks import Answer
from llm_optimizers.routing.decision import Decision
from llm_optimizers.routing.router import Router
from llm_optimizers.routing.session import CallModel, Course, Pause, Trail, serve
from llm_optimizers.types import ChatRequest

__all__ = ["arun", "run"]

T = TypeVar("T")


def run(
    router: Router,
    decision: Decision,
    request: ChatRequest,
    call: Callable[[CallModel], T],
    *,
    read: Callable[[T], Answer] | None = None,
    deadline_s: float | None = None,
    first_call_id: str | None = None,
) -> T:
    """Answer a request as decided and record it; `read` lets a cascade look into a reply.

    With a deadline every call runs in a thread of its own, and one that does not answer in time
    is left to itself.

    Raises:
        TimeoutError: the deadline passed before any model answered.
        What the last model raised, when all failed.
    """
    course = _course(router, decision, request, read, deadline_s, first_call_id)

    def perform(effect: Effect[Any]) -> Any:
        if isinstance(effect, Pause):
            return time.sleep(effect.seconds)
        assert isinstance(effect, CallModel)
        if effect.timeout_s is None:
            return call(effect)
        return _in_time(call, effect, effect.timeout_s)

    try:
        reply: T = drive(serve(course), perform)
        return reply
    finally:
        router.record(course.trail.record(decision))


async def arun(
    router: Router,
    decision: Decision,
    request: ChatRequest,
    call: Callable[[CallModel], Awaitable[T]],
    *,
    read: Callable[[T], Answer] | None = None,
    deadline_s: float | None = None,
    first_call_id: str | None = None,
) -> T:
    """The asynchronous twin of `run`; a call that takes too long is cancelled."""
    course = _course(router, decision, request, read, deadline_s, first_call_id)

    async def perform(effect: Effect[Any]) -> Any:
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        assert isinstance(effect, CallModel)
        async with asyncio.timeout(effect.timeout_s):
            return await call(effect)

    try:
        reply: T = await adrive(serve(course), perform)
        return reply
    finally:
        router.record(course.trail.record(decision))


def _course(
    router: Router,
    decision: Decision,
    request: ChatRequest,
    read: Callable[[Any], Answer] | None,
    deadline_s: float | None,
    first_call_id: str | None,
) -> Course:
    return Course(
        decision=decision,
        request=request,
        trail=Trail(),
        health=router.health,
        once=router.once,
        clock=router.clock,
        read=read,
        until=None if deadline_s is None else router.clock() + deadline_s,
        first_call_id=first_call_id,
    )


def _in_time(call: Callable[[CallModel], T], effect: CallModel, seconds: float) -> T:
    """The call's reply, or TimeoutError when it is not there in time."""
    reply: Future[T] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result = context.run(call, effect)
        except BaseException as error:  # noqa: BLE001 - raised where the reply is waited for
            reply.set_exception(error)
        else:
            reply.set_result(result)

    threading.Thread(target=work, name=f"routed-{effect.model}", daemon=True).start()
    try:
        return reply.result(timeout=seconds)
    except TimeoutError:
        if reply.done():
            raise
        reply.add_done_callback(_close)
        raise TimeoutError(f"{effect.model} did not answer within {seconds:.1f} s") from None


def _close(reply: Future[Any]) -> None:
    """Close a stream that was opened too late to be read."""
    with suppress(Exception):
        reply.result().close()
