"""Tickets through streaq: each is handed to one worker, and again to another when that one dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from llm_optimizers.batching.queue.store import Serve
from llm_optimizers.connections.redis import RedisServer
from llm_optimizers.errors import StoreError

try:
    from anyio import TASK_STATUS_IGNORED, CancelScope, CapacityLimiter
    from anyio.abc import TaskStatus
    from anyio.streams.memory import MemoryObjectReceiveStream
    from coredis.exceptions import RedisError
    from streaq import StreaqRetry, Worker
    from streaq.types import StreamMessage
except ModuleNotFoundError as error:
    raise ImportError(
        "a queue on Redis needs an extra: pip install 'llm-optimizers[redis]'"
    ) from error

__all__ = ["Tickets"]

_TASK = "ticket"
_CHUNK = 500
_ENOUGH = 1_000
"""Tickets for more jobs at the same time than all workers together do."""
_NEAR_SECONDS = 1.0


class _Worker(Worker[None]):
    """streaq's worker as part of another program."""

    async def signal_handler(self, scope: CancelScope) -> None:
        """Receive no signals: they are the program's, and only its main thread can."""

    async def run_consumers(
        self,
        receive: MemoryObjectReceiveStream[StreamMessage],
        renew_scope: CancelScope,
        produce_scope: CancelScope,
        *,
        task_status: TaskStatus[CapacityLimiter] = TASK_STATUS_IGNORED,
    ) -> None:
        """Close the stream too, which streaq leaves to the garbage collector."""
        with receive:
            await super().run_consumers(
                receive, renew_scope, produce_scope, task_status=task_status
            )


class Tickets:
    """A queue's tickets: issue them, and hand them to a worker.

    streaq brings a client of its own (coredis), which goes to the same URL under the same deadline
    and circuit breaker.
    """

    def __init__(self, queue: str, server: RedisServer, *, lease: float) -> None:
        self._queue = queue
        self._server = server
        self._lease = lease
        self._issuer = self._worker(slots=1)
        self._closing = asyncio.Event()
        self._connection: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, in a task of its own, for the task that opens the connection must close it."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = asyncio.create_task(self._connect(ready))
        await ready

    async def close(self) -> None:
        """Disconnect."""
        self._closing.set()
        if self._connection is not None:
            await asyncio.gather(self._connection, return_exceptions=True)

    async def issue(self, count: int, *, delay: float = 0.0) -> None:
        """Put tickets into the queue, each to be delivered once it is `delay` seconds old.

        Whoever holds one works until nothing is in line, so there need not be one for every job:
        with enough of them outstanding, one more says that there is something.
        """
        async with self._guarded():
            if count > 1:
                count = max(1, min(count, _ENOUGH - await self._issuer.queue_size()))
            for start in range(0, count, _CHUNK):
                tasks = [
                    self._issuer.enqueue_unsafe(_TASK) for _ in range(min(_CHUNK, count - start))
                ]
                if delay > 0:
                    tasks = [task.start(delay=timedelta(seconds=delay)) for task in tasks]
                await self._issuer.enqueue_many(tasks)

    async def deliver(self, serve: Serve, count_orphans: Callable[[], Awaitable[int]]) -> None:
        """Hand tickets to a worker until it drains; raises StoreError when Redis fails."""
        worker = self._worker(slots=serve.slots)

        @worker.task(name=_TASK, silent=True, ttl=0, max_tries=None)
        async def ticket() -> None:
            await _use(ticket.context.task_id, serve)

        delivery = asyncio.create_task(worker.run_async())
        drained = asyncio.create_task(serve.draining.wait())
        upkeep = asyncio.create_task(self._replace_lost(count_orphans))
        try:
            await asyncio.wait({delivery, drained, upkeep}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Jobs under way are shielded by streaq: it ends when they are done.
            for task in (delivery, drained, upkeep):
                task.cancel()
            ends = await asyncio.gather(delivery, drained, upkeep, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise StoreError(f"delivery from {self._queue!r} on Redis failed: {end!r}") from end

    async def _replace_lost(self, count_orphans: Callable[[], Awaitable[int]]) -> None:
        """Issue tickets for jobs that have none, for whatever reason."""
        while True:
            if not await self._outstanding():
                await asyncio.sleep(_NEAR_SECONDS)  # a submission may be between job and ticket
                if not await self._outstanding():
                    await self.issue(await count_orphans())
            await asyncio.sleep(self._lease)

    async def _outstanding(self) -> int:
        async with self._guarded():
            return await self._issuer.queue_size()

    async def _connect(self, ready: asyncio.Future[None]) -> None:
        try:
            async with self._issuer:
                ready.set_result(None)
                await self._closing.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no connection
            if not ready.done():
                ready.set_exception(self._server.failure(error))

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._server.deadline):
                yield
        except (RedisError, OSError) as error:
            raise self._server.failure(error) from error

    def _worker(self, *, slots: int) -> Worker[Any]:
        return _Worker(
            redis_url=self._server.url,
            redis_kwargs={"connect_timeout": self._server.deadline},
            queue_name=f"llm-optimizers:{self._queue}",
            concurrency=slots,
            prefetch=1,
            idle_timeout=self._lease,
            serializer=lambda data: json.dumps(data, default=repr),
            deserializer=json.loads,
        )


async def _use(ticket: str, serve: Serve) -> None:
    """Do what is first in line until nothing is, waiting while the rates hold it back."""
    try:
        while not serve.draining.is_set():
            claim = await serve.claim([ticket])
            if claim.jobs:
                await serve.perform(claim.jobs[0], ticket)
                continue
            if claim.retry_at is None:
                return
            pause = claim.retry_at - serve.clock()
            if not claim.held and pause > _NEAR_SECONDS:
                return  # a retry, which has a ticket of its own
            try:
                await asyncio.wait_for(serve.draining.wait(), max(0.0, pause))
            except TimeoutError:
                continue
    except StoreError as error:
        raise StreaqRetry(delay=timedelta(seconds=_NEAR_SECONDS)) from error
    raise StreaqRetry(delay=timedelta(0))
