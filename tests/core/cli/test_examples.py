"""The command that tells how many few-shot examples are enough, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_optimizers.cli.app import app
from support.openai_server import openai_server

pytestmark = pytest.mark.loopback

LABELLED = [{"input": f"case {n}", "output": "even" if n % 2 == 0 else "odd"} for n in range(6)]


def needs_two(body: dict[str, Any]) -> str:
    """A model that has understood only once it has seen two examples."""
    shown = sum(message["role"] == "assistant" for message in body["messages"])
    number = int(body["messages"][-1]["content"].split()[-1])
    return ("even", "odd")[number % 2] if shown >= 2 else "unsure"


def run(path: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["examples", str(path), "--model", "gpt-4o-mini", *options])


def test_it_stops_where_quality_levels_off(tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text("\n".join(map(json.dumps, LABELLED)))
    with openai_server(reply=needs_two) as server:
        result = run(path, "--base-url", server.url, "--json")
    printed = json.loads(result.stdout)
    assert result.exit_code == 0
    assert printed["enough"] == 2
    assert [trial["quality"] for trial in printed["trials"]] == [0, 0, 1, 1, 1]


def test_a_malformed_line_is_reported_by_number(tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(json.dumps(LABELLED[0]) + "\n{}\n")
    result = run(path, "--base-url", "http://127.0.0.1:9/v1")
    assert result.exit_code == 1
    assert "line 2" in result.output


def test_without_a_key_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = tmp_path / "labelled.jsonl"
    path.write_text(json.dumps(LABELLED[0]))
    result = run(path)
    assert result.exit_code == 2
    assert "OPENAI_API_KEY" in result.output
