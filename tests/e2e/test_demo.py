"""`llm-optimizers demo` and `replay` as a user runs them, over HTTP through the real SDKs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from llm_optimizers.cli.app import app
from support.openai_server import openai_server

pytestmark = pytest.mark.loopback

COMMANDS = ["demo", "replay", "prices", "report", "audit-prompts"]
PROMISED = {
    *("requests", "hits", "wrong_hits", "tokens", "cost"),
    *("baseline_cost", "saved_pct", "overhead_ms"),
}
ROOT = get_command(app)
DEAD = "http://127.0.0.1:9/v1"


def run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def log(tmp_path):
    def written(*lines):
        path = tmp_path / "log.jsonl"
        rows = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(rows), encoding="utf-8")
        return path

    return written


def asked(question, **more):
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": question}], **more}


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["langchain", "llama-index"])
def test_the_shipped_day_is_cheaper_with_a_cache_and_has_no_wrong_hit(framework):
    result = run("demo", "--only", "cache", "--framework", framework, "--json")
    assert result.exit_code == 0
    figures = json.loads(result.stdout)
    assert figures.keys() >= PROMISED
    assert figures["requests"] >= 400
    assert figures["wrong_hits"] == 0
    assert figures["errors"] == {}
    assert figures["unpriced"] == 0
    assert figures["right_answers"] == figures["judged_answers"] == figures["requests"]
    assert all(figures["hits"][tier] > 0 for tier in ("exact", "normalised", "semantic"))
    assert 0 < figures["cost"] < 0.9 * figures["baseline_cost"]
    assert figures["tokens"] < figures["baseline_tokens"]
    # The account's own idea of what the calls would have cost, against the calls made bare.
    assert figures["account_baseline_cost"] == pytest.approx(figures["baseline_cost"], rel=0.01)
    assert sum(figures["saved_by"].values()) == pytest.approx(figures["saved"], rel=0.01)
    assert not figures["tokens_estimated"]


def test_a_users_log_with_bad_lines_and_an_unknown_model(log):
    path = log(
        asked("How do I get a refund?", response="Within 30 days.", answer_class="refund"),
        "no json",
        asked("how do i get a refund", answer_class="refund"),
        {"prompt": "What is it?", "model": "mystery-9", "team": "x"},
        {"messages": []},
    )
    result = run("replay", path, "--json")
    assert result.exit_code == 0
    assert "line 2 skipped" in result.stderr
    assert "line 5 skipped" in result.stderr
    assert "no such fields: team" in result.stderr
    figures = json.loads(result.stdout)
    assert (figures["requests"], figures["skipped_lines"], figures["unpriced"]) == (3, 2, 1)
    assert figures["hits"]["normalised"] == 1
    assert figures["wrong_hits"] == 0
    assert figures["tokens_estimated"]
    table = run("replay", path).output
    assert "no known price (mystery-9)" in " ".join(table.split())
    assert "recorded in the log, not generated" in " ".join(table.split())


def test_many_bad_lines_are_reported_with_their_count(log):
    result = run("replay", log(asked("Hi"), *["bad"] * 50))
    assert "50 lines skipped in all" in result.output
    assert result.output.count("skipped:") < 10


@pytest.mark.parametrize("framework", ["langchain", "llama-index"])
def test_settings_reach_the_provider(log, framework):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    path = log(
        asked("one", tools=[tool], tool_choice="auto", temperature=0.5),
        asked("two", response_format={"type": "json_object"}, stream=True, metadata={"a": "b"}),
    )
    with openai_server() as server:
        got = run("replay", path, "--base-url", server.url, "--framework", framework, "--json")
    assert json.loads(got.stdout)["errors"] == {}
    first, second = server.requests
    assert first["tools"][0]["function"]["name"] == "f"
    assert (first["tool_choice"], first["temperature"]) == ("auto", 0.5)
    assert second["response_format"] == {"type": "json_object"}
    assert second["stream"] is True
    assert first["model"] == second["model"] == "gpt-4o"


def test_another_model_can_be_called(log):
    with openai_server() as server:
        run("replay", log(asked("one")), "--base-url", server.url, "--model", "my-model")
    assert [body["model"] for body in server.requests] == ["my-model"]


@pytest.mark.parametrize("content", ["", "bad\nbad"])
def test_a_log_without_requests_is_an_error(log, content):
    result = run("replay", log(content))
    assert result.exit_code == 1
    assert "holds no request" in result.stderr
    assert run("replay", "no-such-file.jsonl").exit_code == 1


def test_a_dead_provider_ends_in_counted_errors(log, monkeypatch):
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_: 0)
    result = run("replay", log(*map(asked, "abcdefghij")), "--base-url", DEAD, "--json")
    assert result.exit_code == 1
    figures = json.loads(result.stdout)
    assert figures["gave_up"]
    assert sum(figures["errors"].values()) == figures["requests"] < 10
    assert figures["cost"] == 0


def test_a_provider_that_fails_now_and_then_is_counted(log, monkeypatch):
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_: 0)
    with openai_server() as server:
        server.failures.extend([500] * 3)
        result = run("replay", log(*map(asked, "ab")), "--base-url", server.url)
    assert result.exit_code == 0
    assert "Failed: 1 ×" in result.output
    assert "failure requested by the test" in result.output


@pytest.mark.slow
def test_ctrl_c_prints_the_figures_so_far(log):
    path = log(*(asked(f"Question of number {number}") for number in range(1_000)))
    with openai_server(delay=0.02) as server:
        # A test run in the background inherits an ignored SIGINT.
        script = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from llm_optimizers.cli import main; main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, "replay", str(path), "--base-url", server.url, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENAI_API_KEY": "sk-x"},
        )
        while len(server.requests) < 5 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    figures = json.loads(out)
    assert figures["interrupted"]
    assert 4 <= figures["requests"] < 1_000


def test_a_proxy_in_the_environment_is_not_used_for_loopback(log, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for framework in ("langchain", "llama-index"):
        got = run("replay", log(asked("Hi", response="Hello")), "--framework", framework, "--json")
        assert json.loads(got.stdout)["errors"] == {}


def test_the_ledger_is_written_to_the_given_file(log, tmp_path):
    ledger = tmp_path / "costs.sqlite"
    path = log(asked("Hi", response="Hello"), asked("Hi", response="Hello"))
    assert run("replay", path, "--ledger", ledger).exit_code == 0
    assert json.loads(run("report", ledger, "--json").stdout)["requests"] == 2
    again = json.loads(run("replay", path, "--ledger", ledger, "--json").stdout)
    assert again["baseline_cost"] == pytest.approx(again["account_baseline_cost"])
    assert json.loads(run("report", ledger, "--json").stdout)["requests"] == 4
    result = run("replay", path, "--ledger", ledger / "is no folder")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_impossible_options_are_reported(log, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = log(asked("Hi"))
    result = run("replay", path, "--framework", "nope")
    assert (result.exit_code, "known: langchain" in result.stderr) == (1, True)
    assert "OPENAI_API_KEY" in run("replay", path, "--live").output
    assert "--base-url" in run("replay", path, "--model", "x").output
    assert run("replay", path, "--limit", "0").exit_code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json(command):
    assert command in run("--help").output
    assert "--json" in run(command, "--help").output


def leaves(command, path=()):
    """Every command that does something, with the words that call it."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
        return
    for name, each in subcommands.items():
        yield from leaves(each, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*leaf, id=" ".join(leaf[0])) for leaf in leaves(ROOT)]
)
def test_help_describes_every_command_and_option(path, command):
    assert run(*path, "--help").exit_code == 0
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", ""), f"{' '.join(path)}: {parameter.name}"
