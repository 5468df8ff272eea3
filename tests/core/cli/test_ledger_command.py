"""`llm-optimizers ledger`: prune, merge, export and check, on files and on PostgreSQL."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llm_optimizers.cli.app import app
from llm_optimizers.costs import CallRecord, Ledger, Usage
from support.postgres_server import PASSWORD, PostgresProcess
from support.waiting import eventually

AT = datetime(2026, 1, 1, tzinfo=UTC)
COMMAND = str(Path(sys.executable).with_name("llm-optimizers"))
on_postgres = pytest.param("postgres", marks=[pytest.mark.loopback, pytest.mark.postgres])


def call(number: int, **changes: Any) -> CallRecord:
    usual: dict[str, Any] = {
        "id": f"call {number}",
        "time": AT + number * timedelta(minutes=10),
        "model": f"m{number % 2}",
        "usage": Usage(input_tokens=number),
        "cost": Decimal(number) / 1000,
        "baseline_model": "m0",
        "baseline_cost": Decimal(number) / 1000,
        "tags": {"user": f"u{number % 3}"},
    }
    return CallRecord(**(usual | changes))


@pytest.fixture(params=["file", on_postgres])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Names places of ledgers: files or schemas of a database."""
    if request.param == "file":
        yield lambda name: str(tmp_path / f"{name}.db")
        return
    with request.getfixturevalue("postgres").database() as url:
        yield lambda name: f"{url}?schema={name}"


def opened(place: str) -> Ledger:
    return Ledger(url=place) if "://" in place else Ledger(place)


def written(place: str, numbers: range = range(60), *notes: str, **changes: Any) -> str:
    with opened(place) as ledger:
        for number in numbers:
            ledger.record(call(number, **changes))
        for note in notes:
            ledger.note(note, {"n": 1}, id=f"note {note}")
    return place


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["ledger", *arguments])
    assert done.exit_code == code, done.output
    assert PASSWORD not in done.output
    return done


def found(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def ids(place: str) -> list[str]:
    with opened(place) as ledger:
        return [record.id for record in ledger.records()]


def test_prune_says_what_it_would_delete_and_deletes_with_yes(place: Callable[[str], str]) -> None:
    one = written(place("one"), range(60), "label", "arm")
    with opened(one) as ledger:
        before = ledger.summary()
    options = ["prune", one, "--before", "2026-01-01T05:59:00"]
    assert found(*options) == {
        "before": "2026-01-01T05:00:00+00:00",
        "calls": 30,
        "notes": 0,
        "deleted": False,
    }
    assert "nothing was changed" in run(*options).stdout
    assert len(ids(one)) == 60
    assert found(*options, "--yes")["calls"] == 30
    assert ids(one) == [f"call {n}" for n in range(30, 60)]
    with opened(one) as ledger:
        assert ledger.summary() == before
        assert len(list(ledger.notes("label"))) == 1
    assert found(*options, "--yes")["calls"] == 0
    assert found("check", one)["right"]


def test_prune_deletes_notes_of_the_kinds_named(place: Callable[[str], str]) -> None:
    one = written(place("one"), range(3), "label", "arm")
    options = ["prune", one, "--before", "2100-01-01", "--kind", "label", "--kind", "none"]
    assert found(*options)["notes"] == 0  # they are of this hour, which is not deleted
    with opened(one) as ledger:
        assert len(list(ledger.notes("label"))) == 1


@pytest.mark.parametrize("age", ["1d", "12w", "36h", "1d 12h", "40000 days"])
def test_an_age_may_have_any_unit(tmp_path: Path, age: str) -> None:
    one = written(str(tmp_path / "one.db"), range(3))
    calls = found("prune", one, "--older-than", age)["calls"]
    assert calls == (0 if "40000" in age else 3)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--older-than", "1d", "--before", "2026-01-01"],
        ["--older-than", "soon"],
        ["--older-than", "0d"],
        ["--older-than", "-5d"],
        ["--older-than", "99999999w"],
        ["--before", "yesterday"],
    ],
)
def test_prune_needs_one_time_that_can_be_read(tmp_path: Path, options: list[str]) -> None:
    one = written(str(tmp_path / "one.db"), range(3))
    run("prune", one, "--yes", *options, code=2)
    assert len(ids(one)) == 3


def test_pruning_gives_space_back_and_the_file_can_be_written_meanwhile(tmp_path: Path) -> None:
    one = written(str(tmp_path / "one.db"), range(3_000))
    before = Path(one).stat().st_size
    with opened(one) as live:
        live.record(call(99_999_999))
        live.flush()
        run("prune", one, "--older-than", "1d", "--yes")
        live.record(call(5))
        live.flush()
        assert live.dropped == 0
        assert live.summary().requests == 3_002
    assert Path(one).stat().st_size < before / 2


def test_merge_copies_what_is_new_and_leaves_the_sources(place: Callable[[str], str]) -> None:
    one = written(place("one"), range(40), "label")
    two = written(place("two"), range(20, 60), "label", "arm")
    target = written(place("target"), range(5))
    options = ["merge", one, two, "--into", target]
    first, second = found(*options, "--dry-run")["sources"]
    assert (first["calls"], first["notes"], first["repeated"]) == (35, 1, 5)
    assert (second["calls"], second["notes"], second["repeated"]) == (20, 1, 21)
    assert len(ids(target)) == 5
    assert found(*options)["sources"] == [first, second]
    assert ids(target) == [f"call {n}" for n in range(60)]
    assert [each["calls"] for each in found(*options)["sources"]] == [0, 0]
    assert (len(ids(one)), len(ids(two))) == (40, 40)
    with opened(target) as ledger:
        assert ledger.summary().requests == 60
        assert len(list(ledger.notes("arm"))) == 1
    assert found("check", target)["right"]


def test_a_dry_run_makes_no_file(tmp_path: Path) -> None:
    one = written(str(tmp_path / "one.db"), range(3))
    target = tmp_path / "new.db"
    assert found("merge", one, "--into", str(target), "--dry-run")["sources"][0]["calls"] == 3
    assert not target.exists()
    run("merge", one, "--into", str(target))
    assert len(ids(str(target))) == 3


def test_what_was_pruned_is_not_counted_twice(place: Callable[[str], str]) -> None:
    backup = written(place("backup"), range(12))
    one = written(place("one"), range(12))
    run("prune", one, "--before", "2026-01-01T01:00:00", "--yes")
    (made,) = found("merge", backup, "--into", one)["sources"]
    assert (made["calls"], made["left_out"]) == (0, 6)
    with opened(one) as ledger:
        assert ledger.summary().requests == 12
    (made,) = found("merge", one, "--into", place("new"))["sources"]
    assert (made["calls"], made["pruned_hours"]) == (6, 1)


def test_a_ledger_is_not_merged_into_itself(tmp_path: Path) -> None:
    one = written(str(tmp_path / "one.db"), range(3))
    (tmp_path / "link").symlink_to(one)
    for target in (one, str(tmp_path / "link"), f"{tmp_path}/./one.db"):
        run("merge", one, "--into", target, code=2)


def test_a_merge_that_was_stopped_is_repeated(tmp_path: Path) -> None:
    one = written(str(tmp_path / "one.db"), range(2_000))
    target = str(tmp_path / "target.db")
    process = subprocess.Popen(
        [COMMAND, "ledger", "merge", one, "--into", target],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    eventually(lambda: Path(target).exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode in (0, 130)
    assert b"Traceback" not in errors
    run("merge", one, "--into", target)
    assert ids(target) == [f"call {n}" for n in range(2_000)]
    assert found("check", target)["right"]


HOSTILE = [
    "=1+2",
    "+1",
    "-1",
    "@SUM(A1)",
    " =1",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "a\x1b[2J",
    'a"b,c\nd',
]


def test_export_writes_exact_amounts_and_no_formula(place: Callable[[str], str]) -> None:
    one = place("one")
    with opened(one) as ledger:
        for number, text in enumerate(HOSTILE):
            ledger.record(
                call(
                    number,
                    id=f"{number}{text}",
                    model=text,
                    cost=Decimal("1E-25"),
                    baseline_cost=Decimal("0.1"),
                    provider=text,
                    tags={text: text},
                )
            )
    rows = list(csv.DictReader(run("export", one).stdout.splitlines()))
    assert len(rows) == len(HOSTILE)
    for row in rows:
        assert not any(
            cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")) for cell in row.values()
        )
        assert all(cell.isprintable() for cell in row.values())
        assert row["cost"] == "0.0000000000000000000000001"
        assert row["saved"] == "0.0999999999999999999999999"
    lines = run("export", one, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["tags"] for line in lines] == [{text: text} for text in HOSTILE]


def test_a_negative_saving_is_a_number(tmp_path: Path) -> None:
    one = written(str(tmp_path / "one.db"), range(1), baseline_cost=Decimal("-0"), cost=Decimal(2))
    (row,) = csv.DictReader(run("export", one).stdout.splitlines())
    assert Decimal(row["saved"]) == -2


def test_export_takes_a_period_and_tags(tmp_path: Path) -> None:
    one = written(str(tmp_path / "one.db"))
    out = tmp_path / "calls.jsonl"
    period = ["--since", "2026-01-01T01:00:00", "--until", "2026-01-01T03:00:00"]
    made = found("export", one, "--out", str(out), *period, "--tag", "user=u1")
    assert made == {"calls": 4, "damaged": 0, "out": str(out), "format": "jsonl"}
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["call 7", "call 10", "call 13", "call 16"]
    assert oct(out.stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize(
    "options",
    [["--tag", "user"], ["--tag", "=u1"], ["--tag", "a=1", "--tag", "a=2"], ["--json"],
     ["--format", "parquet"], ["--since", "monday"]],
)  # fmt: skip
def test_export_refuses_what_it_cannot_do(tmp_path: Path, options: list[str]) -> None:
    one = written(str(tmp_path / "one.db"), range(3))
    run("export", one, *options, code=2)


def test_a_full_disk_leaves_the_former_file(tmp_path: Path) -> None:
    one = written(str(tmp_path / "one.db"), range(2_000))
    out = tmp_path / "calls.csv"
    out.write_text("former")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000,) * 2);"
    limited += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limited += (
        "from llm_optimizers.cli import app as _; from llm_optimizers.cli import main; main()"
    )
    full = limited.replace("3_000_000", "150_000")
    done = subprocess.run(
        [sys.executable, "-c", full, "ledger", "export", one, "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert out.read_text() == "former"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.csv", "one.db"]


def changed(one: str, statement: str, postgres: Callable[[], PostgresProcess]) -> None:
    """Change the table `hours` of a ledger with SQL."""
    if "://" in one:
        name = one.rpartition("/")[2].partition("?")[0]
        postgres().sql(statement.replace("hours", "one.hours"), name)
        return
    with sqlite3.connect(one) as connection:
        connection.execute(statement)
    connection.close()


def test_check_finds_and_mends_wrong_sums(
    place: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    one = written(place("one"))
    with opened(one) as ledger:
        before = ledger.summary()

    def server() -> PostgresProcess:
        found: PostgresProcess = request.getfixturevalue("postgres")
        return found

    changed(one, "UPDATE hours SET calls = calls + 1", server)
    assert found("check", one)["right"], "nobody believes them: they are made again when asked for"
    with opened(one) as ledger:
        assert ledger.summary() == before
    first = "(SELECT totals FROM hours ORDER BY hour LIMIT 1)"
    changed(one, f"UPDATE hours SET totals = {first}", server)
    result = found("check", one, code=1)
    assert (result["right"], result["damaged"], len(result["wrong_hours"])) == (False, 0, 9)
    assert "use --repair" in run("check", one, code=1).stdout
    assert found("check", one, "--repair")["right"]
    assert found("check", one)["wrong_hours"] == []


def test_check_counts_damaged_rows(tmp_path: Path) -> None:
    one = written(str(tmp_path / "one.db"), range(5), "label")
    with sqlite3.connect(one) as connection:
        connection.execute("UPDATE calls SET cost = 'much' WHERE seq = 2")
        connection.execute("UPDATE notes SET payload = '{'")
    connection.close()
    result = found("check", one, "--repair", code=1)
    assert (result["rows"], result["damaged"]) == (6, 2)
    assert found("export", one, "--out", str(tmp_path / "out.csv"))["damaged"] == 1


def test_check_says_what_the_database_finds(tmp_path: Path) -> None:
    one = Path(written(str(tmp_path / "one.db"), range(3_000)))
    content = bytearray(one.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4_096] = os.urandom(4_096)
    one.write_bytes(content)
    done = CliRunner().invoke(app, ["ledger", "check", str(one)])
    assert done.exit_code == 1
    assert "damaged" in done.output or "reports" in done.output or "malformed" in done.output


def v1(path: Path) -> None:
    """A ledger of the first version."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE calls (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
            "time INTEGER NOT NULL, model TEXT NOT NULL, provider TEXT, tier TEXT NOT NULL, "
            "input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, "
            "cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, "
            "cache_write_1h_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, "
            "input_audio_tokens INTEGER NOT NULL, output_audio_tokens INTEGER NOT NULL, "
            "cost TEXT, baseline_model TEXT NOT NULL, baseline_cost TEXT, baseline_usage TEXT, "
            "hit_strategy TEXT, savings TEXT NOT NULL, tags TEXT NOT NULL, latency_s REAL, "
            "status TEXT NOT NULL, estimated INTEGER NOT NULL, error TEXT)"
        )
        connection.execute("CREATE INDEX calls_by_time ON calls (time)")
        connection.execute(
            "CREATE TABLE notes (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
            "time INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL)"
        )
        connection.execute("CREATE INDEX notes_by_kind ON notes (kind, time)")
        connection.execute(
            "INSERT INTO calls VALUES (1, 'old', 1767225600000000, 'm', NULL, 'standard', "
            "1, 2, 0, 0, 0, 0, 0, 0, '0.5', 'm', '0.5', NULL, NULL, '[]', '{}', "
            "NULL, 'ok', 0, NULL)"
        )
        connection.execute(f"PRAGMA application_id = {int.from_bytes(b'LLMc')}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_a_ledger_of_the_first_version_is_read_as_it_is(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    v1(old)
    before = old.read_bytes()
    assert found("check", str(old))["rows"] == 1
    assert found("prune", str(old), "--older-than", "1d")["calls"] == 1
    assert "old" in run("export", str(old)).stdout
    run("merge", str(old), "--into", str(tmp_path / "new.db"))
    assert ids(str(tmp_path / "new.db")) == ["old"]
    assert old.read_bytes() == before


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "there is no cost ledger"),
    "folder": (lambda path: path.mkdir(), "there is no cost ledger"),
    "empty": (lambda path: path.touch(), "is empty"),
    "text": (lambda path: path.write_text("no ledger" * 999), "cannot be read|cannot be used"),
    "another program's": (foreign, "a database of something else"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(
    "command",
    [
        ["prune", "--older-than", "1d"],
        ["prune", "--older-than", "1d", "--yes"],
        ["check"],
        ["check", "--repair"],
        ["export"],
        ["merge", "--into", "TARGET"],
    ],
    ids=" ".join,
)
def test_what_is_no_ledger_is_left_alone(tmp_path: Path, command: list[str], kind: str) -> None:
    make, message = BAD[kind]
    path = tmp_path / "it"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    name, *options = [each.replace("TARGET", str(tmp_path / "target")) for each in command]
    done = run(name, str(path), *options, code=1)
    assert any(part in done.output for part in message.split("|")), done.output
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize(
    "options", [["prune", "--older-than", "1d", "--yes"], ["check", "--repair"]], ids=" ".join
)
def test_a_locked_ledger_is_not_waited_for_for_ever(tmp_path: Path, options: list[str]) -> None:
    one = written(str(tmp_path / "one.db"), range(3))
    with sqlite3.connect(one) as connection:
        connection.execute("UPDATE hours SET calls = 99")
        connection.commit()
        connection.execute("BEGIN EXCLUSIVE")
        done = run(options[0], one, *options[1:], code=1)
        assert "locked" in done.output
        connection.rollback()
    connection.close()


@pytest.mark.parametrize("url", ["mysql://u:p4ss@h/d", "postgresql://u:p4ss@127.0.0.1:1/d", "://"])
def test_a_url_of_no_server_is_refused_without_its_password(url: str) -> None:
    for command in (["check"], ["export"], ["prune", "--older-than", "1d", "--yes"]):
        done = run(command[0], url, *command[1:], code=1)
        assert "p4ss" not in done.output


@pytest.mark.loopback
@pytest.mark.postgres
def test_reading_a_database_without_a_ledger_makes_none(postgres: PostgresProcess) -> None:
    with postgres.database() as url:
        for command in (["check"], ["export"], ["prune", "--older-than", "1d"]):
            assert "holds no cost ledger" in run(command[0], url, *command[1:], code=1).output
        schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'llm_optimizers'"
        assert postgres.sql(schemas, url.rpartition("/")[2]) == "0"


@pytest.mark.parametrize("command", ["", "prune", "merge", "export", "check"])
def test_help_shows_an_example(command: str) -> None:
    done = run(*([command] if command else []), "--help")
    assert not command or f"llm-optimizers ledger {command}" in " ".join(done.output.split())
