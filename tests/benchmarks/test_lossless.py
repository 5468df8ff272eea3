"""The rows of the lossless section count what changes and what is saved."""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import pytest

from harness import Row, Run
from llm_optimizers.prompts import Optimized, RequestOptimizer
from llm_optimizers.types import ChatRequest, Message
from prompts.agents import agent_rows
from prompts.corpus import Text
from prompts.lossless import by_default, opt_in

RECORDS = json.dumps([{"id": n, "name": f"item {n}"} for n in range(9)], indent=4)
TEXTS = [
    Text(kind="json", source="a", text=RECORDS),
    Text(kind="python", source="b", text="if a:\n    b()\n    c()\n"),
    Text(kind="log", source="c", text="WARN   disk  full\nINFO   ok\n"),
]


class Careless(RequestOptimizer):
    """Sends every message with single blanks."""

    def optimize(self, request: ChatRequest) -> Optimized:
        def single(message: Message) -> Message:
            return Message(
                role=message.role,
                content=message.text.replace("  ", " "),
                tool_calls=message.tool_calls,
                tool_call_id=message.tool_call_id,
                name=message.name,
            )

        sent = ChatRequest(model=request.model, messages=tuple(map(single, request.messages)))
        return super().optimize(sent)


def run(folder: Path) -> Run:
    return Run(options=argparse.Namespace(data=folder), seed=1, section="lossless", shared={})


def by_name(rows: list[Row]) -> dict[str, float | None]:
    return {row.name: row.value for row in rows}


def test_what_is_proven_saves_and_changes_nothing(tmp_path: Path) -> None:
    found = by_name(list(by_default(TEXTS, [RequestOptimizer()], run(tmp_path))))
    assert found.pop("lossless_meaning_changed") == 0
    assert (found.pop("lossless_saved_pct_json") or 0) > 20
    assert (found.pop("lossless_saved_pct_all") or 0) > 20
    assert found == {"lossless_saved_pct_python": 0, "lossless_saved_pct_log": 0}


def test_a_change_by_any_optimizer_counts_once_for_each_text_and_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optimizers = [RequestOptimizer(), Careless()]
    found = by_name(list(by_default(TEXTS, optimizers, run(tmp_path))))
    assert found["lossless_meaning_changed"] == 5  # the log; Python and JSON mean the same
    assert "log as tool: c" in capsys.readouterr().out


def test_every_other_pass_has_its_rows(tmp_path: Path) -> None:
    found = by_name(list(opt_in(TEXTS, run(tmp_path))))
    for name in ("markup", "repeats", "tables", "whitespace", "all_passes"):
        assert f"lossless_{name}_meaning_changed" in found
        assert f"lossless_{name}_saved_pct" in found
    assert (found["lossless_tables_saved_pct"] or 0) > 20


def test_recorded_runs_are_counted_by_message(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    call = {"id": "c1", "name": "look_up", "args": {"at": 1}}
    messages = [
        {"role": "user", "content": "Two  blanks, please."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": RECORDS, "tool_call_id": "c1"},
    ]
    with gzip.open(tmp_path / "agents" / "some.jsonl.gz", "wt") as lines:
        lines.write(json.dumps({"system": "You  help.", "tools": []}) + "\n")
        lines.write(json.dumps({"id": "r", "messages": messages}) + "\n")
    rows = {row.name: row for row in agent_rows(run(tmp_path))}
    assert rows["lossless_agents_changed_wrong"].value == 0
    assert (
        "1 tool outputs and 3 other messages; 1 outputs"
        in rows["lossless_agents_changed_wrong"].note
    )
    assert (rows["lossless_agents_saved_pct"].value or 0) > 20
    assert rows["lossless_agents_saved_pct_some"].value == rows["lossless_agents_saved_pct"].value


def test_missing_runs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(agent_rows(run(tmp_path))) == []
    assert str(tmp_path / "agents") in capsys.readouterr().out
