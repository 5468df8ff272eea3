"""The prompt audit, as a function and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llm_optimizers.cli.app import app
from llm_optimizers.prompts import RequestOptimizer, TokenCounter
from llm_optimizers.prompts.audit import Finding, audit
from llm_optimizers.prompts.lossless import edited
from llm_optimizers.types import ChatRequest, Message, Role

PROMPT = """You are a helpful assistant today.   Today is 2026-01-02.

Please make sure to be helpful and accurate.
Be accurate and helpful.

Example 1: a
Example 2: b
Example 3: c

```python
x  =  1
```

[
  {"x": 1, "y": "q"},
  {"x": 2, "y": "r"}
]
"""
DATA = json.dumps([{"name": f"n{n}", "size": n} for n in range(9)], indent=2)
counter = TokenCounter()


def findings_in(text: str, role: Role = "system") -> tuple[Finding, ...]:
    return audit(text, model="gpt-4o", counter=counter, role=role)


def found(text: str, role: Role = "system") -> dict[tuple[int, str], int]:
    return {(f.line, f.kind): f.tokens for f in findings_in(text, role)}


def test_every_kind_of_waste_is_found_on_its_line() -> None:
    findings = found(PROMPT)
    assert set(findings) == {
        (1, "blanks"),
        (1, "varying timestamp"),
        (3, "filler"),
        (4, "repeat"),
        (8, "many examples"),
        (14, "JSON layout"),
        (14, "alike records"),
    }
    repeat = counter.count("Be accurate and helpful.\n\n", "gpt-4o").tokens
    assert findings[4, "repeat"] == repeat
    assert all(tokens > 0 for (_, kind), tokens in findings.items() if "varying" not in kind)


def test_instruction_findings_are_not_for_user_messages() -> None:
    assert {kind for _, kind in found(PROMPT, "user")} == {
        "blanks", "filler", "JSON layout", "alike records",
    }  # fmt: skip
    assert found(PROMPT, "assistant") == {}


def test_only_what_the_optimizer_does_by_default_counts_as_lossless() -> None:
    for finding in findings_in(PROMPT):
        assert not finding.lossless
    advice = {f.kind: f.advice for f in findings_in(PROMPT)}
    assert "'whitespace'" in advice["blanks"]
    assert "'embedded_json'" in advice["JSON layout"]
    assert "'tables'" in advice["alike records"]
    for role, text, line in (("tool", DATA, 1), ("user", f"<context>{DATA}</context> Why?", 1)):
        layout, *others = (f for f in findings_in(text, role) if f.kind != "alike records")
        assert (layout.kind, layout.line, layout.lossless, others) == (
            "JSON layout",
            line,
            True,
            [],
        )
        message = Message(role=role, content=text)
        done = RequestOptimizer(provider_cache=False, counter=counter).optimize(
            ChatRequest(model="gpt-4o", messages=(message,))
        )
        assert layout.tokens == done.tokens_before - done.tokens


def test_the_passes_that_are_named_save_what_the_audit_says() -> None:
    text = f"You help all day.   Be kind.\n\n<!-- v2 -->\n\nIt is said once.  Then not.\n\n{DATA}\n"
    names = {"whitespace": "blanks", "markup": "markup", "embedded_json": "JSON layout"}
    findings = findings_in(text, "user")
    for name, kind in names.items():
        shorter = edited(text, frozenset({name}))
        saved = counter.count(text, "gpt-4o").tokens - counter.count(shorter, "gpt-4o").tokens
        counted = sum(f.tokens for f in findings if f.kind == kind)
        assert abs(saved - counted) <= 2  # Tokens may reach over a line's end.
        assert counted > 0


def test_a_tool_s_text_is_only_looked_at_as_data() -> None:
    assert found(f"Please note that.   It is.\n{DATA}", "tool") == {}
    assert {kind for _, kind in found(DATA, "tool")} == {"JSON layout", "alike records"}


@pytest.mark.parametrize("text", ["", "Be brief.", "```\nx   =  1\n", "\x00\ud800" * 9, "{" * 999])
@pytest.mark.parametrize("role", ["system", "user", "tool", "assistant"])
def test_a_clean_or_malformed_text_has_no_findings(text: str, role: Role) -> None:
    assert found(text, role) == {}


def run(*arguments: str):
    return CliRunner().invoke(app, ["audit-prompts", *arguments])


def test_the_command_shows_lines_and_money(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text(PROMPT)
    result = run(str(file), "--per-day", "100000")
    assert result.exit_code == 0
    for text in ("repeat", "varying timestamp", "tokens by default", "per month"):
        assert text in result.output


def test_the_totals_in_json_equal_the_findings(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text(f"{PROMPT}\n<context>\n{DATA}\n</context>\n")
    seen = json.loads(run(str(file), "--per-day", "100000", "--json").output)
    findings = seen["prompts"][0]["findings"]
    assert 0 < seen["lossless_tokens"] == sum(f["tokens"] for f in findings if f["lossless"])
    money = seen["dollars_per_month"]
    # gpt-4o: $2.50 a million tokens, 30 days; half of that when cached
    assert money["lossless_saving"] == round(seen["lossless_tokens"] * 2.5 * 3, 2)
    assert money["lossless_saving_if_cached"] == round(money["lossless_saving"] / 2, 2)


def test_requests_are_audited_message_by_message(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief. Be brief."},
        {"role": "user", "content": "a"},
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps({"messages": messages}) for _ in range(2)))
    alone = tmp_path / "one.json"
    alone.write_text(json.dumps(messages))
    seen = json.loads(run(str(log), str(alone), "--json").output)
    assert [p["place"] for p in seen["prompts"]] == [
        "row 1, message 0 (system)", "row 1, message 1 (user)",
        "message 0 (system)", "message 1 (user)",
    ]  # fmt: skip


def test_a_tool_s_data_counts_as_removed_by_default(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": DATA},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": DATA, "tool_call_id": "c"},
    ]
    file.write_text(json.dumps(messages))
    asked, _, result = json.loads(run(str(file), "--json").output)["prompts"]
    lossless = [[f["lossless"] for f in p["findings"]] for p in (asked, result)]
    assert lossless == [[False, False], [True, False]]


def test_an_unpriced_model_has_tokens_but_no_dollars(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text(PROMPT)
    seen = json.loads(run(str(file), "--model", "no-such-model", "--json").output)
    assert seen["dollars_per_month"] is None
    assert not seen["tokens_are_exact"]
    assert "no-such-model" in run(str(file), "--model", "no-such-model").output


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", b"{"), ("b.json", b"[1]"), ("c.jsonl", b'{"x": 1}'), ("d.txt", b"\xff\xfe\x00")],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    result = run(str(file))
    assert result.exit_code == 2
    assert name in result.output.replace("\n", "").replace("│", "").replace(" ", "")


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0c", "\x1c", "\r"])
def test_lines_are_counted_by_line_feeds_alone(separator: str) -> None:
    text = f"Be{separator}kind.\nPlease note that it is now 2026-01-01T10:00:00."
    assert {line for line, _ in found(text)} == {2}
