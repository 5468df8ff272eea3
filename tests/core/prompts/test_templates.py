"""Templates of a log: texts that differ in some parts are one, different prompts stay apart."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llm_optimizers.cli.app import app
from llm_optimizers.prompts.templates import find_templates

RNG = random.Random(7)
WORDS = ["".join(RNG.choices("abcdefghijklmnop", k=6)) for _ in range(3_000)]
RULES = "\n".join(f"- Always {' '.join(RNG.choices(WORDS, k=12))}." for _ in range(20))
OTHER_RULES = "\n".join(f"- Never {' '.join(RNG.choices(WORDS, k=12))}." for _ in range(20))


def said(count: int) -> str:
    return " ".join(RNG.choices(WORDS, k=count))


def sizes(texts: list[str]) -> list[tuple[int, int]]:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return [(found.requests, found.texts) for found in find_templates(counts)]


def test_the_same_text_is_one_template() -> None:
    assert sizes([RULES] * 1_000) == [(1_000, 1)]


def test_a_date_and_a_name_in_a_text_are_its_variable_parts() -> None:
    texts = [f"Today is 2026-01-{n % 28}. Customer: {said(2)}.\n{RULES}" for n in range(300)]
    assert sizes(texts) == [(300, 300)]


def test_documents_are_the_variable_part_of_a_question_with_documents() -> None:
    documents = [said(80) for _ in range(60)]
    asked = "Answer the question with nothing but the documents below, and cite them.\nDocuments:\n"
    texts = [
        f"{asked}{' '.join(RNG.sample(documents, 3))}\nQuestion: {said(8)}" for _ in range(600)
    ]
    assert sizes(texts)[0][0] >= 590


def test_different_prompts_stay_apart_even_if_they_share_most_of_their_text() -> None:
    texts = [f"Classify.\n{RULES}"] * 500 + [f"Translate.\n{RULES}"] * 500 + [OTHER_RULES] * 500
    assert sizes(texts) == [(500, 1)] * 3


def test_texts_that_share_nothing_are_no_template() -> None:
    assert sizes([said(40) for _ in range(50)]) == [(1, 1)] * 50


@pytest.mark.parametrize("texts", [[], [""], ["", " ", "a"], ["\ud800", "\x00" * 9]])
def test_odd_texts_are_grouped_without_an_error(texts: list[str]) -> None:
    assert sum(requests for requests, _ in sizes(texts)) == len(texts)


def audited(path: Path, *more: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["audit-prompts", str(path), "--json", *more])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def log_of(path: Path, prompts: list[str]) -> Path:
    path.write_text(
        "".join(
            json.dumps({"messages": [{"role": "system", "content": prompt}]}) + "\n"
            for prompt in prompts
        )
    )
    return path


def test_a_log_is_audited_once_per_template_and_costs_what_it_holds(tmp_path: Path) -> None:
    prompt = f"Please note that you are brief. {RULES}"
    alone = audited(log_of(tmp_path / "one.jsonl", [prompt]))
    many = audited(log_of(tmp_path / "many.jsonl", [prompt] * 500))
    assert [(p["requests"], p["texts"]) for p in many["prompts"]] == [(500, 1)]
    assert many["prompts"][0]["findings"] == alone["prompts"][0]["findings"]
    for name in ("tokens", "tokens_to_judge"):
        assert many[name] == 500 * alone[name] > 0
    assert many["requests_per_day"] == 500
    # gpt-4o: $2.50 a million tokens, 30 days
    assert many["dollars_per_month"]["now"] == round(many["tokens"] * 30 * 2.5e-6, 2)
    doubled = audited(tmp_path / "many.jsonl", "--per-day", "1000")
    assert doubled["dollars_per_month"]["now"] == round(many["tokens"] * 60 * 2.5e-6, 2)


def test_rows_that_are_no_requests_are_named_and_left_out(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log.jsonl", ["Be brief.\u2028Be kind."] * 3)
    path.write_text(path.read_text() + '{"messages": [{"role": "sys')
    result = CliRunner().invoke(app, ["audit-prompts", str(path), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["prompts"][0]["requests"] == 3
    assert "row 4" in result.stderr


def test_many_texts_of_no_template_are_counted_and_not_all_audited(tmp_path: Path) -> None:
    found = audited(log_of(tmp_path / "log.jsonl", [said(30) for _ in range(70)]))
    assert len(found["prompts"]) == 20
    assert found["texts_not_audited"] == 50
