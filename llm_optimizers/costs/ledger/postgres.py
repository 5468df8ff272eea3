"""A ledger in a PostgreSQL database, to which several machines write.

The tables stand in a schema of their own (`llm_optimizers`, or the URL's `?schema=NAME`), which is
created on first use, so no table of another program is touched.

Groups of entries are written one after the other, under an advisory lock that ends with the
transaction (https://www.postgresql.org/docs/current/explicit-locking.html): the numbers of an
identity column are given out before their rows can be seen, and a reader that goes on after the
highest number it saw would miss a row that is committed late. The same lock protects the rollups.

Every step has a deadline, on the server and here: a server that hangs does not stop the app.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from llm_optimizers.arguments import string
from llm_optimizers.costs.ledger import rows
from llm_optimizers.costs.ledger.store import Entry, Stored
from llm_optimizers.costs.records import CallRecord, LedgerNote
from llm_optimizers.errors import BusyError, ConfigurationError, SchemaError, StoreError
from llm_optimizers.forks import ProcessLock, renew_in_children
from llm_optimizers.shown import shown

try:
    import psycopg
    import sqlalchemy as sa
    from sqlalchemy.dialects.postgresql import insert
    from sqlalchemy.types import UserDefinedType
except ModuleNotFoundError as error:
    raise ImportError(
        "a ledger on PostgreSQL needs an extra: pip install 'llm-optimizers[postgres]'"
    ) from error

__all__ = ["PostgresLedgerStore"]

T = TypeVar("T")

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_DRIVER = "postgresql+psycopg"
_SCHEMA = "llm_optimizers"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_KIND = "cost ledger"
_VERSION = 1
_LOCKS = int.from_bytes(b"LLMc")  # the first half of the advisory lock's number
_SECONDS = 10.0  # for one transaction
_GRACE_S = 1.0  # after which an answer of the server is no longer waited for
_MORE_CONNECTIONS = 3  # for readers; one is kept open
_CONNECT = {"connect_timeout": "5", "application_name": "llm-optimizers"}  # as the URL says else
_LONGEST_KEY = 600  # characters, of up to four bytes; an index takes 2,704 bytes
_NO_COLUMN = "42703"
_GONE = ("42P01", "3F000")  # the table, the schema
_OPTIONAL = frozenset(
    {"provider", "cost", "baseline_cost", "baseline_usage", "hit_strategy", "latency_s", "error"}
    | {"priced_by", "unpriced"}
)
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LATER = ("08", "40", "53300", "55P03", "57")
_REFUSED = ("22", "23", "54")
_ADVICE: Mapping[str, str] = {
    "25006": "it takes no writes now: is it a standby?",
    "42501": "let its user create the schema, and read and write the tables in it",
    "53100": "make room on its disk",
    "55P03": "another writer holds it: try later",
    "57": "try later",
}
_SEE_REASON = "see the reason given"


class _JSON(UserDefinedType[str]):
    """JSON that is written and read as text, so that both stores read a row in the same way."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the column's type."""
        return "JSON"

    def column_expression(self, colexpr: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        """Select the text."""
        return sa.cast(colexpr, sa.Text)


class _Tables:
    """The tables in one schema."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.all = sa.MetaData(schema=schema)
        self.about = sa.Table(
            "ledger_version",
            self.all,
            sa.Column("kind", sa.Text, nullable=False),
            sa.Column("version", sa.Integer, nullable=False),
        )
        self.calls = sa.Table(
            "calls",
            self.all,
            sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
            *(_column(name) for name in rows.COLUMNS),
        )
        self.notes = sa.Table(
            "notes",
            self.all,
            sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
            sa.Column("id", sa.Text, nullable=False, unique=True),
            sa.Column("time", sa.BigInteger, nullable=False),
            sa.Column("kind", sa.Text, nullable=False),
            sa.Column("payload", _JSON, nullable=False),
        )
        sa.Index("calls_by_time", self.calls.c.time)
        sa.Index("notes_by_kind", self.notes.c.kind, self.notes.c.time)
        self.insert_call = self._insert_call()
        self.insert_note = insert(self.notes).on_conflict_do_nothing()

    def _insert_call(self) -> sa.Insert:
        """Insert a call; see `rows` for which second record of an id replaces the first."""
        old, new = self.calls.c, (made := insert(self.calls)).excluded
        return made.on_conflict_do_update(
            index_elements=["id"],
            set_={name: new[name] for name in rows.COLUMNS},
            where=sa.and_(
                old.hit_strategy.is_not(None),
                old.latency_s.is_(None),
                new.hit_strategy.is_not(None),
                new.latency_s.is_not(None),
            ),
        )


def _column(name: str) -> sa.Column[Any]:
    """Return a column of `calls`; what is neither text nor optional is named here."""
    kind: Any = sa.Text
    if name == "time" or name in rows.COUNTS:
        kind = sa.BigInteger
    elif name in ("cost", "baseline_cost"):
        kind = sa.Numeric
    elif name in ("baseline_usage", "savings", "tags"):
        kind = _JSON
    elif name in ("estimated", "suspicious", "held_out"):
        kind = sa.SmallInteger
    elif name == "latency_s":
        kind = sa.Double
    return sa.Column(name, kind, nullable=name in _OPTIONAL, unique=name == "id")


class PostgresLedgerStore:
    """See `LedgerStore`; for any number of threads, processes and machines.

    Args:
        url: postgresql://user:password@host:port/database; libpq's settings may follow as its
            query, and `schema`.
        wait: seconds to wait for another writer.
        seconds: for one transaction, after which a server that hangs is given up.

    Messages contain neither the password nor what is stored. A server that is down, that starts,
    or that has no connection left raises `BusyError`: try later.

    Raises:
        ConfigurationError: the URL is not one of PostgreSQL.
    """

    path: Path | None = None

    def __init__(self, url: str, *, wait: float = 1.0, seconds: float = _SECONDS) -> None:
        self.url = string("url", url)
        self._url, schema = _checked(url)
        self.name = f"the {_KIND} at {_place(self._url)}, schema {schema}"
        self._tables = _Tables(schema)
        self._wait = wait
        self._seconds = seconds
        self._lock = ProcessLock()
        self._writing = ProcessLock()
        self._engine: sa.Engine | None = None
        self._ready = False
        renew_in_children(self)

    def open(self) -> None:
        """See `LedgerStore`."""
        self._run(_nothing)

    def write(self, entries: Sequence[Entry], *, wait: float) -> None:
        """See `LedgerStore`."""
        calls = [_call_row(each) for each in entries if not isinstance(each, LedgerNote)]
        notes = [_note_row(each) for each in entries if isinstance(each, LedgerNote)]

        def insert_all(connection: sa.Connection) -> None:
            self._lock_writers(connection)
            for statement, made in (
                (self._tables.insert_call, calls),
                (self._tables.insert_note, notes),
            ):
                if made:
                    connection.execute(statement, made)

        # Writers wait for one another at the server; those of this process need one connection.
        if not self._writing.acquire(wait):
            raise BusyError(f"{self.name} is in use by another thread")
        try:
            self._run(insert_all, wait=wait)
        finally:
            self._writing.release()

    def calls(
        self, after: int, *, since: int, until: int, most: int
    ) -> Sequence[Stored[CallRecord]]:
        """See `LedgerStore`."""
        table = self._tables.calls
        when = sa.and_(table.c.seq > after, table.c.time >= since, table.c.time < until)
        page = sa.select(table).where(when).order_by(table.c.seq).limit(most)
        return self._read(page, rows.read_call)

    def notes(
        self, after: int, *, kind: str, since: int, most: int
    ) -> Sequence[Stored[LedgerNote]]:
        """See `LedgerStore`."""
        table = self._tables.notes
        of_kind = table.c.kind == _key(_text(kind))
        which = sa.and_(table.c.seq > after, of_kind, table.c.time >= since)
        page = sa.select(table).where(which).order_by(table.c.seq).limit(most)
        return self._read(page, rows.read_note)

    def close(self) -> None:
        """See `LedgerStore`."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.dispose()

    def renew(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        if self._engine is not None:
            _inherited.append(self._engine)  # closed here, they would end in the parent too
            self._engine = None

    def _read(
        self,
        page: sa.Select[Any],
        read: Callable[[Mapping[str, Any]], tuple[T | None, bool]],
    ) -> list[Stored[T]]:
        found: Any = self._run(lambda connection: connection.execute(page).mappings().all())
        return [Stored(row["seq"], *read(row)) for row in found]

    def _lock_writers(self, connection: sa.Connection) -> None:
        """Let no other process write before this transaction ends."""
        number = sa.func.hashtext(self._tables.schema)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCKS, number)))

    def _run(
        self,
        use: Callable[[sa.Connection], T],
        *,
        wait: float | None = None,
        seconds: float | None = None,
    ) -> T:
        """Return what `use` gets in one transaction.

        It runs once more if its connection had ended, as that of a server that was started again,
        or if the tables are gone: what is written twice has the same id.
        """
        for first in (True, False):
            deadline = _Deadline(self._seconds if seconds is None else seconds)
            try:
                with self._connected().connect() as connection, deadline.of(connection):
                    with connection.begin():
                        _limit(connection, self._wait if wait is None else wait, deadline.seconds)
                        if not self._ready:
                            self._ensure(connection)
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

    def _ensure(self, connection: sa.Connection) -> None:
        """Create the tables where there are none, and check whose they are.

        Raises:
            SchemaError: they are another program's or another version's; nothing was changed.
        """
        if not self._is_there(connection):
            self._lock_writers(connection)
            if not self._is_there(connection):  # another process may have been faster
                self._create(connection)
        about = self._tables.about
        try:
            found = connection.execute(sa.select(about.c.kind, about.c.version)).all()
        except sa.exc.ProgrammingError as error:
            if _code(error) != _NO_COLUMN:
                raise
            found = []
        if [kind for kind, _ in found] != [_KIND]:
            raise self._foreign()
        if (version := found[0].version) != _VERSION:
            raise SchemaError(
                f"{self.name} is of version {version} and this release reads version {_VERSION}; "
                "upgrade llm-optimizers or give another schema (?schema=NAME)"
            )

    def _is_there(self, connection: sa.Connection) -> bool:
        about = self._tables.about
        return sa.inspect(connection).has_table(about.name, schema=about.schema)

    def _create(self, connection: sa.Connection) -> None:
        schema = self._tables.schema
        known = sa.select(sa.func.count()).select_from(sa.text("pg_catalog.pg_namespace"))
        if not connection.scalar(known.where(sa.column("nspname") == schema)):
            connection.execute(sa.schema.CreateSchema(schema))
        elif sa.inspect(connection).get_table_names(schema=schema):
            raise self._foreign()
        self._tables.all.create_all(connection, checkfirst=False)
        connection.execute(sa.insert(self._tables.about).values(kind=_KIND, version=_VERSION))

    def _foreign(self) -> SchemaError:
        return SchemaError(
            f"the schema {self._tables.schema} of the database at {_place(self._url)} holds tables "
            f"of something else; give the {_KIND} another one (?schema=NAME)"
        )

    def _failure(self, error: sa.exc.DBAPIError, deadline: _Deadline) -> Exception:
        """Return the error to raise; without the statement, whose values are not for messages.

        It is a `ValueError` if a value is refused, not the whole store.
        """
        if deadline.passed:
            return BusyError(f"{self.name} did not answer within {deadline.seconds:g} s; is it up?")
        code = _code(error)
        if code is None:
            return BusyError(
                f"{self.name} cannot be reached ({_reason(error)}); is it up, and are the user, "
                "the password and the database in its URL right?"
            )
        if code[:2] in _REFUSED:
            return ValueError(f"{self.name} refuses an entry ({_reason(error)})")
        kind = BusyError if code[:2] in _LATER or code in _LATER else StoreError
        advice = next((_ADVICE[part] for part in (code, code[:2]) if part in _ADVICE), _SEE_REASON)
        return kind(f"{self.name} cannot be used ({_reason(error)}); {advice}")


class _Deadline:
    """Ends a connection from outside: psycopg waits for an answer as long as it takes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = self._done = False
        self._lock = threading.Lock()

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


def _nothing(_connection: sa.Connection) -> None:
    """Use the connection for nothing: to open it checks the tables."""


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
    if scheme not in _SCHEMES or not found:
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


def _call_row(record: CallRecord) -> dict[str, Any]:
    return _storable(dict(zip(rows.COLUMNS, rows.call_values(record), strict=True)))


def _note_row(note: LedgerNote) -> dict[str, Any]:
    return _storable(dict(zip(rows.NOTE_COLUMNS, rows.note_values(note), strict=True)))


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without what PostgreSQL has no text for."""
    return {
        name: _text(value) if isinstance(value, str) else value for name, value in row.items()
    } | {name: _key(_text(row[name])) for name in ("id", "kind") if name in row}


def _text(value: str) -> str:
    value = value.replace("\0", "\\x00")
    return value if value.isascii() else value.encode(errors="backslashreplace").decode()


def _key(text: str) -> str:
    """Return a text that fits into an index; the end of a long one is its digest."""
    if len(text) <= _LONGEST_KEY:
        return text
    return f"{text[:_LONGEST_KEY]}…{hashlib.sha256(text.encode()).hexdigest()}"
