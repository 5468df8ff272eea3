"""Jobs on Redis, for more than one machine: kept by one Lua script, delivered by streaq.

Jobs put tickets into streaq (https://github.com/tastyware/streaq), which hands each ticket to one
worker and hands it out again when that worker dies. A ticket names no job: whoever holds one does
the job that is first in line at that moment, and then the next, until nothing is; so priorities,
ageing, deadlines and rates hold exactly, however many tickets a worker has fetched ahead. A ticket
delivered again gets the job it had. A ticket too many finds nothing and ends; should tickets ever
be lost (Redis restored from an old copy), the workers make new ones.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from llm_optimizers.batching.queue.job import (
    PRIORITIES,
    Claim,
    Job,
    QueueStats,
    Settlement,
    digest,
    dump_json,
    other_payload,
    read_job,
    read_job_or_dead,
)
from llm_optimizers.batching.queue.redis_delivery import Tickets
from llm_optimizers.batching.queue.rules import QueueRules, shape, turn
from llm_optimizers.batching.queue.store import Serve
from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.connections.redis import RedisServer

__all__ = ["RedisJobStore"]

_CHUNK = 200
_DEADLINE = 5.0
_LONGEST_PAUSE = 1.0  # a worker holds paid results: it looks for Redis more often than others do


class RedisJobStore:
    """A `JobStore` on the Redis at `url`, 7.0 or newer.

    Raises (from every method):
        StoreError: Redis cannot be reached or refuses.
    """

    def __init__(self, queue: str, url: str, *, lease: float) -> None:
        self._queue = queue
        self._prefix = f"llm-optimizers:{{{queue}}}:"
        self._server = RedisServer(
            url,
            deadline=_DEADLINE,
            breaker=CircuitBreaker(time.monotonic, longest_pause=_LONGEST_PAUSE),
        )
        self._tickets = Tickets(queue, self._server, lease=lease)

    async def open(self) -> None:
        """Connect."""
        await self._server.acall(lambda redis: redis.ping())
        await self._tickets.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._tickets.close()
        await self._server.aclose()

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store new jobs, a chunk in one step, and issue their tickets."""
        kept: list[Job] = []
        for start in range(0, len(jobs), _CHUNK):
            arguments: list[str] = []
            for job in jobs[start : start + _CHUNK]:
                fields = _fields(job, dump_json(job.payload, "payload"), turn(job, rules.ageing))
                arguments += [job.id, *fields]
            other, found = await self._ask("add", len(fields), *arguments)
            if other:
                raise other_payload(other)
            kept += [read_job_or_dead(_pairs(flat)) for flat in found]
        await self._tickets.issue(sum(job.state == "waiting" for job in kept))
        return kept

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """Read jobs, expiring those whose time ran out."""
        found: list[Job | None] = []
        for start in range(0, len(ids), _CHUNK):
            flats = await self._ask("get", now, *ids[start : start + _CHUNK])
            found += [read_job_or_dead(_pairs(flat)) if flat else None for flat in flats]
        return found

    async def claim(self, tickets: Sequence[str], rules: QueueRules, now: float) -> Claim:
        """Start the next jobs; one whose stored text is damaged dies instead of its worker."""
        shapes = (
            *shape(rules.rates.requests_per_minute),
            *shape(rules.rates.tokens_per_minute),
        )
        started, held_until, next_retry = await self._ask(
            "claim", now, rules.retries.max_attempts, *shapes, *tickets
        )
        jobs: list[Job] = []
        for flat in started:
            try:
                jobs.append(read_job(_pairs(flat)))
            except ValueError:
                await self._bury(_pairs(flat), now)
                # Its ticket is free again for the next in line.
                return await self.claim(tickets, rules, now)
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
        return [read_job_or_dead(_pairs(flat)) for flat in flats if flat]

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Let dead jobs wait again, as if submitted now."""
        places = [now + rank * rules.ageing for rank in range(len(PRIORITIES))]
        replayed: int = await self._ask("replay", now, *places, *ids)
        await self._tickets.issue(replayed)
        return replayed

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs."""
        purged: int = await self._ask("purge", *ids)
        return purged

    async def stats(self, now: float) -> QueueStats:
        """Count the queue."""
        counts, oldest, latest = await self._ask("stats", now)
        numbers = {name: int(number) for name, number in _pairs(counts).items()}
        times = [[float(moment) for moment in row.split()] for row in latest]
        waiting = {priority: numbers.get(f"waiting:{priority}", 0) for priority in PRIORITIES}
        since = float(oldest) if oldest else None
        return QueueStats.of(self._queue, numbers, waiting, since, times, now)

    async def forget(self, before: float) -> int:
        """Delete what was done or refused before this time."""
        forgotten: int = await self._ask("forget", before)
        return forgotten

    async def _ask(self, operation: str, *arguments: Any) -> Any:
        texts = [repr(a) if isinstance(a, float) else str(a) for a in arguments]
        return _decoded(await self._server.aeval(_script(), [self._prefix], [operation, *texts]))

    async def _bury(self, fields: dict[str, Any], now: float) -> None:
        damaged = read_job_or_dead(fields)
        poisoned = Settlement(state="dead", error=damaged.error, error_kind=damaged.error_kind)
        await self.settle(damaged, fields["ticket"], poisoned, now)


@cache
def _script() -> str:
    return (Path(__file__).parent / "redis_line.lua").read_text()


def _fields(job: Job, payload: str, place: float) -> list[str]:
    """A new job's hash but for its state; always the same number of entries."""
    fields = {
        "queue": job.queue,
        "id": job.id,
        "payload": payload,
        "digest": digest(payload),
        "priority": job.priority,
        "tokens": str(job.tokens),
        "submitted_at": repr(job.submitted_at),
        "turn": repr(place),
        "attempts": "0",
        # A job without a deadline gets one that never comes.
        "expires_at": "inf" if job.expires_at is None else repr(job.expires_at),
    }
    return [text for field in fields.items() for text in field]


def _pairs(flat: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _decoded(reply: Any) -> Any:
    """Text for bytes; bytes that are no text stay bytes, for `read_job` to refuse."""
    if isinstance(reply, list):
        return [_decoded(part) for part in reply]
    try:
        return reply.decode() if isinstance(reply, bytes) else reply
    except UnicodeDecodeError:
        return reply
