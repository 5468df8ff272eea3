"""`Database`: transactions, files, other processes, forks."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.errors import BusyError, SchemaError, StoreError

SCHEMA = Schema(
    kind="test file",
    version=2,
    application_id=int.from_bytes(b"LLMt"),
    statements=("CREATE TABLE words (word TEXT NOT NULL, long INTEGER NOT NULL)",),
    migrations={1: lambda db: db.execute("ALTER TABLE words ADD COLUMN long INTEGER")},
)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks need POSIX")
quiet_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.sqlite"


@pytest.fixture(params=["memory", "file"])
def database(request: pytest.FixtureRequest, path: Path) -> Iterator[Database]:
    database = Database(path if request.param == "file" else None, SCHEMA)
    yield database
    database.close()


@contextmanager
def opened(path: Path, schema: Schema = SCHEMA, **options: Any) -> Iterator[Database]:
    with closing(Database(path, schema, **options)) as database:
        yield database


def put(database: Database, word: str) -> None:
    with database.transaction() as db:
        db.execute("INSERT INTO words VALUES (?, ?)", (word, len(word)))


def words(database: Database) -> list[str]:
    with database.connection() as db:
        return [row["word"] for row in db.execute("SELECT word FROM words ORDER BY rowid")]


def raw(path: Path, *statements: str) -> list[Any]:
    """Run statements with a plain connection, as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return [db.execute(statement).fetchall() for statement in statements][-1]


# --- Any database


def test_committed_rows_can_be_read(database: Database) -> None:
    put(database, "one")
    put(database, "two")
    assert words(database) == ["one", "two"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, asyncio.CancelledError])
def test_a_failed_transaction_is_rolled_back(
    database: Database, error: type[BaseException]
) -> None:
    def half() -> None:
        with database.transaction() as db:
            db.execute("INSERT INTO words VALUES ('half', 4)")
            raise error

    put(database, "before")
    with pytest.raises(error):
        half()
    put(database, "after")
    assert words(database) == ["before", "after"]


def test_a_failed_commit_does_not_block_the_next_transaction(
    database: Database,
) -> None:
    with database.transaction() as db:
        db.execute("CREATE TABLE parent (word TEXT PRIMARY KEY)")
        db.execute("CREATE TABLE child (word TEXT REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    with database.connection() as db:
        db.execute("PRAGMA foreign_keys = ON")

    def orphan() -> None:
        with database.transaction() as db:
            # This constraint is checked on commit.
            db.execute("INSERT INTO child VALUES ('orphan')")

    with pytest.raises(StoreError, match="FOREIGN KEY"):
        orphan()
    put(database, "after")
    assert words(database) == ["after"]


def test_a_failed_statement_raises_a_store_error_with_its_cause(database: Database) -> None:
    with (
        pytest.raises(StoreError, match="no such table: nowhere") as caught,
        database.connection() as db,
    ):
        db.execute("SELECT * FROM nowhere")
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    put(database, "after")
    assert words(database) == ["after"]


def test_threads_and_event_loops_share_a_database(database: Database) -> None:
    def in_a_thread(name: int) -> None:
        for number in range(25):
            put(database, f"thread {name} {number}")

    def in_a_loop(name: int) -> None:
        async def work(number: int) -> None:
            if number % 2:
                put(database, f"loop {name} {number}")
            else:
                await asyncio.to_thread(put, database, f"loop {name} {number}")

        async def main() -> None:
            await asyncio.gather(*(work(number) for number in range(25)))

        asyncio.run(main())

    threads = [threading.Thread(target=in_a_thread, args=(n,)) for n in range(2)]
    threads += [threading.Thread(target=in_a_loop, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(words(database))) == len(words(database)) == 100


def test_a_closed_database_is_reopened_on_its_next_use(path: Path) -> None:
    with opened(path) as database:
        put(database, "one")
        database.close()
        database.close()
        assert words(database) == ["one"]


def test_the_path_memory_means_a_database_in_memory() -> None:
    with closing(Database(":memory:", SCHEMA)) as database:
        assert database.path is None
        assert words(database) == []


def test_garbage_collection_closes_the_file(path: Path) -> None:
    database = Database(path, SCHEMA)
    put(database, "one")
    assert path.with_name("file.sqlite-wal").exists()
    del database
    gc.collect()
    # Closing the last connection removes the write-ahead log.
    assert not path.with_name("file.sqlite-wal").exists()
    assert raw(path, "SELECT word FROM words") == [("one",)]


def test_a_database_in_a_reference_cycle_closes_without_a_warning(path: Path) -> None:
    """Python 3.13 warns when the garbage collector comes to the connection first."""
    users: list[Any] = []
    holder: list[Any] = [Database(path, SCHEMA)]
    put(holder[0], "one")
    with holder[0].connection() as connection:
        users.append(connection)
    # Puts what it reaches late, here the database, behind what it reaches early.
    gc.collect()
    del connection
    users.clear()
    holder.append(holder)
    del holder
    gc.collect()
    assert not path.with_name("file.sqlite-wal").exists()


@pytest.mark.parametrize("held", ["by a name", "in a cycle"])
def test_a_database_that_is_open_when_the_interpreter_ends(path: Path, held: str) -> None:
    script = f"""
from pathlib import Path
from llm_optimizers.connections.sqlite import Database, Schema
schema = Schema(kind="test file", version=1, application_id=1, statements=("CREATE TABLE t (a)",))
databases = [Database(place, schema) for place in (None, Path({str(path)!r}))]
for database in databases:
    with database.transaction() as db:
        db.execute("INSERT INTO t VALUES (1)")
if {held == "in a cycle"}:
    databases.append(databases)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert raw(path, "SELECT a FROM t") == [(1,)]


def test_text_that_is_not_utf8_raises_or_is_returned_as_bytes(path: Path) -> None:
    with opened(path) as database:
        put(database, "one")
    raw(path, "UPDATE words SET word = CAST(x'ff' AS TEXT)")
    with opened(path) as strict, pytest.raises(StoreError, match="UTF-8"):
        words(strict)
    with opened(path, undecodable_as_bytes=True) as lenient:
        assert words(lenient) == [b"\xff"]


# --- Files: paths, permissions, contents


def test_a_tilde_is_expanded_and_missing_folders_are_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with opened(Path("~/new/folder/f.sqlite")) as database:
        put(database, "one")
    assert (tmp_path / "new" / "folder" / "f.sqlite").exists()


def test_a_relative_path_ignores_later_changes_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(Path("f.sqlite")) as database:
        put(database, "one")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert words(database) == ["one"]
    assert not (tmp_path / "elsewhere" / "f.sqlite").exists()


@pytest.mark.skipif(os.name != "posix", reason="file modes need POSIX")
def test_a_new_file_is_private_and_an_existing_one_keeps_its_mode(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with opened(tmp_path / "new.sqlite") as database:
            put(database, "private")
            modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in tmp_path.iterdir()}
            assert modes == {
                "new.sqlite": 0o600,
                "new.sqlite-wal": 0o600,
                "new.sqlite-shm": 0o600,
            }
        (tmp_path / "new.sqlite").chmod(0o640)
        with opened(tmp_path / "new.sqlite") as database:
            put(database, "shared")
            assert stat.S_IMODE((tmp_path / "new.sqlite").stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_an_older_file_is_migrated_once(path: Path) -> None:
    old = replace(SCHEMA, version=1, statements=("CREATE TABLE words (word TEXT)",))
    with opened(path, old) as database, database.transaction() as db:
        db.execute("INSERT INTO words VALUES ('old')")
    for _ in range(2):
        with opened(path) as database:
            put(database, "new")
    with opened(path) as database:
        assert words(database) == ["old", "new", "new"]


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    old = replace(SCHEMA, version=1)
    with opened(path, old) as database:
        put(database, "old")

    def broken(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM words")
        raise RuntimeError("half way")

    broken_schema = replace(SCHEMA, migrations={1: broken})
    with opened(path, broken_schema) as database, pytest.raises(RuntimeError, match="half way"):
        words(database)
    with opened(path, old) as database:
        assert words(database) == ["old"]


def test_a_file_without_an_application_id_can_be_read(path: Path) -> None:
    with opened(path) as database:
        put(database, "one")
    raw(path, "PRAGMA application_id = 0")
    with opened(path) as database:
        assert words(database) == ["one"]


def newer(path: Path) -> None:
    with opened(path, replace(SCHEMA, version=3)) as database:
        put(database, "one")


def older_without_migration(path: Path) -> None:
    with opened(path, replace(SCHEMA, version=-7)) as database:
        put(database, "one")


def another_store(path: Path) -> None:
    with opened(path, replace(SCHEMA, kind="other", application_id=1)) as database:
        put(database, "one")


def another_program(path: Path) -> None:
    raw(path, "CREATE TABLE words (word)")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            newer,
            "test file .*file.sqlite is of version 3 and this release reads version 2; upgrade",
        ),
        (older_without_migration, "is of version -7"),
        (another_store, "a database of something else; give the test file another path"),
        (another_program, "a database of something else"),
    ],
)
def test_a_file_of_another_program_or_version_is_refused_and_unchanged(
    path: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(path)
    before = path.read_bytes()
    with opened(path) as database:
        for _ in range(2):
            with pytest.raises(SchemaError, match=reason):
                put(database, "two")
    assert path.read_bytes() == before


def text(path: Path) -> None:
    path.write_text("my diary, not a database\n" * 400)


def truncated(path: Path) -> None:
    with opened(path) as database:
        for number in range(200):
            put(database, f"{number}" * 100)
    path.write_bytes(path.read_bytes()[:9000])


def overwritten(path: Path) -> None:
    with opened(path) as database:
        for number in range(200):
            put(database, f"{number}" * 100)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("kind", ["folder", "pipe", "circle"])
def test_what_takes_the_place_of_a_file_later_is_no_file(path: Path, kind: str) -> None:
    with opened(path) as database:
        put(database, "old")
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(path.name)
        for _ in range(2):
            with pytest.raises(StoreError, match=r"is no file.* move it away"):
                words(database)
        path.rename(path.with_name("moved away"))
        put(database, "new")
        assert words(database) == ["new"]


def dropped_table(path: Path) -> None:
    with opened(path) as database:
        put(database, "one")
    raw(path, "DROP TABLE words")


@pytest.mark.parametrize(
    ("damage", "advice"),
    [
        (text, "no SQLite file.* move it away"),
        (truncated, "damaged.* move it away"),
        (overwritten, "damaged.* move it away"),
        (dropped_table, "damaged.* move it away"),
    ],
)
def test_a_damaged_file_raises_advice_and_a_new_file_works_after_it_is_moved(
    path: Path, damage: Callable[[Path], None], advice: str
) -> None:
    damage(path)
    with opened(path) as database:
        for _ in range(2):
            with pytest.raises(StoreError, match=f"cannot be used .*{advice}"):
                words(database)
        path.rename(path.with_name("moved away"))
        put(database, "new")
        assert words(database) == ["new"]


@pytest.mark.parametrize("how", ["file", "folder", "deleted", "replaced"])
def test_a_missing_file_is_replaced_by_a_new_one(tmp_path: Path, how: str) -> None:
    path = tmp_path / "folder" / "file.sqlite"
    with opened(path) as database, opened(path) as other:
        put(database, "old")
        assert words(other) == ["old"]
        if how == "folder":
            path.parent.rename(tmp_path / "elsewhere")
        elif how == "deleted":
            path.unlink()
        else:
            path.rename(tmp_path / "moved")
        if how == "replaced":
            raw(path, *SCHEMA.statements, "PRAGMA user_version = 2")
        put(database, "new")
        put(other, "newer")
        assert words(database) == words(other) == ["new", "newer"]
        database.close()
        put(other, "newest")
    assert [word for (word,) in raw(path, "SELECT word FROM words")] == ["new", "newer", "newest"]


def unprivileged(code: str, *arguments: str) -> str:
    """Return the output of a process that may not write to root's files."""
    command = [sys.executable, "-c", code, *arguments]
    if os.getuid() == 0:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


READ_AND_WRITE = """
import sys
from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.errors import StoreError
schema = Schema(kind="test file", version=2, application_id=int.from_bytes(b"LLMt"), statements=())
database = Database(sys.argv[1], schema)
for _ in range(2):
    with database.connection() as db:
        print([row["word"] for row in db.execute("SELECT word FROM words")])
    try:
        with database.transaction() as db:
            db.execute("INSERT INTO words VALUES ('x', 1)")
    except StoreError as error:
        print(error)
"""


@pytest.mark.skipif(
    not hasattr(os, "getuid") or (os.getuid() == 0 and shutil.which("setpriv") is None),
    reason="needs an account without write permission",
)
@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
def test_a_read_only_file_can_be_read(folder_mode: int) -> None:
    if unprivileged("print('runs')") != "runs\n":
        pytest.skip("the account without write permission cannot run this interpreter")
    # Other accounts cannot enter pytest's own folder.
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "file.sqlite"
        with opened(path) as database:
            put(database, "one")
        path.chmod(0o444)
        path.parent.chmod(folder_mode)
        output = unprivileged(READ_AND_WRITE, str(path))
        path.parent.chmod(0o755)
    assert output.count("['one']") == 2, output
    assert output.count("let this user write to it and to its folder") == 2, output


# --- Other processes


WRITER = """
import sys, threading
from llm_optimizers.connections.sqlite import Database, Schema
schema = Schema(kind="test file", version=2, application_id=int.from_bytes(b"LLMt"),
    statements=("CREATE TABLE words (word TEXT NOT NULL, long INTEGER NOT NULL)",))
database = Database(sys.argv[1], schema, wait=20)
sys.stdin.readline()
if sys.argv[2] == "many":
    for file in range(20):
        database = Database(f"{sys.argv[1]}{file}", schema, wait=20)
        for number in range(5):
            with database.transaction() as db:
                db.execute("INSERT INTO words VALUES (?, 1)", (f"{sys.argv[3]} {number}",))
else:
    with database.transaction() as db:
        db.execute("INSERT INTO words VALUES ('half', 4)")
        print("inside", flush=True)
        sys.stdin.readline()
"""


@contextmanager
def writer(path: Path, *how: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def send_line(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def start_transaction(process: subprocess.Popen[str]) -> None:
    send_line(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"


def test_processes_that_create_the_same_files_at_once_lose_nothing(path: Path) -> None:
    with writer(path, "many", "a") as one, writer(path, "many", "b") as two:
        send_line(one)
        send_line(two)
        assert one.wait(60) == two.wait(60) == 0
    for file in range(20):
        with opened(path.with_name(f"{path.name}{file}")) as database:
            assert sorted(words(database)) == sorted(f"{w} {n}" for w in "ab" for n in range(5))


def test_tables_created_by_another_process_during_set_up_are_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, others = sqlite3.connect, []

    def make() -> None:
        with opened(path, wait=20.0) as other:
            put(other, "theirs")

    def connect(*args: Any, factory: Any, **options: Any) -> sqlite3.Connection:
        class Interrupted(factory):
            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                # At this point the file was found to be new.
                if "sqlite_master" in statement and not others:
                    others.append(threading.Thread(target=make))
                    others[0].start()
                    others[0].join(0.5)
                return super().execute(statement, *values)

        return real(*args, factory=Interrupted, **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    with opened(path, wait=20.0) as database:
        put(database, "mine")
        others[0].join(20)
        assert sorted(words(database)) == ["mine", "theirs"]


def test_a_write_waits_for_a_busy_writer_and_a_read_does_not(path: Path) -> None:
    with opened(path, wait=60.0) as database, writer(path, "one") as other:
        put(database, "before")
        start_transaction(other)
        assert words(database) == ["before"]
        waiting = threading.Thread(target=put, args=(database, "after"))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        send_line(other)
        assert other.wait(20) == 0
        waiting.join(20)
        assert words(database) == ["before", "half", "after"]


def test_a_writer_that_stays_busy_raises_an_error_after_the_wait(path: Path) -> None:
    def busy_timeout_ms(database: Database, **options: float) -> int:
        with database.connection(**options) as db:
            return int(db.execute("PRAGMA busy_timeout").fetchone()[0])

    with opened(path, wait=0.05) as database, writer(path, "one") as other:
        put(database, "before")
        start_transaction(other)
        with pytest.raises(BusyError, match=r"locked.*another process"):
            put(database, "lost")
        assert busy_timeout_ms(database) == 50
        assert busy_timeout_ms(database, wait=0.01) == 10
        assert busy_timeout_ms(database) == 50
        send_line(other)
        assert other.wait(20) == 0
        put(database, "after")
        assert words(database) == ["before", "half", "after"]


def test_a_busy_thread_is_waited_for_unless_a_wait_is_given(database: Database) -> None:
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with database.connection():
            holding.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(60)
    with pytest.raises(BusyError, match="another thread"), database.transaction(wait=0.01):
        pass
    release.set()
    put(database, "after")
    thread.join()


def test_the_transaction_of_a_killed_process_is_rolled_back(path: Path) -> None:
    with opened(path) as database, writer(path, "one") as other:
        put(database, "before")
        start_transaction(other)
        other.send_signal(signal.SIGKILL)
        other.wait(20)
        put(database, "after")
        assert words(database) == ["before", "after"]


def test_a_full_disk_raises_an_error_until_there_is_room(path: Path) -> None:
    with opened(path) as database:
        put(database, "before")
        with database.connection() as db:
            db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StoreError, match=r"full.*make room"):
            put(database, "x" * 100_000)
        assert words(database) == ["before"]
        with database.connection() as db:
            db.execute("PRAGMA max_page_count = 10000")
        put(database, "after")
        assert words(database) == ["before", "after"]


# --- Forks


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[None]:
    """Fork a child that does the work; it must succeed by the end of the block."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    try:
        yield
    finally:
        _, status = os.waitpid(child, 0)
    assert status == 0


LOG_MB = 16
"""More than a log may hold before it is emptied, with what is written at once."""


def logged_mb(path: Path) -> float:
    return Path(f"{path}-wal").stat().st_size / 2**20


def put_megabyte(database: Database) -> None:
    with database.transaction() as db:
        db.execute("INSERT INTO words VALUES (?, 1)", ("x" * 2**20,))


def test_the_log_stays_small_though_somebody_reads_at_every_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself SQLite begins the log again only if nobody reads."""
    readers: list[sqlite3.Connection] = []

    def stop_reading() -> None:
        while readers:
            readers.pop().close()

    class Beside(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                reader = connect(path, isolation_level=None)
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM words").fetchone()
                stop_reading()
                readers.append(reader)
            if sql.startswith("PRAGMA wal_checkpoint"):
                stop_reading()
            return super().execute(sql, *values)

    connect = sqlite3.connect
    with opened(path) as database:
        put(database, "first")
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k | {"factory": Beside}))
    with opened(path) as database:
        largest = 0.0
        for _ in range(40):
            put_megabyte(database)
            largest = max(largest, logged_mb(path))
        stop_reading()
    assert 5 < largest < LOG_MB


def test_somebody_who_reads_for_long_stops_no_writer_and_then_the_log_is_emptied(
    path: Path,
) -> None:
    with opened(path) as database, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        put(database, "first")
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM words").fetchone() == (1,)
        for _ in range(30):
            put_megabyte(database)
        assert reader.execute("SELECT count(*) FROM words").fetchone() == (1,)
        assert logged_mb(path) > LOG_MB
        reader.execute("COMMIT")
        for _ in range(6):
            put_megabyte(database)
        assert logged_mb(path) < LOG_MB
        assert len(words(database)) == 37


@forks
@quiet_fork
def test_parent_and_child_can_both_use_the_database(database: Database) -> None:
    put(database, "before")

    def work() -> None:
        assert words(database)[0] == "before"
        put(database, "child")
        assert "child" in words(database)

    with forked(work):
        put(database, "parent")
    in_a_file = database.path is not None
    assert sorted(words(database)) == sorted(["before", "parent"] + ["child"] * in_a_file)


@forks
@quiet_fork
def test_every_thread_of_a_child_can_use_the_database(database: Database) -> None:
    """The thread that forked has the lock no longer than the fork takes."""
    put(database, "before")

    def work() -> None:
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.extend(words(database)), daemon=True)
        thread.start()
        thread.join(10)
        assert found == ["before"]

    with forked(work):
        pass


@forks
@quiet_fork
def test_a_child_keeps_its_rows_when_the_parent_closes_the_file(path: Path) -> None:
    """The last process to close the file deletes the log, so it must know of the other one."""
    (wrote, write), (closed, close) = os.pipe(), os.pipe()
    with opened(path) as database:
        put(database, "parent")

        def work() -> None:
            put(database, "child")
            os.write(write, b"x")
            os.read(closed, 1)
            put(database, "child again")

        with forked(work):
            os.read(wrote, 1)
            database.close()
            os.write(close, b"x")
        assert words(database) == ["parent", "child", "child again"]
    for end in (wrote, write, closed, close):
        os.close(end)


@forks
@quiet_fork
def test_a_thread_of_a_child_can_use_what_was_open_before_the_fork(database: Database) -> None:
    put(database, "parent")

    def work() -> None:
        thread = threading.Thread(target=put, args=(database, "thread"), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        assert words(database) == ["parent", "thread"]

    with forked(work):
        pass
    put(database, "parent")


@forks
@quiet_fork
def test_a_child_forked_while_a_thread_writes_can_write(database: Database) -> None:
    done = threading.Event()

    def keep_writing() -> None:
        while not done.is_set():
            put(database, "thread")

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        for _ in range(5):
            with forked(lambda: put(database, "child")):
                pass
    finally:
        done.set()
        thread.join()
    put(database, "parent")
    assert words(database).count("child") == (0 if database.path is None else 5)


@forks
@quiet_fork
def test_other_threads_of_a_forked_child_can_use_it(database: Database) -> None:
    put(database, "before")

    def in_a_thread() -> None:
        thread = threading.Thread(target=lambda: put(database, "child"), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()

    with forked(in_a_thread):
        pass
    in_a_file = database.path is not None
    assert words(database) == ["before", *(["child"] if in_a_file else [])]


@forks
@quiet_fork
def test_a_fork_waits_only_a_while_for_a_busy_thread(database: Database) -> None:
    put(database, "before")
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with database.connection():
            holding.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(60)
    try:
        with forked(lambda: put(database, "child")):
            pass
    finally:
        release.set()
        thread.join()
    put(database, "parent")
    in_a_file = database.path is not None
    assert words(database) == ["before", *(["child"] if in_a_file else []), "parent"]


def is_open_at(path: Path, value: object) -> bool:
    """Whether a value is a connection with this file open."""
    if not isinstance(value, sqlite3.Connection):
        return False
    try:
        return str(path) in [row[2] for row in value.execute("PRAGMA database_list")]
    except sqlite3.ProgrammingError:
        return False  # it was closed


@forks
@quiet_fork
def test_a_child_does_not_close_a_connection_that_its_parent_uses(path: Path) -> None:
    database = Database(path, SCHEMA)
    put(database, "before")
    databases, use = [database], ExitStack()
    del database

    def let_go() -> None:
        use.close()
        databases.clear()
        gc.collect()
        assert any(is_open_at(path, each) for each in gc.get_objects())

    with use:
        use.enter_context(databases[0].connection())
        with forked(let_go):
            pass
    assert words(databases[0]) == ["before"]
    databases[0].close()
