"""Hostile names, tags, errors, prompts and files: no command lets them act on the terminal."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_optimizers.batching import JobQueue, RetryPolicy
from llm_optimizers.cli.app import app
from llm_optimizers.costs import CallRecord, Ledger, Saving, Usage
from llm_optimizers.evidence.labels import Label, write_labels

BAD = "a\x1b]0;pwn\x07\x1b[2J\x9b31m\u202e\u200b\r\nb\t[red]\x7f"
KEY = "sk-proj-abcdefgh12345678"
COMMAND = str(Path(sys.executable).with_name("llm-optimizers"))


def run(*arguments: object, **more: Any) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments], **more)


def unsafe(output: str) -> list[str]:
    """Return the characters that must not reach a terminal."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [c for c in output if unicodedata.category(c) in kinds and c != "\n"]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    with Ledger(path) as account:
        for number in range(3):
            account.record(
                CallRecord(
                    id=f"{number}",
                    time=datetime(2026, 1, 1, tzinfo=UTC),
                    model=BAD,
                    usage=Usage(input_tokens=10),
                    cost=Decimal(1),
                    baseline_model="m",
                    baseline_cost=Decimal(2),
                    savings=(Saving(strategy=BAD, amount=Decimal(1)),),
                    tags={BAD: BAD, "user": f"{BAD} {'x' * 10_000}"},
                )
            )
    return path


def test_a_report_shows_hostile_names_as_escapes(ledger: Path) -> None:
    result = run("report", ledger, "--premium", BAD, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert unsafe(result.output) == []
    assert "[red]" in result.output
    assert r"a\x1b]0;pwn\x07" in result.output
    assert len(result.output) < 20_000
    with Ledger(ledger) as account:
        assert unsafe(str(account.summary(premium_model=BAD))) == []


@pytest.mark.parametrize("width", ["1", "20", "40"])
def test_narrow_terminals_show_a_report(ledger: Path, width: str) -> None:
    result = run("report", ledger, env={"COLUMNS": width})
    assert result.exit_code == 0
    assert unsafe(result.output) == []


def test_json_is_exact_and_all_ascii(ledger: Path) -> None:
    output = run("report", ledger, "--json").output
    assert unsafe(output) == []
    assert output.isascii()
    assert BAD in json.loads(output)["by_model"]


def test_colours_are_ours_alone(ledger: Path) -> None:
    result = run("report", ledger, env={"FORCE_COLOR": "1", "COLUMNS": "200"}, color=True)
    for sequence in ("\x1b]", "\x1b[2J", "\x9b", "\u202e"):
        assert sequence not in result.output


def test_dead_letters_are_shown_safely_and_keep_no_key(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"

    def fail(payload: Any) -> None:
        raise ValueError(f"{BAD} {KEY}")

    with JobQueue(fail, path=path, retries=RetryPolicy(max_attempts=1)) as jobs:
        jobs.submit({"prompt": BAD}, key=BAD)
        while not jobs.dead.list():
            pass
    for command in (("list",), ("list", "--json"), ("show", BAD), ("show", "\x1b[2J")):
        result = run("queue", "dead", *command, "--path", path)
        assert unsafe(result.output) == []
        assert KEY not in result.output
    shown = json.loads(run("queue", "dead", "show", BAD, "--path", path).stdout)
    assert shown["payload"] == {"prompt": BAD}
    assert unsafe(run("queue", "stats", "--path", path, "--name", BAD).output) == []
    assert KEY.encode() not in b"".join(each.read_bytes() for each in tmp_path.iterdir())


def test_prompts_are_audited_safely(tmp_path: Path) -> None:
    text = f'Please note that {BAD}\u2028{{"a":   [1,   2]}} at 2026-01-01T10:00:00 {BAD}'
    (tmp_path / "p.txt").write_bytes(text.encode())
    rows = [json.dumps({"messages": [{"role": "system", "content": text}]}), '{"\x1b[2J": ']
    (tmp_path / "log.jsonl").write_text("\n".join(rows))
    result = run("audit-prompts", tmp_path / "p.txt", tmp_path / "log.jsonl", "--model", BAD)
    assert result.exit_code == 0
    assert unsafe(result.output) == []


def test_a_router_with_hostile_names_is_fitted_safely(tmp_path: Path) -> None:
    labels = [Label(prompt=f"{BAD} {n}", scores={BAD: 0, "l": 1}, task=BAD) for n in range(9)]
    write_labels(tmp_path / "labels.jsonl", labels)
    out = tmp_path / "router.json"
    for more in ((), ("--json",)):
        result = run(
            "router", "fit", tmp_path / "labels.jsonl", "--strong", "l", "--out", out, *more
        )
        assert unsafe(result.output) == []
    assert unsafe(run("router", "explain", out, BAD, "--task", BAD).output) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", f"{BAD}.db"),
        ("report", "x.db", "--since", BAD),
        (BAD,),
        ("prices", BAD),
        ("prices", BAD, "--json"),
        ("router", "evaluate", BAD, BAD),
        ("queue", "dead", "list", "--path", BAD),
        ("queue", "submit", BAD),
        ("queue", "status", BAD, "--provider", BAD),
        ("queue", "work", BAD, "--path", "x"),
        ("replay", BAD),
        ("replay", "x", "--framework", BAD),
        ("examples", BAD, "--model", BAD),
        ("audit-prompts", BAD),
        (f"--{BAD}",),
    ],
)
def test_errors_are_one_safe_line_on_stderr(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    result = run(*arguments)
    assert result.exit_code not in (0, 130)
    assert unsafe(result.output) == []
    assert "Traceback" not in result.output
    assert result.stderr.strip() or "--json" in arguments


def test_an_unexpected_error_is_shown_safely(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(BAD)

    monkeypatch.setattr(Ledger, "summary", fail)
    result = run("report", ledger)
    assert result.exit_code == 1
    assert "RuntimeError" in result.stderr
    assert unsafe(result.output) == []


def test_ctrl_c_ends_with_130_and_no_traceback(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "summary", interrupt)
    result = run("report", ledger)
    assert (result.exit_code, result.output.strip()) == (130, "")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"NO_COLOR": "1", "TERM": "dumb"},
    ],
)
def test_every_terminal_shows_a_report(ledger: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [COMMAND, "report", str(ledger)],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db") as account:
        for number in range(3_000):
            account.record(
                CallRecord(
                    id=f"{number}",
                    time=datetime(2026, 1, 1, tzinfo=UTC),
                    model=f"model {number}",
                    usage=Usage(),
                    cost=None,
                    baseline_model="m",
                    baseline_cost=None,
                )
            )
    with subprocess.Popen(
        [COMMAND, "report", str(tmp_path / "l.db"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1, -signal.SIGPIPE)


def test_damaged_rows_are_counted_in_the_report(ledger: Path) -> None:
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE calls SET cost = 'NaN', tags = '{' WHERE id = '1'")
    connection.close()
    result = run("report", ledger, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "Damaged rows" in result.output
    assert json.loads(run("report", ledger, "--json").output)["damaged"] == 1
