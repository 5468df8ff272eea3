"""Store a sample of the requests in a file, to label it later.

Samples contain users' text. Nothing is stored unless a `SampleStore` was created. The file is
readable by its owner only, every sample has a time to live, and samples can be deleted by tenant
and by user. Shadow calls are made later, never while a user waits.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from llm_optimizers.arguments import (
    fields,
    function,
    number,
    optional,
    refuse,
    sequence,
    share,
    string,
    text,
    values,
    whole,
    with_methods,
)
from llm_optimizers.connections.breaker import CircuitBreaker
from llm_optimizers.connections.paths import file_path
from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.durations import Duration, in_seconds
from llm_optimizers.effects import aside, in_event_loop
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.events import Notice, SampleBought, VerdictGiven, emit
from llm_optimizers.evidence.labels import Label
from llm_optimizers.failures import store_outage
from llm_optimizers.forks import ProcessLock, renew_in_children
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.types import Clock

__all__ = ["Sample", "SampleStore", "read_traffic", "shadow"]


THIRTY_DAYS_S = 30 * 86_400.0
_PAGE = 500
_Row: TypeAlias = tuple[float, float, str, str, str, str]
_WAIT_S = 0.25  # seconds to wait for another writer; short, since an answer may be waiting
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
    """One stored request; `time` is in seconds since the epoch."""

    prompt: str
    task: str = ""
    tenant: str = ""
    user: str = ""
    time: float = 0.0

    def __post_init__(self) -> None:
        fields(self, {"prompt": str, "task": str, "tenant": str, "user": str})
        number("time", self.time)


class SampleStore(PickledAsArguments):
    """Stores a random share of the requests offered to it in an SQLite file.

    Safe to share between threads, event loops and forked processes; several processes may use one
    file. `offer` never raises: a failing file is logged once and loses no answer. All other
    methods raise `StoreError`.

    Args:
        path: The file; it is created when the first sample is stored.
        rate: The share of requests to store, from 0 to 1.
        ttl: How long a sample is kept: seconds, a `timedelta` or a text such as "30 days".
        max_samples: The most samples of a tenant; the oldest are deleted first.
        clock: Returns seconds since the epoch.
        rng: The random generator that selects requests.

    Raises:
        ConfigurationError: a number is out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: float = 0.1,
        ttl: Duration = THIRTY_DAYS_S,
        max_samples: int = 10_000,
        clock: Clock = time.time,
        rng: random.Random | None = None,
    ) -> None:
        if path is None:
            refuse("path", path, "the path of a file")
        kept_s = in_seconds(ttl, "ttl")
        if kept_s is None:
            refuse("ttl", ttl, 'seconds above 0, a timedelta, or a text such as "30 days"')
        self._rate = share("rate", rate)
        self._max_samples = whole("max_samples", max_samples, least=1)
        self._clock = function("clock", clock)
        self._database = Database(path, _SCHEMA, wait=_WAIT_S)
        self._ttl = kept_s
        self._breaker = CircuitBreaker(clock)
        self._waiting: deque[_Row] = deque()
        self._storing = ProcessLock()
        renew_in_children(self)
        # Not used for security.
        generator = random.Random() if rng is None else rng  # noqa: S311
        with_methods("rng", generator, "random", give="a random.Random(seed)")
        self._draw = generator.random
        self._outage = store_outage(
            __name__,
            "sample file",
            failed="Requests are not sampled until the sample file works",
            recovered="The sample file works again: requests are sampled",
        )

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"path": self._database.path}

    def offer(self, prompt: str, *, task: str = "", tenant: str = "", user: str = "") -> bool:
        """Store a request with probability `rate`; return whether it was selected. Never raises.

        In an event loop a thread stores it.
        """
        if not prompt or self._draw() >= self._rate or not self._breaker.allow():
            return False
        now = self._clock()
        self._waiting.append((now, now + self._ttl, tenant, user, task, prompt))
        if in_event_loop():
            aside(lambda: self._store_waiting(0.0))
            return True
        return self._store_waiting(_WAIT_S)

    def renew(self) -> None:
        """Forget what waits, in a forked child: the parent stores it."""
        self._waiting.clear()

    def _store_waiting(self, seconds: float) -> bool:
        """Store what waits, unless another thread does; False if that fails.

        While a file is locked, one thread waits for it, and not all threads of a pool.
        """
        while self._waiting and self._storing.acquire(seconds):
            try:
                while self._waiting:
                    if not self._store(self._waiting.popleft()):
                        self._waiting.clear()
                        return False
            finally:
                self._storing.release()
        return True

    def _store(self, row: _Row) -> bool:
        """Store a sample; return whether that succeeded."""
        now, _, tenant, *_ = row
        try:
            with self._database.transaction() as connection:
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
            self._outage.failed(error)
            return False
        self._breaker.succeeded()
        self._outage.worked()
        return True

    def samples(self, *, tenant: str | None = "") -> Iterator[Sample]:
        """Return a tenant's samples that have not expired, oldest first; all tenants' if None."""
        return self._read(optional(string, "tenant", tenant))

    def _read(self, tenant: str | None) -> Iterator[Sample]:
        last_sequence = 0
        while True:
            with self._database.connection() as connection:
                page = connection.execute(
                    "SELECT sequence, prompt, task, tenant, user, time FROM samples"
                    " WHERE (:tenant IS NULL OR tenant = :tenant)"
                    " AND sequence > :after AND expires > :now ORDER BY sequence LIMIT :page",
                    {
                        "tenant": tenant,
                        "after": last_sequence,
                        "now": self._clock(),
                        "page": _PAGE,
                    },
                ).fetchall()
            for last, prompt, task, owner, user, stored_at in page:
                last_sequence = last
                yield Sample(prompt=prompt, task=task, tenant=owner, user=user, time=stored_at)
            if len(page) < _PAGE:
                return

    def count(self, *, tenant: str | None = None) -> int:
        """Return how many samples have not expired, of one tenant or of all."""
        with self._database.connection() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM samples"
                " WHERE expires > :now AND (:tenant IS NULL OR tenant = :tenant)",
                {"now": self._clock(), "tenant": tenant},
            ).fetchone()
        return int(count)

    def expire(self) -> int:
        """Delete expired samples, as `offer` does too; return how many."""
        with self._database.transaction() as connection:
            deleted = _delete_expired(connection, self._clock())
        self._database.shrink()
        return deleted

    def forget(self, *, user: str | None = None, tenant: str | None = None) -> int:
        """Delete all samples of a user, of a tenant, or of one tenant's user; return how many.

        Their text is overwritten in the file, removed from SQLite's write-ahead log, and its room
        is given back. If another process is reading at that moment, the log keeps it until the
        next deletion.

        Raises:
            ConfigurationError: neither `user` nor `tenant` is given, or one is no text, so that
                nothing would be found.
            StoreError: the file failed and nothing was deleted.
        """
        optional(text, "user", user)
        optional(string, "tenant", tenant)
        if user is None and tenant is None:
            raise ConfigurationError("give the `user` or the `tenant` whose samples to delete")
        with self._database.transaction() as connection:
            deleted = connection.execute(
                "DELETE FROM samples"
                " WHERE (:user IS NULL OR user = :user)"
                " AND (:tenant IS NULL OR tenant = :tenant)",
                {"user": user, "tenant": tenant},
            ).rowcount
        self._database.shrink()
        return deleted

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._database.close()


def _delete_expired(connection: sqlite3.Connection, now: float) -> int:
    return connection.execute("DELETE FROM samples WHERE expires <= ?", (now,)).rowcount


def read_traffic(
    path: str | os.PathLike[str], *, tenant: str | None = None
) -> Iterator[tuple[str, str]]:
    """Return the (prompt, task) pairs of a sample file one by one, ready for `shadow`.

    All tenants' samples by default, because a router is calibrated on all of an app's traffic.

    Raises:
        ConfigurationError: there is no such file.
        StoreError: it is not a sample file, or cannot be read.
    """
    file = file_path("path", path)
    if not file.is_file():
        raise ConfigurationError(
            f"there is no sample file {file}; give the path of a `SampleStore` that was used"
        )
    return _pairs(SampleStore(file), optional(string, "tenant", tenant))


def _pairs(store: SampleStore, tenant: str | None) -> Iterator[tuple[str, str]]:
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
    """Send each prompt to every model, grade the answers, and return one label per prompt.

    The calls are made while the labels are read.

    `answer(model, prompt)` calls a model; `grade(prompt, answer, model)` returns the answer's
    score: from a checker, a judge model or a person. A prompt that fails on any model is logged
    and skipped, because a label needs all scores.

    Raises:
        ConfigurationError: an argument is of another kind.
    """
    return _labels(
        values("traffic", traffic, "pairs of a prompt and its task"),
        sequence("models", models, str, least=1),
        answer=function("answer", answer),
        grade=function("grade", grade),
    )


def _labels(
    traffic: Iterable[tuple[str, str]],
    models: Sequence[str],
    *,
    answer: Callable[[str, str], str],
    grade: Callable[[str, str, str], float],
) -> Iterator[Label]:
    for prompt, task in traffic:
        try:
            scores: dict[str, float] = {}
            for model in models:
                reply = answer(model, prompt)
                emit(SampleBought(component=__name__, id="", model=model))
                scores[model] = grade(prompt, reply, model)
            label = Label(prompt=prompt, scores=scores, task=task)
        except Exception as error:  # noqa: BLE001 - one failed label must not end the labelling
            message = f"A prompt was skipped and has no label: {type(error).__name__}"
            emit(Notice(component=__name__, message=message))
            continue
        for model, score in label.scores.items():
            emit(
                VerdictGiven(component=__name__, model=model, judge="", score=score, accepted=None)
            )
        yield label
