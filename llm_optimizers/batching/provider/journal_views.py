"""What can be read of a journal: where jobs stand, and what became of their requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from llm_optimizers.batching.provider.client import BatchStatus, ShardStatus
from llm_optimizers.batching.provider.journal_file import JournalFile
from llm_optimizers.errors import ConfigurationError

__all__ = ["JournalViews"]


class JournalViews(JournalFile):
    """Readings of the journal; every method raises StoreError when the file fails."""

    def find_job(self, db: sqlite3.Connection, job: str) -> sqlite3.Row:
        """A job's row; raises ConfigurationError when there is none."""
        row: sqlite3.Row | None = db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
        if row is None:
            raise ConfigurationError(f"no batch {job!r} is in {self.path}; was it another file?")
        return row

    def status(self, job: str) -> BatchStatus:
        """Count a job's requests and list its shards."""
        with self.reading() as db:
            self.find_job(db, job)
            states = dict(
                db.execute(
                    "SELECT state, count(*) FROM requests WHERE job = ? GROUP BY state", (job,)
                )
            )
            shards = db.execute(
                "SELECT number, remote_id, state, (SELECT count(*) FROM requests "
                "WHERE requests.job = shards.job AND shard = number) AS members "
                "FROM shards WHERE job = ? ORDER BY number",
                (job,),
            ).fetchall()
        return BatchStatus(
            id=job,
            total=sum(states.values()),
            answered=states.get("answered", 0),
            failed=states.get("failed", 0),
            cancelled=states.get("cancelled", 0),
            shards=tuple(
                ShardStatus(
                    number=row["number"],
                    remote_id=row["remote_id"],
                    state=row["state"],
                    requests=row["members"],
                )
                for row in shards
            ),
        )

    def results(self, job: str) -> Iterator[sqlite3.Row]:
        """Every request with what became of it, in the order of submission, page by page."""
        last = -1
        while True:
            with self.reading() as db:
                self.find_job(db, job)
                page = db.execute(
                    "SELECT * FROM requests WHERE job = ? AND position > ? "
                    "ORDER BY position LIMIT 1000",
                    (job, last),
                ).fetchall()
            yield from page
            if len(page) < 1_000:
                return
            last = page[-1]["position"]

    def unrecorded(self, job: str) -> list[sqlite3.Row]:
        """Answers that the ledger may not have yet."""
        with self.reading() as db:
            return db.execute(
                "SELECT * FROM requests WHERE job = ? AND state = 'answered' AND recorded = 0 "
                "ORDER BY position",
                (job,),
            ).fetchall()

    def jobs(self) -> list[str]:
        """Every job's id, the latest first."""
        with self.reading() as db:
            return [row["id"] for row in db.execute("SELECT id FROM jobs ORDER BY created_at DESC")]
