"""Batch price on an ordinary call: OpenAI's flex tier, with a fallback when it is full.

`service_tier="flex"` halves the price of a call that may take longer
(https://platform.openai.com/docs/guides/flex-processing). If there is no capacity, the response is
an uncharged 429 "resource unavailable". The call is retried after a pause, and in the end made
without flex.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from llm_optimizers.arguments import instance, number, optional, refuse, whole
from llm_optimizers.batching.queue.rules import LONGEST_PAUSE, RetryPolicy
from llm_optimizers.effects import Plan, RunFunction, adrive, aperform, drive, perform
from llm_optimizers.failures import http_status

__all__ = ["with_flex"]

Create = TypeVar("Create", bound=Callable[..., Any])

_TIMEOUT = 900.0
"""Seconds; OpenAI recommends 15 minutes instead of the SDK's default of 10."""


def with_flex(
    create: Create, *, tries: int = 3, base: float = 1.0, rng: random.Random | None = None
) -> Create:
    """Wrap `create` (such as `client.chat.completions.create`) to call the flex tier.

    Makes up to `tries` attempts, with pauses that grow from `base` seconds or are as long as the
    server asks, and then calls without flex. Works with synchronous and asynchronous clients. The
    SDK retries in addition, unless `client.with_options(max_retries=0)` is used.

        answer = with_flex(client.chat.completions.create)(model=…, messages=…)
    """
    if not callable(create):
        refuse("create", create, "a function, such as client.chat.completions.create")
    whole("tries", tries, least=1)
    number("base", base, least=0)
    # It spreads retries out; no security depends on it.
    generator = optional(instance, "rng", rng, random.Random) or random.Random()  # noqa: S311

    if inspect.iscoroutinefunction(create):

        async def acreate(**params: Any) -> Any:
            return await adrive(_plan(create, params, tries, base, generator), aperform)

        return cast("Create", acreate)

    def create_flex(**params: Any) -> Any:
        return drive(_plan(create, params, tries, base, generator), perform)

    return cast("Create", create_flex)


def _plan(
    create: Callable[..., Any],
    params: Mapping[str, Any],
    tries: int,
    base: float,
    rng: random.Random,
) -> Plan[Any]:
    flex = partial(create, **{"timeout": _TIMEOUT, **params, "service_tier": "flex"})
    usual = partial(create, **params)
    policy = RetryPolicy(base=base, cap=LONGEST_PAUSE)
    for attempt in range(1, tries + 1):
        try:
            return (yield from RunFunction(flex, flex))
        except Exception as error:
            if http_status(error) != 429:
                raise
            seconds = policy.pause(attempt, error, now=time.time(), rng=rng)
        if attempt < tries:
            yield from RunFunction(partial(time.sleep, seconds), partial(asyncio.sleep, seconds))
    return (yield from RunFunction(usual, usual))
