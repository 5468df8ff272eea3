"""Runs jobs in steps: a step checks shards that were sent, collects ended ones, and sends more.

A step may be repeated, and may be interrupted at any point. Only one process at a time runs a
step of a job; the claim of a process that died on the same machine is ignored.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterable, Iterator

from llm_optimizers.batching.provider.client import BatchClient, LineOutcome, RemoteBatch
from llm_optimizers.batching.provider.journal import BatchJournal
from llm_optimizers.batching.provider.requests import BatchRequest, ShardLimits, form_shards
from llm_optimizers.events import Notice, emit
from llm_optimizers.failures import is_permanent
from llm_optimizers.forks import ProcessLock
from llm_optimizers.types import Clock

__all__ = ["BatchRunner"]

_LEASE_SECONDS = 600.0


class BatchRunner:
    """Runs steps of jobs with one client.

    Args:
        max_enqueued_tokens: limit of input tokens at the provider at a time; None for no limit.
        max_rounds: how often a request is sent before it counts as failed.
    """

    def __init__(
        self,
        client: BatchClient,
        journal: BatchJournal,
        *,
        max_enqueued_tokens: int | None,
        max_rounds: int,
        clock: Clock,
    ) -> None:
        self._client = client
        self._journal = journal
        self._max_tokens = max_enqueued_tokens
        self._max_rounds = max_rounds
        self._clock = clock
        self._id = uuid.uuid4().hex
        self._stepping = ProcessLock()
        self._caps: dict[str, int] = {}

    def step(self, job: str) -> None:
        """Do what can be done for a job now.

        Raises:
            Exception: the SDK's error, if a retry cannot help (such as a wrong key).
        """
        with self._stepping:  # a claim keeps other processes away, not this one's threads
            self._step(job)

    def _step(self, job: str) -> None:
        now = self._clock()
        # With the process that it is now: a forked child is another one.
        name = f"{socket.gethostname()}:{os.getpid()}:{self._id}"
        if not self._journal.claim(job, name, now=now, until=now + _LEASE_SECONDS, alive=_alive):
            return
        try:
            self._resolve_unconfirmed(job)
            for shard in self._journal.shards(job, "open"):
                self._collect(job, shard["number"], shard["remote_id"])
            self._send(job)
        except Exception as error:
            if is_permanent(error):
                raise
            message = f"the provider failed; the next step retries: {type(error).__name__}"
            emit(Notice(component=__name__, message=message))
        finally:
            self._journal.release(job, name)

    def cancel(self, job: str) -> None:
        """Cancel a job here and at the provider; answers given by then are kept."""
        self._journal.cancel(job, self._clock())
        for shard in self._journal.shards(job, "open"):
            self._client.cancel(shard["remote_id"])

    def _resolve_unconfirmed(self, job: str) -> None:
        """For each shard whose sending was interrupted, find out whether it arrived."""
        for shard in self._journal.shards(job, "sending"):
            number = shard["number"]
            remote_id = self._client.find(_label(job, number))
            if remote_id is None:
                self._journal.return_shard(job, number, "not sent")
            else:
                self._journal.shard_sent(job, number, remote_id)

    def _send(self, job: str) -> None:
        limits = self._client.limits
        cap = min(limits.max_requests, self._caps.get(job, limits.max_requests))
        max_tokens = min(
            (limit for limit in (limits.max_tokens, self._max_tokens) if limit is not None),
            default=None,
        )
        limits = ShardLimits(max_requests=cap, max_bytes=limits.max_bytes, max_tokens=max_tokens)
        enqueued = sum(shard["tokens"] for shard in self._journal.shards(job, "open"))
        if enqueued and job in self._caps:
            return  # The provider has no room for more.
        waiting = self._journal.waiting(job)
        positions = {request.id: position for position, request in waiting}
        for shard in form_shards([request for _, request in waiting], limits):
            tokens = sum(request.tokens for request in shard)
            if enqueued and self._max_tokens is not None and enqueued + tokens > self._max_tokens:
                return
            self._send_shard(job, [(positions[r.id], r) for r in shard], tokens)
            enqueued += tokens
            if job in self._caps:
                return

    def _send_shard(self, job: str, shard: list[tuple[int, BatchRequest]], tokens: int) -> None:
        number = self._journal.begin_shard(job, [position for position, _ in shard], tokens)
        lines = [(_name(position), request) for position, request in shard]
        try:
            remote_id = self._client.create(lines, _label(job, number))
        except Exception as error:
            if is_permanent(error):
                self._journal.return_shard(job, number, "refused")
            raise  # Otherwise it may have arrived: the next step checks.
        self._journal.shard_sent(job, number, remote_id)

    def _collect(self, job: str, number: int, remote_id: str) -> None:
        remote = self._client.look(remote_id)
        if not remote.ended:
            return
        members = self._journal.members(job, number)
        if remote.too_many_tokens:
            self._make_room(job, number, len(members))
            return
        by_name = {_name(position): position for position, _ in members}
        found = (
            _refused_lines(remote, by_name)
            if remote.line_errors
            else self._client.results(remote_id)
        )
        outcomes = {by_name[each.name]: each for each in found if each.name in by_name}
        for name, position in by_name.items():
            outcomes.setdefault(position, _missing(name, remote))
        self._journal.close_shard(
            job, number, remote.state, outcomes, max_rounds=self._max_rounds, now=self._clock()
        )

    def _make_room(self, job: str, number: int, members: int) -> None:
        """Wait for other shards or send smaller ones: the enqueued tokens are at the limit."""
        self._journal.return_shard(job, number, "no room")
        alone = not self._journal.shards(job, "open")
        cap = self._caps.get(job, members)
        self._caps[job] = max(1, min(cap, members) // 2) if alone else cap


def _refused_lines(remote: RemoteBatch, names: Iterable[str]) -> Iterator[LineOutcome]:
    """Return the outcomes of the lines for which a batch was refused; the rest is sent again."""
    for line, name in enumerate(names):
        if line in remote.line_errors:
            yield LineOutcome(
                name=name,
                status="refused",
                error=remote.line_errors[line],
                error_kind="refused_line",
            )


def _missing(name: str, remote: RemoteBatch) -> LineOutcome:
    cancelled = remote.state in ("cancelled", "canceled")
    return LineOutcome(
        name=name,
        status="cancelled" if cancelled else "retry",
        error=remote.reason or f"the provider returned nothing for it (batch {remote.state})",
        error_kind=f"missing_{remote.state}",
    )


def _label(job: str, number: int) -> str:
    return f"{job}-{number}"


def _name(position: int) -> str:
    """Return a line's name: short, with characters that every provider accepts."""
    return f"r{position}"


def _alive(runner: str) -> bool:
    """Whether the process with this name may be running; always for one on another machine."""
    host, pid, _ = runner.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
