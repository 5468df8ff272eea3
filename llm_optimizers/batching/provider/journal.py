"""The batch journal: requests, shards and results, stored before anything is sent.

A request is `waiting` until it is put into a shard, `sent` until the shard is collected, and then
`answered`, `failed` or `cancelled`. A shard is `sending` from before the provider is called until
its batch id is known. Each change is one transaction, so the process may be killed at any time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from llm_optimizers.batching.provider.client import LineOutcome
from llm_optimizers.batching.provider.journal_reader import BatchJournalReader
from llm_optimizers.batching.provider.requests import BatchRequest
from llm_optimizers.costs import Usage
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.shown import shown, shown_lines

__all__ = ["BatchJournal"]


_INSERT = (
    "INSERT INTO requests (job, position, id, endpoint, model, body, tokens, source, context, "
    "state, answer, usage, ended_at, recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SET_OUTCOME = (
    "UPDATE requests SET state = ?, attempts = attempts + 1, answer = ?, usage = ?, error = ?, "
    "error_kind = ?, ended_at = ?, shard = ? WHERE job = ? AND position = ?"
)


class BatchJournal(BatchJournalReader):
    """Jobs, requests and shards; every method raises StoreError if the file fails."""

    def add(self, job: str, provider: str, requests: Sequence[BatchRequest], now: float) -> None:
        """Add a job; adding it again with the same requests has no effect.

        Raises:
            ConfigurationError: the id is already used for other requests.
        """
        with self._database.transaction() as db:
            if db.execute("SELECT 1 FROM jobs WHERE id = ?", (job,)).fetchone():
                known = db.execute(
                    "SELECT id, endpoint, coalesce(source, body) FROM requests WHERE job = ? "
                    "ORDER BY position",
                    (job,),
                ).fetchall()
                if [tuple(row) for row in known] != [request.asked for request in requests]:
                    raise ConfigurationError(f"batch {job!r} was submitted with other requests")
                return
            db.execute(
                "INSERT INTO jobs (id, provider, created_at) VALUES (?, ?, ?)",
                (job, provider, now),
            )
            db.executemany(
                _INSERT,
                [
                    (job, position, *_columns_of(request), *_state_of(request, now))
                    for position, request in enumerate(requests)
                ],
            )

    def claim(
        self, job: str, driver: str, *, now: float, until: float, alive: Callable[[str], bool]
    ) -> bool:
        """Claim the job for one process; False while another live process has it."""
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
        """Give up the claim on the job."""
        with self._database.transaction() as db:
            db.execute("UPDATE jobs SET driver = NULL WHERE id = ? AND driver = ?", (job, driver))

    def waiting(self, job: str) -> list[tuple[int, BatchRequest]]:
        """Return the requests that are in no shard, with their positions."""
        return self._requests(
            "SELECT * FROM requests WHERE job = ? AND state = 'waiting' ORDER BY position", (job,)
        )

    def begin_shard(self, job: str, positions: Sequence[int], tokens: int) -> int:
        """Put waiting requests into a new shard, about to be sent; returns its number."""
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
        """Record the provider's id of a shard."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE shards SET state = 'open', remote_id = ? WHERE job = ? AND number = ?",
                (remote_id, job, number),
            )

    def return_shard(self, job: str, number: int, reason: str) -> None:
        """Return a shard's requests to `waiting`, since the provider did not accept them."""
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
        """Return the shards in this state, by number."""
        with self._database.connection() as db:
            return db.execute(
                "SELECT * FROM shards WHERE job = ? AND state = ? ORDER BY number", (job, state)
            ).fetchall()

    def members(self, job: str, number: int) -> list[tuple[int, BatchRequest]]:
        """Return a shard's requests with their positions, in the order sent."""
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
        """Record the outcome of each request of a shard, by position.

        A request to retry waits for the next round and fails after the last; in a cancelled job
        it is cancelled.
        """
        with self._database.transaction() as db:
            cancelled = bool(self.find_job(db, job)["cancelled"])
            attempts = dict(
                db.execute(
                    "SELECT position, attempts FROM requests WHERE job = ? AND shard = ?",
                    (job, number),
                )
            )
            for position in outcomes.keys() & attempts.keys():
                outcome = outcomes[position]
                end = _next_state(outcome, attempts[position] + 1, max_rounds, cancelled)
                kept = (None, None) if end == "waiting" else (now, number)
                db.execute(_SET_OUTCOME, (end, *_outcome_values(outcome), *kept, job, position))
            db.execute(
                "UPDATE shards SET state = ? WHERE job = ? AND number = ?",
                (f"collected ({state})", job, number),
            )

    def cancel(self, job: str, now: float) -> None:
        """Cancel a job: requests not sent are cancelled, and none will be sent."""
        with self._database.transaction() as db:
            self.find_job(db, job)
            db.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (job,))
            db.execute(
                "UPDATE requests SET state = 'cancelled', ended_at = ? "
                "WHERE job = ? AND state = 'waiting'",
                (now, job),
            )

    def hand_over(self, job: str) -> bool:
        """Whether this is the first time that a job's answers are handed over."""
        with self._database.transaction() as db:
            self.find_job(db, job)
            return bool(
                db.execute(
                    "UPDATE jobs SET handed_over = 1 WHERE id = ? AND handed_over = 0", (job,)
                ).rowcount
            )

    def mark_recorded(self, job: str, positions: Sequence[int]) -> None:
        """Mark answers as recorded in the ledger."""
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
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (job,))  # noqa: S608 - only constants
        self._database.shrink()

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


def _columns_of(request: BatchRequest) -> tuple[object, ...]:
    """Return the columns id to context of a new request."""
    return (
        *(request.id, request.endpoint, request.model, request.body, request.tokens),
        *(request.source, request.context),
    )


def _state_of(request: BatchRequest, now: float) -> tuple[object, ...]:
    """Return the columns state, answer, usage, ended_at and recorded of a new request."""
    if request.answer is None:
        return "waiting", None, None, None, 0
    # Where the answer came from has recorded it.
    return "answered", request.answer, json.dumps(Usage().as_dict()), now, 1


def _outcome_values(outcome: LineOutcome) -> tuple[str | None, ...]:
    """Return the columns answer, usage, error and error_kind, without secrets in the errors."""
    answered = outcome.body is not None
    return (
        json.dumps(outcome.body) if answered else None,
        json.dumps(outcome.usage.as_dict()) if answered else None,
        None if outcome.error is None else shown_lines(outcome.error),
        None if outcome.error_kind is None else shown(outcome.error_kind),
    )


def _next_state(outcome: LineOutcome, attempts: int, max_rounds: int, cancelled: bool) -> str:
    if outcome.status == "answered":
        return "answered"
    if outcome.status == "refused":
        return "failed"
    if cancelled:
        return "cancelled"
    return "waiting" if attempts < max_rounds else "failed"
