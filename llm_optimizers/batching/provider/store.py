"""What is known of every batch, on disk before anything is asked of a provider.

A request is `waiting` until it is put into a shard, `sent` until the shard has been collected, and
then `answered`, `failed` or `cancelled`. A shard is `sending` from before the provider is called
until its id is known. Each change is one transaction, so a process may be killed anywhere.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from llm_optimizers.batching.provider.client import LineOutcome
from llm_optimizers.batching.provider.requests import BatchRequest
from llm_optimizers.batching.provider.store_reader import BatchStoreReader
from llm_optimizers.errors import ConfigurationError

__all__ = ["BatchStore"]


class BatchStore(BatchStoreReader):
    """Jobs, requests and shards; every method raises StoreError when the file fails."""

    def add(self, job: str, provider: str, requests: Sequence[BatchRequest], now: float) -> None:
        """Write a new job down; one that is known must hold the same requests.

        Raises:
            ConfigurationError: the id stands for other requests.
        """
        with self._database.transaction() as db:
            if db.execute("SELECT 1 FROM jobs WHERE id = ?", (job,)).fetchone():
                known = db.execute(
                    "SELECT id, endpoint, body FROM requests WHERE job = ? ORDER BY position",
                    (job,),
                ).fetchall()
                if [tuple(row) for row in known] != [(r.id, r.endpoint, r.body) for r in requests]:
                    raise ConfigurationError(f"batch {job!r} was submitted with other requests")
                return
            db.execute(
                "INSERT INTO jobs (id, provider, created_at) VALUES (?, ?, ?)",
                (job, provider, now),
            )
            db.executemany(
                "INSERT INTO requests (job, position, id, endpoint, model, body, tokens) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (job, position, r.id, r.endpoint, r.model, r.body, r.tokens)
                    for position, r in enumerate(requests)
                ],
            )

    def claim(
        self, job: str, driver: str, *, now: float, until: float, alive: Callable[[str], bool]
    ) -> bool:
        """Take the job for one process; False while another that is alive drives it."""
        with self._database.transaction() as db:
            row = self.find_job(db, job)
            other = row["driver"]
            if other not in (None, driver) and row["driven_until"] > now and alive(other):
                return False
            db.execute(
                "UPDATE jobs SET driver = ?, driven_until = ? WHERE id = ?", (driver, until, job)
            )
            return True

    def release(self, job: str, driver: str) -> None:
        """Let others drive the job."""
        with self._database.transaction() as db:
            db.execute("UPDATE jobs SET driver = NULL WHERE id = ? AND driver = ?", (job, driver))

    def waiting(self, job: str) -> list[tuple[int, BatchRequest]]:
        """Requests that are in no shard, by position."""
        return self._requests(
            "SELECT * FROM requests WHERE job = ? AND state = 'waiting' ORDER BY position", (job,)
        )

    def begin_shard(self, job: str, positions: Sequence[int], tokens: int) -> int:
        """Put waiting requests into a new shard that is about to be sent; returns its number."""
        with self._database.transaction() as db:
            (last,) = db.execute(
                "SELECT coalesce(max(number), 0) FROM shards WHERE job = ?", (job,)
            ).fetchone()
            number = int(last) + 1
            db.execute(
                "INSERT INTO shards (job, number, state, tokens) VALUES (?, ?, 'sending', ?)",
                (job, number, tokens),
            )
            db.executemany(
                "UPDATE requests SET state = 'sent', shard = ? WHERE job = ? AND position = ?",
                [(number, job, position) for position in positions],
            )
            return number

    def shard_sent(self, job: str, number: int, remote_id: str) -> None:
        """Write down the provider's id."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE shards SET state = 'open', remote_id = ? WHERE job = ? AND number = ?",
                (remote_id, job, number),
            )

    def return_shard(self, job: str, number: int, reason: str) -> None:
        """Let a shard's requests wait again, for the provider never took them."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE shards SET state = ? WHERE job = ? AND number = ?", (reason, job, number)
            )
            db.execute(
                "UPDATE requests SET state = 'waiting', shard = NULL "
                "WHERE job = ? AND shard = ? AND state = 'sent'",
                (job, number),
            )

    def shards(self, job: str, state: str) -> list[sqlite3.Row]:
        """Shards in this state, by number."""
        with self._database.connection() as db:
            return db.execute(
                "SELECT * FROM shards WHERE job = ? AND state = ? ORDER BY number", (job, state)
            ).fetchall()

    def members(self, job: str, number: int) -> list[tuple[int, BatchRequest]]:
        """A shard's requests in the order they were sent."""
        return self._requests(
            "SELECT * FROM requests WHERE job = ? AND shard = ? ORDER BY position", (job, number)
        )

    def close_shard(
        self,
        job: str,
        number: int,
        state: str,
        outcomes: dict[int, LineOutcome],
        *,
        max_rounds: int,
        now: float,
    ) -> None:
        """Write down what became of each request of a shard, by position.

        `again` lets it wait for the next round, or fails it after the last; in a cancelled job
        it is cancelled.
        """
        with self._database.transaction() as db:
            stopped = bool(self.find_job(db, job)["cancelled"])
            attempts = dict(
                db.execute(
                    "SELECT position, attempts FROM requests WHERE job = ? AND shard = ?",
                    (job, number),
                )
            )
            for position in outcomes.keys() & attempts.keys():
                outcome = outcomes[position]
                end = _end(outcome, attempts[position] + 1, max_rounds, stopped)
                answer, usage = outcome.body, outcome.usage.as_dict()
                db.execute(
                    "UPDATE requests SET state = ?, attempts = attempts + 1, answer = ?, "
                    "usage = ?, error = ?, error_kind = ?, ended_at = ?, shard = ? "
                    "WHERE job = ? AND position = ?",
                    (
                        end,
                        None if answer is None else json.dumps(answer),
                        None if answer is None else json.dumps(usage),
                        outcome.error,
                        outcome.error_kind,
                        None if end == "waiting" else now,
                        None if end == "waiting" else number,
                        job,
                        position,
                    ),
                )
            db.execute(
                "UPDATE shards SET state = ? WHERE job = ? AND number = ?",
                (f"collected ({state})", job, number),
            )

    def cancel(self, job: str, now: float) -> None:
        """Stop a job: what was not sent is cancelled, and nothing more will be."""
        with self._database.transaction() as db:
            self.find_job(db, job)
            db.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (job,))
            db.execute(
                "UPDATE requests SET state = 'cancelled', ended_at = ? "
                "WHERE job = ? AND state = 'waiting'",
                (now, job),
            )

    def recorded(self, job: str, positions: Sequence[int]) -> None:
        """The ledger has them."""
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE requests SET recorded = 1 WHERE job = ? AND position = ?",
                [(job, position) for position in positions],
            )

    def forget(self, job: str) -> None:
        """Delete a job with its requests and answers."""
        with self._database.transaction() as db:
            self.find_job(db, job)
            for table, column in (("requests", "job"), ("shards", "job"), ("jobs", "id")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (job,))  # noqa: S608 - ours

    def _requests(self, query: str, values: tuple[Any, ...]) -> list[tuple[int, BatchRequest]]:
        with self._database.connection() as db:
            rows = db.execute(query, values).fetchall()
        return [
            (
                row["position"],
                BatchRequest(
                    id=row["id"],
                    body=row["body"],
                    endpoint=row["endpoint"],
                    model=row["model"],
                    tokens=row["tokens"],
                ),
            )
            for row in rows
        ]


def _end(outcome: LineOutcome, attempts: int, max_rounds: int, stopped: bool) -> str:
    """A request's next state."""
    if outcome.status == "answered":
        return "answered"
    if outcome.status == "refused":
        return "failed"
    if stopped:
        return "cancelled"
    return "waiting" if attempts < max_rounds else "failed"
