"""Batch price on an ordinary call: OpenAI's flex tier, with the usual tier when it is full.

`service_tier="flex"` halves the price of a call that may take longer
(https://platform.openai.com/docs/guides/flex-processing). When there is no room the answer is an
uncharged 429 "resource unavailable": the call is tried again after a pause, and in the end made
on the tier it would have had.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from llm_optimizers.batching.queue.rules import RetryPolicy
from llm_optimizers.effects import Plan, RunFunction, adrive, aperform, drive, perform

__all__ = ["with_flex"]

Create = TypeVar("Create", bound=Callable[..., Any])

_TIMEOUT = 900.0
"""Seconds; OpenAI advises fifteen minutes instead of its SDK's ten."""


def with_flex(
    create: Create, *, tries: int = 3, base: float = 1.0, rng: random.Random | None = None
) -> Create:
    """`create`, a `client.chat.completions.create` or the like, on the flex tier.

    Tries `tries` times, with growing pauses from `base` seconds or as long as the server asks,
    and then without flex. Works on synchronous and asynchronous clients. The SDK's own retries
    come on top; `client.with_options(max_retries=0)` leaves them out.

        answer = with_flex(client.chat.completions.create)(model=…, messages=…)
    """
    dice = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing

    if inspect.iscoroutinefunction(create):

        async def acreate(**params: Any) -> Any:
            return await adrive(_plan(create, params, tries, base, dice), aperform)

        return cast("Create", acreate)

    def create_flex(**params: Any) -> Any:
        return drive(_plan(create, params, tries, base, dice), perform)

    return cast("Create", create_flex)


def _plan(
    create: Callable[..., Any],
    params: Mapping[str, Any],
    tries: int,
    base: float,
    dice: random.Random,
) -> Plan[Any]:
    flex = partial(create, **{"timeout": _TIMEOUT, **params, "service_tier": "flex"})
    usual = partial(create, **params)
    policy = RetryPolicy(base=base, cap=math.inf)
    for attempt in range(1, tries + 1):
        try:
            return (yield from RunFunction(flex, flex))
        except Exception as error:
            if getattr(error, "status_code", None) != 429:
                raise
            seconds = policy.pause(attempt, error, now=time.time(), rng=dice)
        if attempt < tries:
            yield from RunFunction(partial(time.sleep, seconds), partial(asyncio.sleep, seconds))
    return (yield from RunFunction(usual, usual))
