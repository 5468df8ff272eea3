"""`llm-optimizers report`: the summary of a ledger on the terminal and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from llm_optimizers.cli.app import app
from llm_optimizers.costs import Ledger, PriceBook, Usage, price_call

AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    path, prices = tmp_path / "ledger.db", PriceBook()
    with Ledger(path) as ledger:
        for number in range(30):
            record = price_call(
                prices,
                id=str(number),
                time=AT + timedelta(hours=number),
                model=("gpt-4o", "gpt-4o-mini", "mine[bold]")[number % 3],
                usage=Usage(input_tokens=1_000, output_tokens=100),
                baseline_model="gpt-4o",
                hit_strategy="cache.exact" if number % 5 == 0 else None,
                tags={"user": f"user-{number % 15}"},
            )
            ledger.record(record)
    return path


def test_the_command_says_its_version():
    found = CliRunner().invoke(app, ["--version"])
    assert found.exit_code == 0
    assert found.output == f"llm-optimizers {version('llm-optimizers')}\n"


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_it_shows_the_figures(path):
    result = run(path, "--premium", "gpt-4o")
    assert result.exit_code == 0
    for text in ("2026-11-01 00:00", "6 (20.0%)", "On gpt-4o", "by routing", "By user", "5 others"):
        assert text in result.output


def test_names_are_shown_as_they_are_and_unpriced_is_not_free(path):
    lines = [line for line in run(path).output.splitlines() if "mine[bold]" in line]
    assert len(lines) == 1
    assert "unknown" in lines[0]


def test_json_says_the_same_as_the_ledger(path):
    with Ledger(path) as ledger:
        expected = ledger.summary(premium_model="gpt-4o").as_dict()
    assert json.loads(run(path, "--json", "--premium", "gpt-4o").output) == expected


def test_since_and_until(path):
    result = run(path, "--since", "2026-11-01T05:00:00", "--until", "2026-11-02", "--json")
    assert json.loads(result.output)["requests"] == 19


def test_one_breakdown_of_so_many_rows(path):
    output = run(path, "--by", "user", "--top", "2").output
    assert "13 others" in output
    assert "By model" not in output
    found = json.loads(run(path, "--by", "model", "--top", "1", "--json").output)
    assert (list(found["by_model"]), found["by_tag"]) == (["gpt-4o"], {})
    assert found["requests"] == 30


def test_a_breakdown_that_is_not_there_says_which_are(path):
    result = run(path, "--by", "team")
    assert result.exit_code == 1
    assert "no breakdown by team; --by is one of model, user" in " ".join(result.output.split())


def test_one_run(path):
    with Ledger(path) as ledger:
        for number in range(3):
            ledger.record(
                price_call(
                    PriceBook(),
                    id=f"step {number}",
                    time=AT,
                    model="gpt-4o",
                    usage=Usage(input_tokens=1_000),
                    tags={"run": "r1", "step": f"s{number}"},
                )
            )
    assert json.loads(run(path, "--run", "r1", "--json").output)["cost"] == 0.0075
    assert "By step" in run(path, "--run", "r1").output
    assert "No calls" in run(path, "--run", "r2", "--by", "step").output
    refused = run(path, "--run", "r1", "--since", "2026-11-01")
    assert (refused.exit_code, "leave --since" in refused.output) == (1, True)


def test_an_empty_ledger_is_reported(path):
    result = run(path, "--since", "2030-01-01")
    assert result.exit_code == 0
    assert "No calls" in result.output


def test_a_missing_file_is_a_usage_error_and_is_not_created(tmp_path):
    assert run(tmp_path / "none.db").exit_code == 2
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_not_a_ledger_fails_with_the_reason(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 100)
    result = run(path)
    assert result.exit_code == 1
    assert "cannot be read" in result.output


def test_hours_of_a_contract_are_a_cost_of_the_period(path, tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text('[[hourly]]\nmodel = "vllm/mine"\ndollars_per_hour = 5\n')
    plain = json.loads(run(path, "--json").output)
    with_hours = json.loads(run(path, "--prices", file, "--json").output)
    assert with_hours.pop("fixed_costs") == {"vllm/mine": 29 * 5}  # first to last call
    assert with_hours == plain
    day = json.loads(
        run(
            path, "--prices", file, "--since", "2026-11-01", "--until", "2026-11-02", "--json"
        ).output
    )
    assert day["fixed_costs"] == {"vllm/mine": 24 * 5}
    shown = run(path, "--prices", file).output  # whose title may be wrapped
    assert "Paid by the hour" in shown
    assert "$145.00" in shown
    assert "Paid by the hour" not in run(path).output


def test_a_wrong_contract_fails_the_report_with_its_file(path, tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text("hours = 1")
    result = run(path, "--prices", file)
    assert result.exit_code == 1
    assert "prices.toml: `the file: hours`" in result.output


def test_held_out_calls_are_compared_by_request_or_by_user(tmp_path):
    path = tmp_path / "held.db"
    with Ledger(path) as ledger:
        for number in range(400):
            record = price_call(
                PriceBook(),
                id=str(number),
                time=AT,
                model="gpt-4o",
                usage=Usage(input_tokens=1_000 + number % 7),
            )
            # A tenth of the users asks a quarter of the questions.
            ledger.record(replace(record, held_out=number % 4 == 0, bucket=number // 4 % 20))
    by_request = json.loads(run(path, "--json").output)["true_effect"]
    by_user = json.loads(run(path, "--held-out", "0.1", "--json").output)["true_effect"]
    assert by_request["saved_share"]["value"] == pytest.approx(0, abs=0.01)
    assert by_user["saved_share"]["value"] == pytest.approx(1 - (300 / 0.9) / (100 / 0.1), abs=0.01)
    assert "Saved, measured" in run(path, "--held-out", "0.1").output
    wrong = run(path, "--held-out", "2")
    assert wrong.exit_code == 1
    assert "share" in wrong.output


def test_a_report_does_not_wait_for_what_other_subcommands_import(path):
    code = (
        "import sys; from llm_optimizers.cli import main; import atexit; "
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr)); main()"
    )
    command = [sys.executable, "-c", code, "report", str(path), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["requests"] == 30
    loaded = set(done.stderr.split())
    assert "llm_optimizers.cli.report" in loaded
    assert not loaded & {"openai", "llm_optimizers.cli.replay", "llm_optimizers.caching"}


def test_json_of_many_rows_is_one_line(path):
    assert len(run(path, "--json").output.splitlines()) > 100
    with Ledger(path) as ledger:
        first = next(ledger.records())
        for number in range(1_000):
            ledger.record(replace(first, id=f"more-{number}", tags={"user": f"more-{number}"}))
    (line,) = run(path, "--json").output.splitlines()
    assert len(json.loads(line)["by_tag"]["user"]) == 1_015
