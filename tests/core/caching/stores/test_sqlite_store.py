"""The SQLite store: other users of the file, damage, locks, full disks, forks."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_optimizers.caching.stores import SQLiteStore
from llm_optimizers.caching.stores.protocol import Entry
from llm_optimizers.errors import BusyError, PoisonedEntryError, StoreError


def entry(key: str = "k", **fields: Any) -> Entry:
    defaults: dict[str, Any] = {
        "normalised": "n",
        "scope": "s",
        "tenant": "",
        "question": "q",
        "payload": "p",
        "vector": np.array([1, 0], np.float32),
        "created": 1.0,
        "expires": None,
    }
    return Entry(key=key, **{**defaults, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    store.save(entry())
    yield store
    store.close()


def execute(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def hits(path: Path, key: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT hits FROM entries WHERE key = ?", (key,)).fetchone()
    return int(count)


def test_entries_and_hits_survive_closing_the_store(store: SQLiteStore, path: Path) -> None:
    store.touch("k", 2.0)
    store.close()
    with closing(SQLiteStore(path)) as again:
        found = again.fetch("k")
        assert found is not None
        assert found.vector is not None
        assert found.vector.tolist() == [1, 0]
    assert hits(path, "k") == 1


def test_two_stores_on_one_file_see_each_others_entries(store: SQLiteStore, path: Path) -> None:
    with closing(SQLiteStore(path)) as other:
        other.save(entry("other"))
        assert store.fetch("other") is not None
        assert [row.key for row in store.vectors(0).rows] == ["k", "other"]


@pytest.mark.parametrize(
    "change",
    [
        "expires = 'soon'",
        "created = x'00'",
        "payload = x'ff'",
        "payload = CAST(x'ff' AS TEXT)",
        "question = CAST(x'ff' AS TEXT)",
        "usage = '[1]'",
        "usage = '{\"input_tokens\": -1}'",
        "usage = 'no json'",
        f"usage = '{'[' * 20_000}'",
    ],
)
def test_a_damaged_row_raises_an_error_with_its_key(
    store: SQLiteStore, path: Path, change: str
) -> None:
    execute(path, f"UPDATE entries SET {change}")
    with pytest.raises(PoisonedEntryError) as caught:
        store.fetch("k")
    assert caught.value.key == "k"
    with pytest.raises(PoisonedEntryError):
        store.fetch("other", "n")
    store.delete([caught.value.key])
    assert store.fetch("k") is None


def test_a_damaged_hit_count_does_not_prevent_a_fetch(store: SQLiteStore, path: Path) -> None:
    execute(path, "UPDATE entries SET hits = 'many'")
    found = store.fetch("k")
    assert found is not None
    assert found.payload == "p"
    store.touch("k", 2.0)
    store.close()
    assert hits(path, "k") == 1


@pytest.mark.parametrize("damage", ["x'0102'", "'text'", "x''", "7"])
def test_a_blob_that_cannot_be_a_vector_is_listed_without_one(
    store: SQLiteStore, path: Path, damage: str
) -> None:
    store.save(entry("good"))
    execute(path, f"UPDATE entries SET vector = {damage} WHERE key = 'k'")
    rows = store.vectors(0).rows
    assert [(row.key, row.vector is None) for row in rows] == [("k", True), ("good", False)]
    assert store.fetch("k") is not None


def followed(store: SQLiteStore, after: int, generation: int) -> tuple[list[str], int, int]:
    """The keys that an index at this place gets, and its next place."""
    found = store.vectors(after, generation)
    last = found.rows[-1].sequence if found.rows else after
    return [str(row.key) for row in found.rows], last, found.generation


def copy_over(source: Path, target: Path) -> None:
    """Put a copy back as SQLite's own tools do, while the target is open."""
    with closing(sqlite3.connect(source)) as backup, closing(sqlite3.connect(target)) as live:
        backup.backup(live)


def test_a_new_file_is_another_generation(store: SQLiteStore, path: Path) -> None:
    store.save(entry("b"))
    keys, last, generation = followed(store, 0, 0)
    assert keys == ["k", "b"]
    assert followed(store, last, generation)[0] == []
    store.close()
    for file in path.parent.iterdir():
        file.unlink()
    store.save(entry("new"))
    keys, last, generation = followed(store, last, generation)
    assert keys == ["new"]
    assert followed(store, last, generation)[0] == []


def test_an_older_copy_put_back_is_another_generation(store: SQLiteStore, path: Path) -> None:
    copy_over(path, path.with_name("backup"))
    for key in "bc":
        store.save(entry(key))
    _, last, generation = followed(store, 0, 0)
    copy_over(path.with_name("backup"), path)
    store.save(entry("new"))
    assert followed(store, last, generation)[0] == ["k", "new"]


def test_vacuuming_clearing_and_other_writers_keep_the_generation(
    store: SQLiteStore, path: Path
) -> None:
    store.save(entry("b"))
    _, last, generation = followed(store, 0, 0)
    execute(path, "DELETE FROM entries")
    execute(path, "VACUUM")
    assert followed(store, last, generation)[1:] == (last, generation)
    with closing(SQLiteStore(path)) as other:
        other.save(entry("new"))
    assert followed(store, last, generation)[0] == ["new"]


@pytest.mark.parametrize("key", ["x'00'", "CAST(x'ff' AS TEXT)"])
def test_an_entry_whose_key_is_no_text_can_be_deleted(
    store: SQLiteStore, path: Path, key: str
) -> None:
    execute(path, f"UPDATE entries SET key = {key}, normalised = 'n'")
    with pytest.raises(PoisonedEntryError) as caught:
        store.fetch("missing", "n")
    store.delete([caught.value.key])
    assert store.fetch("missing", "n") is None


def refused(path: Path) -> str:
    with closing(SQLiteStore(path)) as store:
        with pytest.raises(StoreError) as caught:
            store.fetch("k")
        with pytest.raises(StoreError):
            store.save(entry())
        return str(caught.value)


def test_a_file_of_another_version_is_refused(store: SQLiteStore, path: Path) -> None:
    store.close()
    execute(path, "PRAGMA user_version = 99")
    assert "version 99" in refused(path)


def test_a_database_of_another_program_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    execute(path, "CREATE TABLE entries (important TEXT)")
    before = path.read_bytes()
    assert "something else" in refused(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("my diary, not a database\n" * 100)
    assert "cannot be used" in refused(path)
    assert path.read_text().startswith("my diary")


def test_damaged_pages_are_reported(store: SQLiteStore, path: Path) -> None:
    for number in range(200):
        store.save(entry(f"k{number}", payload="x" * 500))
    store.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = os.urandom(len(raw) - 4096)
    path.write_bytes(bytes(raw))
    assert "cannot be used" in refused(path)


def test_a_path_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "a folder in it is a file" in refused(tmp_path / "file" / "cache.sqlite")


def test_a_locked_file_can_be_read_but_not_written(store: SQLiteStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.save(entry("new"))
        assert store.fetch("k") is not None
        other.execute("ROLLBACK")
    store.save(entry("new"))


def test_a_full_file_can_be_read_but_not_written(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sqlite3.connect

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = real(*args, **options)
        connection.execute("PRAGMA max_page_count = 1")  # the size it has now
        return connection

    store.close()
    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(StoreError, match="full"):
        store.save(entry("new", payload="x" * 100_000))
    assert store.fetch("k") is not None
    assert store.fetch("new") is None


def test_threads_share_a_store(store: SQLiteStore) -> None:
    def work(name: int) -> None:
        for number in range(20):
            store.save(entry(f"{name}-{number}", payload=f"{name}-{number}"))
            found = store.fetch(f"{name}-{number}")
            assert found is not None
            assert found.payload == f"{name}-{number}"

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == 161


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_can_use_the_store(store: SQLiteStore, path: Path) -> None:
    store.touch("k", 2.0)
    busy, done = threading.Event(), threading.Event()

    def keep_busy() -> None:
        while not done.is_set():
            store.save(entry("threads"))
            busy.set()

    thread = threading.Thread(target=keep_busy)
    thread.start()
    busy.wait(10)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(20):  # the thread leaves the file to others only now and then
                with suppress(BusyError):
                    store.save(entry("childs"))
                    break
            ok = store.fetch("k") is not None
            store.close()
        except BaseException:
            ok = False
        os._exit(0 if ok else 1)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert status == 0
    store.save(entry("parents"))
    assert store.fetch("childs") is not None
    assert hits(path, "k") == 1
