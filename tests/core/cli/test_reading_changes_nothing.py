"""Commands that show a file change nothing on disk, whatever the file is and its owner."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_optimizers.batching import JobQueue
from llm_optimizers.caching.stores.sqlite import SQLiteStore
from llm_optimizers.cli.app import app
from llm_optimizers.costs import CallRecord, Ledger, Usage

COMMAND = str(Path(sys.executable).with_name("llm-optimizers"))
SHOWING: dict[str, Callable[[Path], list[str]]] = {
    "report": lambda path: ["report", str(path)],
    "report --json": lambda path: ["report", str(path), "--json"],
    "ledger check": lambda path: ["ledger", "check", str(path)],
    "ledger export": lambda path: ["ledger", "export", str(path)],
    "ledger prune": lambda path: ["ledger", "prune", str(path), "--older-than", "1d"],
    "ledger merge": lambda path: ["ledger", "merge", str(path), "--into", "x.db", "--dry-run"],
    "experiments": lambda path: ["router", "experiments", str(path)],
    "queue stats": lambda path: ["queue", "stats", "--path", str(path)],
    "dead list": lambda path: ["queue", "dead", "list", "--path", str(path)],
    "dead show": lambda path: ["queue", "dead", "show", "1", "--path", str(path)],
}


def record(name: str) -> CallRecord:
    return CallRecord(
        id=name,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        model="m",
        usage=Usage(input_tokens=1),
        cost=Decimal(1),
        baseline_model="m",
        baseline_cost=Decimal(1),
    )


def written(path: Path, count: int = 2) -> Path:
    with Ledger(path) as ledger:
        for number in range(count):
            ledger.record(record(str(number)))
    return path


def state(folder: Path) -> dict[str, Any]:
    """Return what is in a folder: names, bytes, modes, times of change."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mtime_ns,
            path.stat().st_mode,
        )
        for path in [folder, *folder.rglob("*")]
    }


def newer(path: Path) -> None:
    written(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


def queue(path: Path) -> None:
    with JobQueue(path=path) as jobs:
        jobs.submit({"a": 1}, key="1", max_wait=0.01)


def cache(path: Path) -> None:
    store = SQLiteStore(path)
    store.fetch("a")
    store.close()


def left_by_a_killed_process(path: Path) -> None:
    written(path.with_name("other"), 1)
    live = sqlite3.connect(path.with_name("other"))
    live.execute("UPDATE calls SET model = 'changed'")
    live.commit()
    shutil.copy(path.with_name("other"), path)
    shutil.copy(path.with_name("other-wal"), path.with_name(f"{path.name}-wal"))
    live.close()


FILES: dict[str, Callable[[Path], object]] = {
    "a ledger": written,
    "a ledger of a newer version": newer,
    "a ledger of a killed process": left_by_a_killed_process,
    "a queue": queue,
    "a cache": cache,
    "a text": lambda path: path.write_text("no database " * 100),
    "an empty file": lambda path: path.write_bytes(b""),
    "half a ledger": lambda path: path.write_bytes(written(path).read_bytes()[:5_000]),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "nothing": lambda path: None,
    "another database": lambda path: sqlite3.connect(path).execute("CREATE TABLE t (a)").close(),
}


@pytest.mark.parametrize("command", SHOWING)
@pytest.mark.parametrize("kind", FILES)
def test_showing_a_file_changes_nothing(tmp_path: Path, kind: str, command: str) -> None:
    path = tmp_path / "file.db"
    FILES[kind](path)
    before = state(tmp_path)
    result = CliRunner().invoke(app, SHOWING[command](path))
    assert state(tmp_path) == before
    wanted = "a queue" if command.startswith(("queue", "dead")) else "a ledger"
    if kind == wanted or (kind.endswith("killed process") and wanted == "a ledger"):
        assert result.exit_code == (1 if command == "dead show" else 0), result.output
        return
    assert result.exit_code in (1, 2)
    assert len(result.output.strip().splitlines()) == 1, result.output
    assert "file.db" in result.output
    assert "Traceback" not in result.output


def test_the_log_of_a_killed_process_is_read(tmp_path: Path) -> None:
    left_by_a_killed_process(tmp_path / "l.db")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "l.db"), "--json"])
    assert list(json.loads(result.stdout)["by_model"]) == ["changed"]


def test_a_live_ledger_is_read_beside_its_writer(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        for number in range(50):
            ledger.record(record(str(number)))
            if number % 10 == 0:
                ledger.flush()
                result = CliRunner().invoke(app, ["report", str(tmp_path / "l.db"), "--json"])
                assert json.loads(result.stdout)["requests"] == number + 1
        assert ledger.dropped == 0


def test_a_locked_file_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "l.db")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("UPDATE calls SET model = 'x'")
    result = CliRunner().invoke(app, ["report", str(path)])
    connection.close()
    assert result.exit_code == 1
    assert "locked by another process" in result.output


def test_a_batch_that_was_never_submitted_leaves_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    (tmp_path / "day.jsonl").write_text("{}")
    before = state(tmp_path)
    for command in ("status", "collect", "cancel"):
        result = CliRunner().invoke(app, ["queue", command, str(tmp_path / "day.jsonl")])
        assert result.exit_code == 1
        assert "was not submitted" in result.output
    assert state(tmp_path) == before


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        Path(folder).chmod(0o755)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user to see permissions")
@pytest.mark.parametrize(("file_mode", "code"), [(0o444, 0), (0o600, 2)])
def test_another_user_s_file_in_a_read_only_folder(
    open_folder: Path, file_mode: int, code: int
) -> None:
    path = written(open_folder / "l.db")
    path.chmod(file_mode)
    open_folder.chmod(0o555)
    before = state(open_folder)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", COMMAND, "report", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert state(open_folder) == before
