"""Files that are moved, replaced, cannot be written, or are larger than what they hold."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.errors import BusyError, StoreError

SCHEMA = Schema(
    kind="test file",
    version=1,
    application_id=int.from_bytes(b"LLMt"),
    statements=("CREATE TABLE words (word TEXT NOT NULL)",),
)
OTHER = """
import sys
from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.errors import BusyError, StoreError
schema = Schema(kind="test file", version=1, application_id=int.from_bytes(b"LLMt"),
    statements=("CREATE TABLE words (word TEXT NOT NULL)",))
database = Database(sys.argv[1], schema)
for line in sys.stdin:
    command, _, word = line.strip().partition(" ")
    try:
        if command == "put":
            with database.transaction() as db:
                db.execute("INSERT INTO words VALUES (?)", (word,))
        with database.connection() as db:
            print([row["word"] for row in db.execute("SELECT word FROM words ORDER BY rowid")])
    except StoreError as error:
        print(error)
    sys.stdout.flush()
database.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file.sqlite"


def put(database: Database, *words: str) -> None:
    with database.transaction() as db:
        db.executemany("INSERT INTO words VALUES (?)", [(word,) for word in words])


def words(database: Database) -> list[str]:
    with database.connection() as db:
        return [row["word"] for row in db.execute("SELECT word FROM words ORDER BY rowid")]


def in_file(path: Path) -> list[str]:
    """Return the words of a file as another program reads it, with its log."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [word for (word,) in db.execute("SELECT word FROM words ORDER BY rowid")]


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    with closing(Database(path, SCHEMA)) as database:
        yield database


class Other:
    """Another process that uses the same file."""

    def __init__(self, path: Path, *command: str) -> None:
        self._process = subprocess.Popen(
            [*command, sys.executable, "-c", OTHER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=60)


@contextmanager
def other_process(path: Path, *command: str) -> Iterator[Other]:
    other = Other(path, *command)
    try:
        yield other
    finally:
        other.end()


def file_moved(path: Path) -> None:
    path.rename(path.with_name("moved"))


def folder_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def file_deleted(path: Path) -> None:
    path.unlink()


def all_deleted(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()


def folder_deleted(path: Path) -> None:
    shutil.rmtree(path.parent)


GONE = [file_moved, folder_moved, file_deleted, all_deleted, folder_deleted]


# --- Moved, deleted, replaced


@pytest.mark.parametrize("go", GONE)
def test_a_file_that_is_gone_is_followed_by_a_new_one_in_every_process(
    path: Path, go: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as database, opened(path) as second, other_process(path) as other:
        put(database, "old")
        assert words(second) == ["old"]
        assert other.ask("put older") == "['old', 'older']"
        go(path)
        put(database, "new")
        assert other.ask("put newer") == "['new', 'newer']"
        put(second, "newest")
        assert other.ask("words") == "['new', 'newer', 'newest']"
        database.close()
        put(database, "again")
        assert words(second) == ["new", "newer", "newest", "again"]
    assert in_file(path) == ["new", "newer", "newest", "again"]
    assert sorted(each.name for each in path.parent.glob("file*")) == ["file.sqlite"]
    assert caplog.text.count("was moved, deleted or replaced") == 2  # once a database


@pytest.mark.parametrize("read_before", [True, False])
def test_a_moved_file_keeps_all_that_was_committed(path: Path, *, read_before: bool) -> None:
    """Its latest changes are in its log, which SQLite finds by the file's name."""
    with opened(path) as database, other_process(path) as other:
        put(database, "one", "two")
        assert other.ask("put three") == "['one', 'two', 'three']"
        file_moved(path)
        if read_before:
            put(database, "new")
        other.ask("words")
    assert in_file(path.with_name("moved")) == ["one", "two", "three"]
    assert in_file(path) == (["new"] if read_before else [])


def test_what_is_written_within_a_transaction_stays_with_its_file(path: Path) -> None:
    with opened(path) as database:
        with database.transaction() as db:
            db.execute("INSERT INTO words VALUES ('one')")
            file_moved(path)
            db.execute("INSERT INTO words VALUES ('two')")
            with database.connection() as again:
                again.execute("INSERT INTO words VALUES ('three')")
        put(database, "new")
    assert in_file(path.with_name("moved")) == ["one", "two", "three"]
    assert in_file(path) == ["new"]


def test_a_file_replaced_by_another_is_read_without_the_log_of_the_first(path: Path) -> None:
    backup = path.with_name("backup")
    with opened(backup) as other:
        put(other, *(f"backup {number}" for number in range(2_000)))
    kept = in_file(backup)
    with opened(path) as database, opened(path) as second:
        put(database, *(f"new {number}" for number in range(3_000)))
        backup.replace(path)
        assert words(database) == words(second) == kept
        put(second, "more")
    assert in_file(path) == [*kept, "more"]


@pytest.mark.parametrize("names", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_deleted_files_of_sqlite_lose_no_committed_row(path: Path, names: tuple[str, ...]) -> None:
    with opened(path) as database:
        put(database, "one")
        for name in names:
            path.with_name(f"{path.name}{name}").unlink()
        put(database, "two")
        assert words(database) == ["one", "two"]
        database.close()
    assert in_file(path) == ["one", "two"]


def test_a_log_whose_file_is_gone_is_kept_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Other(path)
    assert other.ask("put one") == "['one']"
    other.end(kill=True)
    file_moved(path)
    with opened(path) as database:
        put(database, "new")
        assert words(database) == ["new"]
    (kept,) = path.parent.glob("file.sqlite-wal.*")
    assert str(kept) in caplog.text
    kept.rename(path.with_name("moved-wal"))
    assert in_file(path.with_name("moved")) == ["one"]


def test_a_link_that_leads_elsewhere_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    for name in ("a", "b"):
        with opened(tmp_path / name) as database:
            put(database, name)
    link.symlink_to("a")
    with opened(link) as database:
        assert words(database) == ["a"]
        link.unlink()
        link.symlink_to("b")
        assert words(database) == ["b"]
        link.unlink()
        link.symlink_to("new folder/c")
        put(database, "c")
    assert in_file(tmp_path / "new folder" / "c") == ["c"]


def test_an_empty_file_becomes_a_new_one_with_its_own_mode(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    path.chmod(0o640)
    with opened(path) as database:
        put(database, "one")
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == dict.fromkeys(["file.sqlite", "file.sqlite-wal", "file.sqlite-shm"], 0o640)


# --- Files that cannot be written

UNPRIVILEGED = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A file in a folder that another account can enter, unlike pytest's own."""
    if not hasattr(os, "getuid") or os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to become an account without write permission")
    runs = [*UNPRIVILEGED, sys.executable, "-c", "import llm_optimizers"]
    if subprocess.run(runs, capture_output=True, check=False).returncode:
        pytest.skip("the account without write permission cannot run this interpreter")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder / "file.sqlite"
        folder.chmod(0o755)


@contextmanager
def closed(path: Path) -> Iterator[None]:
    with opened(path) as database:
        put(database, "one")
    yield


@contextmanager
def killed(path: Path) -> Iterator[None]:
    other = Other(path)
    other.ask("put one")
    other.end(kill=True)
    yield


@contextmanager
def killed_and_index_lost(path: Path) -> Iterator[None]:
    with killed(path):
        path.with_name(f"{path.name}-shm").unlink()
        yield


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    with other_process(path) as other:
        other.ask("put one")
        yield


@pytest.mark.parametrize("state", [closed, killed, killed_and_index_lost, in_use])
@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o644, 0o555), (0o644, 0o777), (0o666, 0o555)]
)
def test_a_file_that_cannot_be_written_is_read_and_not_changed(
    shared: Path,
    state: Callable[[Path], AbstractContextManager[None]],
    file_mode: int,
    folder_mode: int,
) -> None:
    def content() -> dict[str, bytes]:
        names = [each for each in shared.parent.iterdir() if not each.name.endswith("-shm")]
        return {each.name: each.read_bytes() for each in names}

    with state(shared):
        for each in shared.parent.iterdir():
            each.chmod(file_mode)
        shared.parent.chmod(folder_mode)
        before, names = content(), sorted(shared.parent.iterdir())
        with other_process(shared, *UNPRIVILEGED) as reader:
            assert reader.ask("words") == "['one']"
            assert "let this user write to it and to its folder" in reader.ask("put two")
            assert reader.ask("words") == "['one']"
        assert content() == before
        assert sorted(shared.parent.iterdir()) == names


def test_a_file_that_cannot_be_written_shows_what_others_write(shared: Path) -> None:
    with opened(shared) as database, other_process(shared, *UNPRIVILEGED) as reader:
        put(database, "one")
        for each in shared.parent.iterdir():
            each.chmod(0o644)
        assert reader.ask("words") == "['one']"
        put(database, "two")
        assert reader.ask("words") == "['one', 'two']"
        database.close()
        assert reader.ask("words") == "['one', 'two']"
        put(database, "three")
        assert reader.ask("words") == "['one', 'two', 'three']"


STORES = """
import sys
from llm_optimizers.batching import JobQueue, ProviderBatch
from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import Ledger
from llm_optimizers.evidence import SampleStore
from llm_optimizers.types import ChatRequest, Message

class NoClient:
    provider, limits = "none", None
    def create(self, *_): raise AssertionError
    find = look = results = cancel = create

def ask(question):
    request = ChatRequest(model="m", messages=(Message(role="user", content=question),))
    found = cache.answer(request, lambda: "answer").hit
    return found and found.tier

folder, make = sys.argv[1], sys.argv[2] == "make"
cache = ResponseCache(path=f"{folder}/cache", clock=lambda: 1e9)
ledger = Ledger(f"{folder}/ledger")
samples = SampleStore(f"{folder}/samples", rate=1.0)
queue = JobQueue(path=f"{folder}/queue")
batch = ProviderBatch(NoClient(), path=f"{folder}/journal")
if make:
    ask("How can I activate my new card?")
    ledger.note("seen", {})
    samples.offer("a sample")
    queue.submit({"n": 1})
print(ask("How can I activate my new card?"), ask("How do I activate my new card?"))
print(len(list(ledger.notes("seen"))), ledger.summary().requests)
print([sample.prompt for sample in samples.samples()])
print(queue.stats().waiting["medium"])
print(batch.jobs())
for each in (cache, ledger, samples, queue, batch):
    each.close()
"""


def test_every_store_reads_a_file_that_cannot_be_written(shared: Path) -> None:
    def run(what: str, *command: str) -> str:
        done = subprocess.run(
            [*command, sys.executable, "-c", STORES, str(shared.parent), what],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    first = run("make")
    assert first.splitlines()[:2] == ["exact semantic", "1 0"], first
    for each in shared.parent.iterdir():
        each.chmod(0o644)
    shared.parent.chmod(0o555)
    before = {each.name: each.read_bytes() for each in shared.parent.iterdir()}
    assert run("read", *UNPRIVILEGED) == first
    assert {each.name: each.read_bytes() for each in shared.parent.iterdir()} == before


def test_a_file_that_may_not_be_read_says_so(shared: Path) -> None:
    with opened(shared) as database:
        put(database, "one")
    with other_process(shared, *UNPRIVILEGED) as reader:
        assert "let this user read" in reader.ask("words")


LIMITED = """
import resource, signal, sys
from llm_optimizers.connections.sqlite import Database, Schema
from llm_optimizers.errors import BusyError, StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
schema = Schema(kind="test file", version=1, application_id=1, statements=("CREATE TABLE w (w)",))
database = Database(sys.argv[1], schema)
def put():
    with database.transaction() as db:
        db.execute("INSERT INTO w VALUES (zeroblob(50000))")
for limit in (0, 0, hard, 0, 0, 0, hard):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        put()
        print("written")
    except StoreError as error:
        print(error)
with database.connection() as db:
    print(db.execute("SELECT count(*) FROM w").fetchone()[0])
"""


def test_a_full_disk_is_named_and_the_file_is_used_again_once_there_is_room(path: Path) -> None:
    """A limit on the file's size makes writes fail as a full disk does."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False
    )
    said = done.stdout.splitlines()
    assert [each == "written" for each in said[:-1]] == [
        limit > 0 for limit in (0, 0, 1, 0, 0, 0, 1)
    ]
    assert said.count("written") == 2, done.stdout + done.stderr
    assert done.stdout.count("is the disk full or gone?") == 5, done.stdout


# --- Room and deleted text


def size(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.iterdir() if "-shm" not in each.name)


def holds(path: Path, text: str) -> bool:
    """Whether the file or its log has a text anywhere."""
    return any(text.encode() in each.read_bytes() for each in path.parent.iterdir())


def large(number: int) -> str:
    return f"secret {number} " + "x" * 9_000


def test_room_is_given_back_and_deleted_text_is_gone(path: Path) -> None:
    with opened(path) as database:
        put(database, *map(large, range(1_000)))
        full = size(path)
        with database.transaction() as db:
            db.execute("DELETE FROM words WHERE rowid % 10 != 0")
        assert words(database)[0] == large(9)
        database.shrink()
        assert size(path) < full / 5
        assert not holds(path, "secret 8 ")
        assert holds(path, "secret 9 ")
        assert words(database) == [large(number) for number in range(9, 1_000, 10)]
    assert len(in_file(path)) == 100


def test_a_file_of_an_earlier_release_gives_its_room_back_too(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("PRAGMA journal_mode = WAL")
        for statement in SCHEMA.statements:
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
        db.executemany("INSERT INTO words VALUES (?)", [(large(n),) for n in range(500)])
        db.execute("DELETE FROM words WHERE rowid > 10")
    with opened(path) as database:
        full = size(path)
        database.shrink()
        assert size(path) < full / 10
        assert len(words(database)) == 10
        assert not holds(path, "secret 11 ")


def test_room_is_given_back_bit_by_bit_while_others_write(path: Path) -> None:
    with opened(path) as database, other_process(path) as other:
        put(database, *map(large, range(2_000)))
        with database.transaction() as db:
            db.execute("DELETE FROM words")
        full = size(path)
        for number in range(20):
            assert other.ask(f"put {number}").endswith(f"'{number}']")
            put(database)
        assert len(words(database)) == 20
        database.close()
    assert size(path) < full / 5


def test_a_locked_file_gives_its_room_back_another_time(path: Path) -> None:
    with opened(path) as database:
        put(database, *map(large, range(1_500)))
        with database.transaction() as db:
            db.execute("DELETE FROM words")
        before = size(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            database.shrink()
            with pytest.raises(BusyError):
                put(database)
            other.execute("ROLLBACK")
        assert size(path) >= before
        database.shrink()
        assert size(path) < before / 5


def test_a_log_that_grew_large_does_not_stay_so(path: Path) -> None:
    with opened(path) as database:
        for _ in range(3):
            put(database, *map(large, range(1_000)))
            with database.transaction() as db:
                db.execute("DELETE FROM words")
        for _ in range(3):
            put(database, *map(large, range(600)))
            with suppress(StoreError), database.connection() as db:
                db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        put(database, "one")
        assert path.with_name("file.sqlite-wal").stat().st_size < 5_000_000


class MovedMeanwhile(Schema):
    """A new file is moved away while its tables are made, once."""

    def ensure(self, connection: sqlite3.Connection, name: str) -> None:
        path = Path(connection.execute("PRAGMA database_list").fetchone()["file"])
        if not path.with_name("moved").exists():
            file_moved(path)
        super().ensure(connection, name)


def test_a_file_moved_while_it_is_made_is_followed_by_a_new_one(path: Path) -> None:
    schema = MovedMeanwhile(
        kind=SCHEMA.kind,
        version=SCHEMA.version,
        application_id=SCHEMA.application_id,
        statements=SCHEMA.statements,
    )
    with closing(Database(path, schema)) as database:
        put(database, "one")
        assert words(database) == ["one"]
