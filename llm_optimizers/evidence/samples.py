"""Samples of traffic: a share of the requests, kept in a file that the user gives, to label later.

Samples hold users' text. They are kept only where a store for them was made, for a time to live,
in a file that is its owner's alone; each belongs to a tenant and a user and is deleted with
either. Shadow calls are made afterwards and never while a user waits.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.evidence.labels import Label
from llm_optimizers.types import Clock

__all__ = ["Sample", "SampleStore", "read_traffic", "shadow"]

_log = logging.getLogger(__name__)

THIRTY_DAYS_S = 30 * 86_400.0
_PAGE = 500
_WAIT_S = 0.25  # for another process that is writing: an answer may be waiting for this
_SCHEMA = Schema(
    kind="sample file",
    version=1,
    application_id=int.from_bytes(b"LLMs"),
    statements=(
        """CREATE TABLE samples (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            time REAL NOT NULL, expires REAL NOT NULL,
            tenant TEXT NOT NULL, user TEXT NOT NULL, task TEXT NOT NULL, prompt TEXT NOT NULL
        )""",
        "CREATE INDEX by_tenant ON samples (tenant, sequence)",
        "CREATE INDEX by_user ON samples (user)",
        "CREATE INDEX by_expiry ON samples (expires)",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request that was kept; `time` is in seconds since the epoch."""

    prompt: str
    task: str = ""
    tenant: str = ""
    user: str = ""
    time: float = 0.0


class SampleStore:
    """Keeps a share of the requests that are offered to it in an SQLite file.

    Safe to share between threads, event loops and forked processes; several processes may use one
    file. A file that fails is reported once in the log and costs no answer: `offer` never raises.
    All other methods raise `StoreError`, since nobody waits for an answer there.

    Args:
        path: the file, made when it is first needed.
        rate: the share of requests that is kept, from 0 to 1.
        ttl: seconds that a sample is kept.
        max_samples: how many are kept of each tenant; the oldest make room.
        clock: seconds since the epoch.
        rng: draws who is kept.

    Raises:
        ConfigurationError: a number is out of its range.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        rate: float = 0.1,
        ttl: float = THIRTY_DAYS_S,
        max_samples: int = 10_000,
        clock: Clock = time.time,
        rng: random.Random | None = None,
    ) -> None:
        if not 0 <= rate <= 1:
            raise ConfigurationError(f"`rate` is {rate}; give a share from 0 to 1")
        if not ttl > 0 or max_samples < 1:
            raise ConfigurationError("`ttl` must be above 0 and `max_samples` 1 or more")
        self._database = Database(path, _SCHEMA, wait=_WAIT_S)
        self._rate = rate
        self._ttl = ttl
        self._max_samples = max_samples
        self._clock = clock
        self._breaker = CircuitBreaker(clock)
        # Chance picks a sample; nothing secret hangs on it.
        self._draw = (rng or random.Random()).random  # noqa: S311
        self._warned = False

    def offer(self, prompt: str, *, task: str = "", tenant: str = "", user: str = "") -> bool:
        """Keep a request with the store's probability; says whether it was kept. Never raises."""
        if not prompt or self._draw() >= self._rate or not self._breaker.allow():
            return False
        now = self._clock()
        row = (now, now + self._ttl, tenant, user, task, prompt)
        try:
            with self._deleting() as connection:
                _delete_expired(connection, now)
                connection.execute(
                    "INSERT INTO samples (time, expires, tenant, user, task, prompt)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    row,
                )
                connection.execute(
                    "DELETE FROM samples WHERE sequence IN (SELECT sequence FROM samples"
                    " WHERE tenant = ? ORDER BY sequence DESC LIMIT -1 OFFSET ?)",
                    (tenant, self._max_samples),
                )
        except Exception as error:  # noqa: BLE001 - a sample must never cost an answer
            self._breaker.failed()
            self._warn(error)
            return False
        self._breaker.succeeded()
        return True

    def samples(self, *, tenant: str | None = "") -> Iterator[Sample]:
        """A tenant's samples, the oldest first, without those that have expired; None for all."""
        seen = 0
        while True:
            with self._database.connection() as connection:
                page = connection.execute(
                    "SELECT sequence, prompt, task, tenant, user, time FROM samples"
                    " WHERE (?1 IS NULL OR tenant = ?1) AND sequence > ?2 AND expires > ?3"
                    " ORDER BY sequence LIMIT ?4",
                    (tenant, seen, self._clock(), _PAGE),
                ).fetchall()
            for sequence, prompt, task, owner, user, kept in page:
                seen = sequence
                yield Sample(prompt=prompt, task=task, tenant=owner, user=user, time=kept)
            if len(page) < _PAGE:
                return

    def count(self, *, tenant: str | None = None) -> int:
        """How many samples have not expired: of one tenant, or of all."""
        with self._database.connection() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM samples WHERE expires > ? AND (?2 IS NULL OR tenant = ?2)",
                (self._clock(), tenant),
            ).fetchone()
        return int(count)

    def expire(self) -> int:
        """Delete what has outlived its time, as every kept sample does too; returns how many."""
        with self._deleting() as connection:
            deleted = _delete_expired(connection, self._clock())
        self._shorten_log()
        return deleted

    def forget(self, *, user: str | None = None, tenant: str | None = None) -> int:
        """Delete all samples of a user, of a tenant, or of a user of a tenant; returns how many.

        Their text is overwritten in the file, and gone from its log too unless another process
        reads at that moment; it then goes with the next deletion.

        Raises:
            ConfigurationError: neither was named.
            StoreError: nothing was deleted.
        """
        if user is None and tenant is None:
            raise ConfigurationError("name the user or the tenant whose samples are to be deleted")
        with self._deleting() as connection:
            deleted = connection.execute(
                "DELETE FROM samples"
                " WHERE (?1 IS NULL OR user = ?1) AND (?2 IS NULL OR tenant = ?2)",
                (user, tenant),
            ).rowcount
        self._shorten_log()
        return deleted

    def close(self) -> None:
        """Release the file; a later use opens it again."""
        self._database.close()

    @contextmanager
    def _deleting(self) -> Iterator[sqlite3.Connection]:
        """A transaction in which what is deleted is also overwritten."""
        with self._database.transaction() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            yield connection

    def _shorten_log(self) -> None:
        """Empty SQLite's log of writes, which holds the deleted text until then."""
        with self._database.connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            # Only a store's own errors are known to hold none of the text.
            reason = str(error) if isinstance(error, StoreError) else type(error).__name__
            _log.warning("traffic is not sampled: %s", reason)


def _delete_expired(connection: sqlite3.Connection, now: float) -> int:
    return connection.execute("DELETE FROM samples WHERE expires <= ?", (now,)).rowcount


def read_traffic(path: str | Path, *, tenant: str | None = None) -> Iterator[tuple[str, str]]:
    """Prompts and task tags of the samples in a file, as `shadow` takes them.

    They are all tenants' unless one is named: a router is calibrated on all of an app's traffic.

    Raises:
        ConfigurationError: there is no such file.
        StoreError: it holds no samples, or cannot be read.
    """
    if not Path(path).is_file():
        raise ConfigurationError(f"there is no sample file {path}")
    store = SampleStore(path)
    try:
        for sample in store.samples(tenant=tenant):
            yield sample.prompt, sample.task
    finally:
        store.close()


def shadow(
    traffic: Iterable[tuple[str, str]],
    models: Sequence[str],
    *,
    answer: Callable[[str, str], str],
    grade: Callable[[str, str, str], float],
) -> Iterator[Label]:
    """Ask every model each prompt and grade the answers, one label at a time.

    `answer(model, prompt)` calls a model; `grade(prompt, answer, model)` says what its answer is
    worth: a checker, a judge model, or a person. A prompt that fails on any model is left out,
    since half a label teaches nothing; the failure is logged.
    """
    for prompt, task in traffic:
        try:
            scores = {model: grade(prompt, answer(model, prompt), model) for model in models}
        except Exception as error:  # noqa: BLE001 - one failed label must not end the labelling
            _log.warning("a prompt was left unlabelled: %s", type(error).__name__)
            continue
        yield Label(prompt=prompt, scores=scores, task=task)
