"""`llm-optimizers queue`: a file at half price, workers, dead letters."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_optimizers.batching import JobQueue, RetryPolicy
from llm_optimizers.cli.app import app
from llm_optimizers.costs import Ledger
from support.batch_server import BatchServer, Script, batch_server


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["queue", *map(str, arguments)])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    with batch_server() as server:
        yield server


def requests(path: Path, count: int) -> Path:
    bodies = [
        {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"q{n}"}]}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return path


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.loopback
def test_a_file_is_submitted_polled_and_collected(server: BatchServer, tmp_path: Path) -> None:
    file, ledger = requests(tmp_path / "day.jsonl", 4), tmp_path / "ledger.db"
    server.scripts.append(Script(errors={3: (400, "bad")}))
    where = ("--base-url", server.url)
    submitted = run("submit", file, *where, "--json")
    assert submitted.exit_code == 0, submitted.output
    assert json.loads(submitted.output)["requests"] == 4
    assert run("submit", file, *where).exit_code == 0
    assert len(server.batches) == 1
    assert run("status", file, *where).exit_code == 0
    collected = run("collect", file, *where, "--ledger", ledger, "--poll", "0.01")
    assert collected.exit_code == 1, "one request was refused"
    assert "answered   3" in collected.output
    lines = written(tmp_path / "day.results.jsonl")
    assert [line["text"] for line in lines] == [*(f"answer to q{n}" for n in range(3)), None]
    assert lines[0]["cost"] is not None
    assert lines[3]["error"] == "failure requested by the test"
    account = Ledger(ledger)
    assert len(list(account.records())) == 3
    account.close()


@pytest.mark.loopback
def test_a_batch_is_cancelled_and_a_short_wait_ends(server: BatchServer, tmp_path: Path) -> None:
    file = requests(tmp_path / "day.jsonl", 4)
    server.scripts.append(Script(polls=999))
    where = ("--base-url", server.url)
    run("submit", file, *where)
    late = run("collect", file, *where, "--poll", "0.01", "--timeout", "0.02")
    assert late.exit_code == 2
    assert "4 requests" in late.output
    assert run("cancel", file, *where, "--json").exit_code == 0
    out = tmp_path / "out.jsonl"
    assert run("collect", file, *where, "--poll", 0.01, "--out", out, "--full").exit_code == 1
    lines = written(out)
    assert [line["state"] for line in lines].count("cancelled") == 2
    assert lines[0]["body"]["object"] == "chat.completion"


def test_bad_files_are_refused_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\n{no json}\n")
    refused = run("submit", file)
    assert refused.exit_code == 1
    assert "line 1" in refused.output
    assert "line 2: it is not JSON" in refused.output
    assert "was not submitted" in run("collect", requests(tmp_path / "new.jsonl", 1)).output
    assert run("submit", tmp_path / "missing.jsonl").exit_code == 2
    assert run("submit", file, "--provider", "somebody").exit_code == 2


def fail(payload: Any) -> Any:
    raise ValueError("no")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.db"
    with JobQueue(fail, path=path, retries=RetryPolicy(max_attempts=1)) as queue:
        for handle in [queue.submit({"n": n}, key=f"job{n}") for n in range(3)]:
            with pytest.raises(Exception, match="no"):
                handle.result(20)
    return path


def test_dead_letters_are_listed_shown_replayed_and_purged(path: Path) -> None:
    where = ("--path", path)
    listed = json.loads(run("dead", "list", *where, "--json").output)["dead"]
    assert {letter["id"] for letter in listed} == {"job0", "job1", "job2"}
    assert "payload" not in listed[0]
    assert "ValueError: no" in run("dead", "list", *where).output
    assert json.loads(run("dead", "show", "job1", *where).output)["payload"] == {"n": 1}
    assert run("dead", "show", "unknown", *where).exit_code == 1
    assert "1 jobs are waiting again" in run("dead", "replay", "job0", *where).output
    assert run("dead", "purge", *where).exit_code == 2
    assert "1 jobs deleted" in run("dead", "purge", "job1", *where).output
    assert "1 jobs deleted" in run("dead", "purge", "--all", *where).output
    assert json.loads(run("stats", *where, "--json").output)["depth"] == 1
    assert "waiting" in run("stats", *where).output


def test_a_path_or_url_must_be_given_and_exist(tmp_path: Path) -> None:
    assert run("stats").exit_code == 2
    assert run("stats", "--path", tmp_path / "none.db").exit_code == 2
    assert run("work", "no.such:thing", "--path", tmp_path / "x.db").exit_code == 2


def test_a_worker_runs_jobs_until_it_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def double(payload):\n    return payload * 2\n")
    path = tmp_path / "jobs.db"
    command = [sys.executable, "-c", "from llm_optimizers.cli import main; main()"]
    worker = subprocess.Popen(
        [*command, "queue", "work", "mine:double", "--path", path, "--lease", "1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout is not None
        assert "working" in worker.stdout.readline()
        with JobQueue(path=path) as queue:
            assert queue.submit(21).result(20) == 42
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    finally:
        worker.kill()
        worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()
