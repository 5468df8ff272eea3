"""Find the coroutine of a running call, which is freed as soon as the call is over.

LangChain reports no end for a call that is cancelled in `agenerate`. The call's other objects may
live longer: a trace holds the run's id, and the traceback of an error holds the frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel

__all__ = ["when_running"]

_METHOD = BaseChatModel.agenerate.__name__


def when_running(act: Callable[[object | None, bool], None]) -> None:
    """Call `act` with the coroutine in which this task waits for the model, if it is in one.

    It is called once the task waits there, and also gets whether the call was cancelled before the
    model's own task began: then nothing was sent. Without an event loop it is not called.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return
    if task is not None:
        cancelled = task.cancelling()
        task.get_loop().call_soon(lambda: act(_coroutine_in(task), task.cancelling() > cancelled))


def _coroutine_in(task: asyncio.Task[Any]) -> object | None:
    running: Any = task.get_coro()
    found = None
    while running is not None:
        if getattr(getattr(running, "cr_code", None), "co_name", None) == _METHOD:
            found = running  # of a wrapper and the model in it, the model's
        running = getattr(running, "cr_await", None)
    return found
