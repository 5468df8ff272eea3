"""Jobs on Redis, for more than one machine: kept by one Lua script, delivered by streaq.

Jobs put tickets into streaq (https://github.com/tastyware/streaq), which hands each ticket to one
worker and hands it out again when that worker dies. A ticket names no job: whoever holds one does
the job that is first in line at that moment, and then the next, until nothing is; so priorities,
ageing, deadlines and rates hold exactly, however many tickets a worker has fetched ahead. A ticket
delivered again gets the job it had. A ticket too many finds nothing and ends; should tickets ever
be lost (Redis restored from an old copy), the workers make new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_optimizers.batching.queue.codec import dump_json
from llm_optimizers.batching.queue.job import PRIORITIES, Claim, Job, QueueStats, Settlement, turn
from llm_optimizers.batching.queue.rates import shape
from llm_optimizers.batching.queue.redis_rows import fields_of, job_of, job_or_dead, stats_of
from llm_optimizers.batching.queue.store import QueueRules, Serve
from llm_optimizers.errors import ConfigurationError, StoreError

try:
    import redis.asyncio as redis_asyncio
    from coredis.exceptions import RedisError, ResponseError

    from llm_optimizers.batching.queue.redis_delivery import Tickets
except ModuleNotFoundError as error:
    raise ImportError(
        "a queue on Redis needs the `redis` extra: pip install 'llm-optimizers[redis]'"
    ) from error

__all__ = ["RedisJobStore"]

_CHUNK = 200
_OTHER_PAYLOAD = "OTHERPAYLOAD "


class RedisJobStore:
    """A `JobStore` on the Redis at `url`, 7.0 or newer.

    Raises (from every method):
        StoreError: Redis cannot be reached or refuses.
    """

    def __init__(self, queue: str, url: str, *, lease: float) -> None:
        self._queue = queue
        self._url = url
        self._prefix = f"llm-optimizers:{{{queue}}}:"
        self._tickets = Tickets(queue, url, lease=lease)
        self._closing = asyncio.Event()
        self._connection: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect; the connection lives in a task of its own, which must also be what ends it."""
        await self._ping()
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = asyncio.create_task(self._connect(ready))
        await ready

    async def close(self) -> None:
        """Disconnect."""
        self._closing.set()
        if self._connection is not None:
            await asyncio.gather(self._connection, return_exceptions=True)

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store new jobs, a chunk in one step, and issue their tickets."""
        kept: list[Job] = []
        for start in range(0, len(jobs), _CHUNK):
            arguments: list[str] = []
            for job in jobs[start : start + _CHUNK]:
                fields = fields_of(job, dump_json(job.payload, "payload"), turn(job, rules.ageing))
                arguments += [job.id, *fields]
            found = await self._ask("add", len(fields), *arguments)
            kept += [known for flat in found if (known := job_or_dead(flat)) is not None]
        with self._plainly():
            await self._tickets.issue(sum(job.state == "waiting" for job in kept))
        return kept

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """Read jobs, expiring those whose time ran out."""
        found: list[Job | None] = []
        for start in range(0, len(ids), _CHUNK):
            flats = await self._ask("get", now, *ids[start : start + _CHUNK])
            found += [job_or_dead(flat) for flat in flats]
        return found

    async def claim(self, tickets: Sequence[str], rules: QueueRules, now: float) -> Claim:
        """Start the next jobs; one whose stored text is damaged dies instead of its worker."""
        shapes = (
            *shape(rules.rates.requests_per_minute),
            *shape(rules.rates.tokens_per_minute),
        )
        started, held_until, next_retry = await self._ask(
            "claim", now, rules.max_attempts, *shapes, *tickets
        )
        jobs: list[Job] = []
        for flat in started:
            try:
                job = job_of(flat)
            except ValueError:
                await self._bury(flat, now)
                # Its ticket is free again for the next in line.
                return await self.claim(tickets, rules, now)
            if job is not None:
                jobs.append(job)
        retry_at = held_until or next_retry
        return Claim(
            jobs=tuple(jobs),
            retry_at=float(retry_at) if retry_at else None,
            held=bool(held_until),
        )

    async def settle(self, job: Job, ticket: str, settlement: Settlement, now: float) -> bool:
        """End an attempt, unless the job has been taken over."""
        if settlement.state == "waiting":
            # First the ticket: one too many does no harm, one too few would strand the job.
            with self._plainly():
                await self._tickets.issue(1, delay=max(0.001, settlement.not_before - now))
        fields: list[str] = []
        if settlement.state == "done":
            fields += ["result", dump_json(settlement.result, "result")]
        if settlement.error is not None:
            fields += ["error", settlement.error, "error_kind", settlement.error_kind or ""]
        ended: int = await self._ask(
            "settle",
            job.id,
            ticket,
            job.attempts,
            settlement.state,
            settlement.not_before,
            now,
            *fields,
        )
        return ended == 1

    async def serve(self, serve: Serve, rules: QueueRules) -> None:  # noqa: ARG002 - the protocol's
        """Work on the tickets that streaq delivers, until drained."""
        await self._tickets.deliver(serve, lambda: self._ask("orphans"))

    async def dead(self, limit: int) -> list[Job]:
        """The dead letters, the latest first."""
        flats = await self._ask("dead", limit)
        return [job for flat in flats if (job := job_or_dead(flat)) is not None]

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Let dead jobs wait again, as if submitted now."""
        places = [now + rank * rules.ageing for rank in range(len(PRIORITIES))]
        replayed: int = await self._ask("replay", now, *places, *ids)
        with self._plainly():
            await self._tickets.issue(replayed)
        return replayed

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs."""
        purged: int = await self._ask("purge", *ids)
        return purged

    async def stats(self, now: float) -> QueueStats:
        """Count the queue."""
        counts, oldest, latest = await self._ask("stats", now)
        return stats_of(self._queue, counts, oldest, latest, now)

    async def forget(self, before: float) -> int:
        """Delete what was done or refused before this time."""
        forgotten: int = await self._ask("forget", before)
        return forgotten

    async def _ping(self) -> None:
        """Look whether Redis is there: coredis leaves things behind when it is not."""
        try:
            async with redis_asyncio.from_url(self._url) as client:
                await client.ping()
        except (redis_asyncio.RedisError, OSError, ValueError) as error:
            raise StoreError(f"Redis cannot be reached at {self._host()}: {error}") from error

    async def _connect(self, ready: asyncio.Future[None]) -> None:
        source = (Path(__file__).parent / "redis_line.lua").read_text()
        try:
            async with self._tickets.issuer as issuer:
                self._script = issuer.redis.register_script(source)
                ready.set_result(None)
                await self._closing.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no connection
            if not ready.done():
                reason = StoreError(f"Redis cannot be reached at {self._host()}: {error!r}")
                ready.set_exception(reason)

    async def _ask(self, operation: str, *arguments: Any) -> Any:
        texts = [repr(a) if isinstance(a, float) else str(a) for a in arguments]
        with self._plainly():
            return await self._script(keys=[self._prefix], args=[operation, *texts])

    async def _bury(self, flat: Sequence[str], now: float) -> None:
        damaged = job_or_dead(flat)
        ticket = dict(zip(flat[::2], flat[1::2], strict=True))["ticket"]
        if damaged is not None:
            poisoned = Settlement(state="dead", error=damaged.error, error_kind=damaged.error_kind)
            await self.settle(damaged, ticket, poisoned, now)

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Say what Redis says in this package's words."""
        try:
            yield
        except ResponseError as error:
            if _OTHER_PAYLOAD in str(error):
                id_ = str(error).partition(_OTHER_PAYLOAD)[2]
                raise ConfigurationError(
                    f"the key {id_!r} was used for another payload; a key stands for one piece "
                    "of work"
                ) from None
            raise StoreError(f"Redis at {self._host()} refused: {error}") from error
        except (RedisError, OSError) as error:
            raise StoreError(f"Redis at {self._host()} failed: {error!r}; is it up?") from error

    def _host(self) -> str:
        return self._url.rpartition("@")[2]  # without the password
