"""Jobs on Redis, for more than one machine.

Redis Streams deliver them: each priority has a stream in order of submission, whose consumer group
keeps which jobs are running and when their leases were renewed. One Lua script adds what streams
do not have: which stream is next (aging), deadlines, rates, delayed retries, dead letters. The
keys of a queue begin with `llm-optimizers:jobs:{name}:`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from llm_optimizers.batching.queue.gather import MicroBatcher
from llm_optimizers.batching.queue.job import (
    PRIORITIES,
    AttemptOutcome,
    Claim,
    Job,
    QueueStats,
    digest,
    dump_json,
    other_payload,
)
from llm_optimizers.batching.queue.rules import QueueRules, burst_and_rate, priority_key
from llm_optimizers.batching.queue.stored import DamagedJobError, read_job, read_job_or_dead
from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.connections.redis import RedisServer
from llm_optimizers.errors import StoreError

__all__ = ["RedisJobStore"]

_CHUNK = 200
_DEADLINE = 5.0
_BYTES_A_SECOND = 5e6  # a large result gets more time, or it could never be stored
_LONGEST_PAUSE = 1.0  # short, because a worker holds paid results that are not stored yet
_LISTEN_MILLISECONDS = 1_000
_TAKEN_OVER, _LOST = 0, 2
_SCANNED = 1_000
_NEVER_MS = 10**12


class RedisJobStore:
    """A `JobStore` on the Redis at `url`, 7.0 or newer.

    Leases are measured by the server's clock, everything else by the callers'.

    Raises (from every method):
        StoreError: Redis cannot be reached or reports an error.
    """

    def __init__(self, queue: str, url: str) -> None:
        self._queue = queue
        # Quoted, so that no key of one queue can be a key of another.
        self._prefix = f"llm-optimizers:jobs:{{{quote(queue, safe='')}}}:"
        self._server = RedisServer(
            url,
            deadline=_DEADLINE,
            breaker=CircuitBreaker(time.monotonic, longest_pause=_LONGEST_PAUSE),
        )
        self._streams = [f"{self._prefix}stream:{priority}" for priority in PRIORITIES]
        self._seen: dict[Any, Any] = dict.fromkeys(self._streams, "$")
        self._aging = QueueRules().aging
        self._grace_until = 0.0  # until then no lease has ended
        self._batched = MicroBatcher(self._acknowledge_all)

    async def open(self) -> None:
        """Connect."""
        await self._server.acall(lambda redis: redis.ping())

    async def close(self) -> None:
        """Disconnect."""
        await self._server.aclose()

    async def time(self) -> float | None:
        """Return the server's time."""
        seconds, microseconds = await self._server.acall(lambda redis: redis.time())
        return float(seconds) + float(microseconds) / 1e6

    async def add(self, jobs: Sequence[Job], rules: QueueRules) -> list[Job]:
        """Store new jobs, in one atomic step per chunk."""
        kept: list[Job] = []
        for start in range(0, len(jobs), _CHUNK):
            chunk = jobs[start : start + _CHUNK]
            arguments: list[str] = []
            for job in chunk:
                payload = dump_json(job.payload, "payload")
                fingerprint = digest(payload)
                fields = _fields(job, payload, fingerprint, priority_key(job, rules.aging))
                arguments += [job.id, fingerprint, *fields]
            other, known = await self._ask("add", len(fields), *arguments)
            if other:
                raise other_payload(other)
            kept += [
                read_job_or_dead(_pairs(flat)) if flat else job
                for job, flat in zip(chunk, known, strict=True)
            ]
        return kept

    async def get(self, ids: Sequence[str], now: float) -> list[Job | None]:
        """Read jobs; those past their deadline expire first."""
        found: list[Job | None] = []
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            for id_, flat in zip(chunk, await self._ask("get", float(now), *chunk), strict=True):
                found.append(read_job_or_dead({**_pairs(flat), "id": id_}) if flat else None)
        return found

    async def claim(self, worker: str, slots: int, rules: QueueRules, now: float) -> Claim:
        """Start the next jobs; a job whose stored text is damaged becomes a dead letter."""
        self._aging = rules.aging
        limits = (rules.rates.requests_per_minute, rules.rates.tokens_per_minute)
        rates = [x for limit in limits for x in (limit or 0, *burst_and_rate(limit))]
        in_grace = time.monotonic() < self._grace_until
        lease_ms = _NEVER_MS if in_grace else max(1, round(rules.lease * 1_000))
        try:
            started, held_until, next_retry, seen, lost = await self._ask(
                "claim", float(now), worker, slots, lease_ms, rules.retries.max_attempts, *rates
            )
        except StoreError:
            # Other workers could not renew either; each does so within a third of a lease.
            self._grace_until = time.monotonic() + rules.lease / 2
            raise
        if lost:
            await self._find_lost(now)
        self._seen = dict(zip(self._streams, seen, strict=True))
        jobs: list[Job] = []
        for flat in started:
            try:
                jobs.append(read_job(_pairs(flat)))
            except DamagedJobError as error:
                await self._bury(_pairs(flat), error, worker, now)
        retry_at = held_until or next_retry
        if len(jobs) < len(started):
            retry_at = now  # a slot is free again
        return Claim(
            jobs=tuple(jobs),
            retry_at=float(retry_at) if retry_at else None,
            held=bool(held_until),
        )

    async def changed(self) -> None:
        """Wait at most one second for a job that the last claim did not see."""
        try:
            await self._server.acall(
                lambda redis: redis.xread(self._seen, count=1, block=_LISTEN_MILLISECONDS)
            )
        except StoreError:  # the next claim says so
            await asyncio.sleep(_LISTEN_MILLISECONDS / 1_000)

    async def renew(self, jobs: Sequence[Job], worker: str, rules: QueueRules, now: float) -> None:  # noqa: ARG002 - leases are measured by the server's clock
        """Restart the leases of these jobs."""
        if jobs:
            await self._ask("renew", worker, *(x for job in jobs for x in (job.id, job.attempts)))

    async def acknowledge(self, job: Job, worker: str, outcome: AttemptOutcome, now: float) -> bool:
        """End an attempt, unless the job has been taken over."""
        result = dump_json(outcome.result, "result") if outcome.state == "done" else ""
        fingerprint = digest(dump_json(job.payload, "payload"))
        attempt = (job.id, fingerprint, job.attempts, repr(job.started_at), worker)
        ended = (float(now), outcome.state, float(outcome.not_before), result)
        stored = await self._batched(
            (*attempt, *ended, outcome.error_kind or "", outcome.error or "")
        )
        if stored == _LOST:
            await self._restore(job, outcome, now)
        return stored != _TAKEN_OVER

    async def dead(self, limit: int) -> list[Job]:
        """Return the dead letters, newest first."""
        return [read_job_or_dead(_pairs(flat)) for flat in await self._ask("dead", limit)]

    async def replay(self, ids: Sequence[str], now: float, rules: QueueRules) -> int:
        """Queue dead jobs again, as if submitted now."""
        keys = [now + rank * rules.aging for rank in range(len(PRIORITIES))]
        replayed: int = await self._ask("replay", now, *keys, *ids)
        return replayed

    async def purge(self, ids: Sequence[str]) -> int:
        """Delete dead jobs."""
        purged: int = await self._ask("purge", *ids)
        return purged

    async def stats(self, now: float) -> QueueStats:
        """Return the current statistics of the queue."""
        running, counts, oldest, latest = await self._ask("stats", now)
        numbers = {"running": running, **_pairs(counts)}
        times = [_numbers(row) for row in latest]
        waiting = {priority: numbers.get(f"waiting:{priority}", 0) for priority in PRIORITIES}
        since = float(oldest) if oldest else None
        return QueueStats.of(self._queue, numbers, waiting, since, times, now)

    async def forget(self, before: float) -> int:
        """Delete jobs that were done or expired before this time."""
        forgotten: int = await self._ask("forget", before)
        return forgotten

    async def _acknowledge_all(self, ended: list[tuple[object, ...]]) -> list[int]:
        stored: list[int] = await self._ask("acknowledge", *(x for values in ended for x in values))
        return stored

    async def _restore(self, job: Job, outcome: AttemptOutcome, now: float) -> None:
        """Store a job whose hash was deleted while it ran, as it ended."""
        payload = dump_json(job.payload, "payload")
        fields = _fields(job, payload, digest(payload), priority_key(job, self._aging))
        fields += ["state", outcome.state, "started_at", repr(job.started_at)]
        if outcome.state == "done":
            fields += ["result", dump_json(outcome.result, "result")]
        if outcome.error_kind is not None:
            fields += ["error_kind", outcome.error_kind, "error", outcome.error or ""]
        await self._ask("restore", job.id, float(now), *fields)

    async def _find_lost(self, now: float) -> None:
        """Look at every job after a stream was lost; `get` gives each another place in a stream."""
        prefix = f"{self._prefix}job:"
        cursor = 0
        while True:
            cursor, keys = await self._server.acall(
                partial(_scan, cursor=cursor, match=f"{prefix}*")
            )
            ids = [_decoded(key) for key in keys]
            known = [id_.removeprefix(prefix) for id_ in ids if isinstance(id_, str)]
            await self.get(known, now)
            if not cursor:
                break
        await self._ask("found")

    async def _ask(self, operation: str, *arguments: object) -> Any:
        texts = [repr(float(a)) if isinstance(a, float) else str(a) for a in arguments]
        deadline = _DEADLINE + sum(map(len, texts)) / _BYTES_A_SECOND
        values = [operation, *texts]
        return _decoded(
            await self._server.aeval(_script(), [self._prefix], values, deadline=deadline)
        )

    async def _bury(
        self, fields: dict[str, Any], error: DamagedJobError, worker: str, now: float
    ) -> None:
        attempt = (fields["id"], "", fields["attempts"], fields["started_at"], worker)
        await self._batched((*attempt, float(now), "dead", 0.0, "", error.kind, str(error)))


async def _scan(redis: Any, *, cursor: int, match: str) -> tuple[int, list[bytes]]:
    found: tuple[int, list[bytes]] = await redis.scan(cursor, match=match, count=_SCANNED)
    return found


@cache
def _script() -> str:
    return (Path(__file__).parent / "redis_jobs.lua").read_text()


def _fields(job: Job, payload: str, fingerprint: str, key: float) -> list[str]:
    """Return the fields of a new job's Redis hash, without its state; their number is fixed."""
    fields = {
        "queue": job.queue,
        "id": job.id,
        "payload": payload,
        "digest": fingerprint,
        "priority": job.priority,
        "tokens": str(job.tokens),
        "submitted_at": repr(job.submitted_at),
        "priority_key": repr(key),
        "attempts": str(job.attempts),
        # So that every job has the same fields.
        "expires_at": "inf" if job.expires_at is None else repr(job.expires_at),
    }
    return [text for field in fields.items() for text in field]


def _pairs(flat: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _numbers(row: Any) -> list[Any]:
    """Return the numbers of a text, none if it has something else."""
    try:
        return [float(moment) for moment in row.split()]
    except (AttributeError, ValueError):
        return []


def _decoded(reply: Any) -> Any:
    """Decode bytes; those that are not UTF-8 stay bytes, which `read_job` rejects."""
    if isinstance(reply, list):
        return [_decoded(part) for part in reply]
    try:
        return reply.decode() if isinstance(reply, bytes) else reply
    except UnicodeDecodeError:
        return reply
