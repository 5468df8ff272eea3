"""What goes wrong: errors of the provider, cancelled calls, streams that are left, limits."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.rate_limiter import BaseRateLimiter
from support.like_the_model.llama_index.ways.way import Lab, way

ASKED = [ChatMessage("How do I activate my new card?")]


def _failing(status: int) -> Any:
    def use(llm: Any, lab: Lab) -> Any:
        lab.server.failures.append(status)
        try:
            return llm.chat(ASKED)
        except Exception as error:
            return [type(error), str(error)]

    return use


for _status in (400, 401, 429, 500):
    way(f"chat that fails with {_status}")(_failing(_status))


@way("achat that fails with 429")
async def _achat(llm: Any, lab: Lab) -> Any:
    lab.server.failures.append(429)
    try:
        return await llm.achat(ASKED)
    except Exception as error:
        return [type(error), str(error)]


@way("stream_chat that fails with 429")
def _stream(llm: Any, lab: Lab) -> Any:
    lab.server.failures.append(429)
    try:
        return list(llm.stream_chat(ASKED))
    except Exception as error:
        return [type(error), str(error)]


@way("chat with an unknown setting")
def _unknown(llm: Any, lab: Lab) -> Any:
    try:
        return llm.chat(ASKED, no_such_setting=1)
    except Exception as error:
        return [type(error), str(error)]


@way("stream_chat left after a chunk")
def _left(llm: Any, lab: Lab) -> Any:
    stream = llm.stream_chat(ASKED)
    first = next(stream)
    stream.close()
    # The bare model leaves the SDK's stream to the collector, which may run just when the same
    # thread holds the lock of the connection pool: no call of this client would ever end.
    gc.collect()
    return bool(first.message)


@way("astream_chat left after a chunk")
async def _aleft(llm: Any, lab: Lab) -> Any:
    stream = await llm.astream_chat(ASKED)
    first = await anext(stream)
    await stream.aclose()
    return bool(first.message)


@way("achat that is cancelled")
async def _cancelled(llm: Any, lab: Lab) -> Any:
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    go_on, answer = threading.Event(), lab.server.reply

    def reply(body: dict[str, Any]) -> Any:
        loop.call_soon_threadsafe(arrived.set)
        go_on.wait(10)
        return answer(body)

    lab.server.reply = reply
    call = asyncio.create_task(llm.achat(ASKED))
    waiting = asyncio.create_task(arrived.wait())
    try:
        await asyncio.wait({call, waiting}, return_when=asyncio.FIRST_COMPLETED)
        call.cancel()
        waiting.cancel()
        return await asyncio.gather(call, return_exceptions=True)
    finally:
        go_on.set()
        lab.server.reply = answer


class Counting(BaseRateLimiter):
    """A rate limiter that counts, and is shared by the copies of an LLM."""

    def __init__(self) -> None:
        self.count = 0

    def acquire(self, num_tokens: int = 0) -> None:
        self.count += 1

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.count += 1


@way("rate_limiter set on it")
def _limited(llm: Any, lab: Lab) -> Any:
    limiter = llm.rate_limiter = Counting()
    llm.chat(ASKED)
    llm.complete("How old is Ulm?")
    list(llm.stream_chat([ChatMessage("How big is Ulm?")]))
    return limiter.count
