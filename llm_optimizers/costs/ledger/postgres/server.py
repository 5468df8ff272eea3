"""The connections to a PostgreSQL server: limits of time, restarts, forks, errors.

Every transaction has a deadline, on the server and here: psycopg waits for an answer as long as it
takes, so a timer ends the socket of a server that hangs.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

from llm_optimizers.errors import BusyError, ConfigurationError, StoreError
from llm_optimizers.forks import ProcessLock, renew_in_children
from llm_optimizers.shown import shown

__all__ = ["SECONDS", "PostgresServer"]

T = TypeVar("T")

_SCHEMES = ("postgresql", "postgres")
_DRIVER = "postgresql+psycopg"
_SCHEMA = "llm_optimizers"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
SECONDS = 10.0  # for one transaction
_GRACE_S = 1.0  # after which an answer of the server is no longer waited for
_MORE_CONNECTIONS = 3  # for readers; one is kept open
# Where the URL does not set them.
_CONNECT = {"connect_timeout": "5", "application_name": "llm-optimizers"}
_SNAPSHOT = sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
_GONE = ("42P01", "3F000")  # the table, the schema
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LATER = ("40", "55P03", "57014")
_REFUSED = ("22", "23", "54")
_ADVICE: Mapping[str, str] = {
    "25006": "it takes no writes now: is it a standby?",
    "42501": "let its user create the schema, and read and write the tables in it",
    "53100": "make room on its disk",
    "55P03": "another writer holds it: try later",
    "57014": "it took too long: try later",
    "57": "try later",
}
_SEE_REASON = "see the reason given"


class PostgresServer:
    """One database, for any number of threads and forked processes.

    Args:
        url: postgresql://user:password@host:port/database; libpq's settings may follow as its
            query, and `schema`.
        kind: what is kept there, for messages, such as "cost ledger".
        prepare: makes and checks the tables; called in the first transaction, and again after a
            connection was lost.
        wait: seconds to wait for a lock.
        seconds: for one transaction, after which a server that hangs is given up.

    Messages contain neither the password nor what is stored.

    Raises:
        ConfigurationError: the URL is not one of PostgreSQL.

    Raises (from every use):
        BusyError: a lock is held, or all connections of this process are in use: try later.
        StoreError: the server is down, or it cannot be used; the message says what to do.
        ValueError: a value was refused.
    """

    def __init__(
        self,
        url: str,
        kind: str,
        prepare: Callable[[sa.Connection], None],
        *,
        wait: float,
        seconds: float = SECONDS,
    ) -> None:
        self._url, self.schema = _checked(url)
        self.place = _place(self._url)
        self.name = f"the {kind} at {self.place}, schema {self.schema}"
        self._prepare = prepare
        self._wait = wait
        self._seconds = seconds
        self._lock = ProcessLock()
        self._ends = ProcessLock()
        self._engine: sa.Engine | None = None
        self._ready = False
        renew_in_children(self)

    def close(self) -> None:
        """Close the connections; a later use opens others."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def renew(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        if self._engine is not None:
            _inherited.append(self._engine)  # closed here, they would end in the parent too
            self._engine = None

    def run(
        self,
        use: Callable[[sa.Connection], T],
        *,
        wait: float | None = None,
        seconds: float | None = None,
        snapshot: bool = False,
    ) -> T:
        """Return what `use` gets in one transaction; with `snapshot` it sees one state throughout.

        It runs once more if its connection had ended, as that of a server that was started again,
        or if the tables are gone: what is written twice has the same id.
        """
        for first in (True, False):
            deadline = _Deadline(self._seconds if seconds is None else seconds, self._ends)
            try:
                with self._connected().connect() as connection, deadline.of(connection):
                    with connection.begin():
                        if snapshot and self._ready:
                            connection.execute(_SNAPSHOT)
                        _limit(connection, self._wait if wait is None else wait, deadline.seconds)
                        if not self._ready:
                            self._prepare(connection)
                        found = use(connection)
                    self._ready = True
                    return found
            except sa.exc.DBAPIError as error:
                self._ready = False
                ended = error.connection_invalidated and not deadline.passed
                if not (first and (ended or _code(error) in _GONE)):
                    raise self._failure(error, deadline) from error.orig
            except sa.exc.TimeoutError as error:
                raise BusyError(f"{self.name} has no free connection; try later") from error
        raise AssertionError("the second try has ended the loop")

    def _connected(self) -> sa.Engine:
        with self._lock:
            if self._engine is None:
                self._engine = sa.create_engine(
                    self._url,
                    connect_args={"prepare_threshold": None},  # PgBouncer knows no prepared ones
                    hide_parameters=True,
                    isolation_level="READ COMMITTED",
                    pool_size=1,
                    max_overflow=_MORE_CONNECTIONS,
                    pool_timeout=self._seconds,
                )
            return self._engine

    def _failure(self, error: sa.exc.DBAPIError, deadline: _Deadline) -> Exception:
        """Return the error to raise; without the statement, whose values are not for messages.

        It is a `ValueError` if a value is refused, not the whole store.
        """
        if deadline.passed:
            return StoreError(
                f"{self.name} did not answer within {deadline.seconds:g} s; is it up?"
            )
        code = _code(error)
        if code is None:
            return StoreError(
                f"{self.name} cannot be reached ({_reason(error)}); is it up, and are the user, "
                "the password and the database in its URL right?"
            )
        if code[:2] in _REFUSED:
            return ValueError(f"{self.name} refuses an entry ({_reason(error)})")
        kind = BusyError if code.startswith(_LATER) else StoreError
        advice = next((_ADVICE[part] for part in (code, code[:2]) if part in _ADVICE), _SEE_REASON)
        return kind(f"{self.name} cannot be used ({_reason(error)}); {advice}")


class _Deadline:
    """Ends a connection from outside: psycopg waits for an answer as long as it takes."""

    def __init__(self, seconds: float, lock: ProcessLock) -> None:
        self.seconds = seconds
        self.passed = self._done = False
        self._lock = lock

    @contextmanager
    def of(self, connection: sa.Connection) -> Iterator[None]:
        """Limit what runs in the block."""
        driver: Any = connection.connection.dbapi_connection
        timer = threading.Timer(self.seconds + _GRACE_S, self._end, (driver,))
        timer.daemon = True
        with suppress(RuntimeError):  # no thread can start while the interpreter ends
            timer.start()
        try:
            yield
        finally:
            with self._lock:
                timer.cancel()
                self._done = True

    def _end(self, driver: Any) -> None:
        with self._lock, suppress(OSError, psycopg.Error):
            if not self._done:
                self.passed = True
                with socket.socket(fileno=os.dup(driver.fileno())) as ended:
                    ended.shutdown(socket.SHUT_RDWR)


_inherited: list[sa.Engine] = []


def _limit(connection: sa.Connection, wait: float, seconds: float) -> None:
    """Set limits for one transaction, which poolers such as PgBouncer pass on."""
    whole = f"{round(seconds * 1000)}ms"
    limits = {
        "lock_timeout": f"{max(1, round(wait * 1000))}ms",
        "statement_timeout": whole,
        "idle_in_transaction_session_timeout": whole,  # a writer that was stopped
    }
    local = sa.true()  # for this transaction only
    calls = (sa.func.set_config(name, value, local) for name, value in limits.items())
    connection.execute(sa.select(*calls))


def _checked(url: str) -> tuple[sa.URL, str]:
    """Return the URL for SQLAlchemy, and the schema it names.

    Raises:
        ConfigurationError: it is not one of PostgreSQL, or it holds what libpq does not know.
    """
    scheme, found, _ = url.partition("://")
    if scheme.lower().partition("+")[0] not in _SCHEMES or not found:  # any driver is ours
        given = f"{shown(scheme)}:" if found else "no scheme"
        raise ConfigurationError(
            f"`url` starts with {given}; give the URL of a PostgreSQL database, which starts with "
            "postgresql://"
        )
    try:
        parsed = sa.make_url(url).set(drivername=_DRIVER)
        schema = parsed.query.get("schema", _SCHEMA)
        parsed = parsed.difference_update_query(["schema"])
        libpq: Any = dict(parsed.query)
        psycopg.conninfo.make_conninfo("", **libpq)
        reason = "it has more than one @" if url.partition("?")[0].count("@") > 1 else None
    except sa.exc.ArgumentError:
        reason = "it is no URL"
    except (psycopg.Error, ValueError, TypeError) as error:
        reason = _first_line(error)
    if reason is not None:
        raise ConfigurationError(
            f"`url` cannot be read ({reason}); give it as postgresql://host:port/database, with "
            "user and password before the host, and their special characters as %xx"
        )
    if not isinstance(schema, str) or not _NAME.fullmatch(schema) or schema.startswith("pg_"):
        raise ConfigurationError(
            f"the schema in `url` is {shown(schema)!r}; give a name of small letters, digits and "
            "underscores"
        )
    unset = {name: value for name, value in _CONNECT.items() if name not in parsed.query}
    return parsed.update_query_dict(unset), schema


def _place(url: sa.URL) -> str:
    port = "" if url.port is None else f":{url.port}"
    return f"{url.host or 'this machine'}{port}/{url.database or ''}"


def _code(error: sa.exc.DBAPIError) -> str | None:
    found = getattr(error.orig, "sqlstate", None)
    return found if isinstance(found, str) else None


def _reason(error: sa.exc.DBAPIError) -> str:
    """Return the server's reason without its details, which repeat values."""
    diagnosis = getattr(error.orig, "diag", None)
    return getattr(diagnosis, "message_primary", None) or _first_line(error.orig)


def _first_line(error: object) -> str:
    return shown((str(error).splitlines() or [""])[0])
