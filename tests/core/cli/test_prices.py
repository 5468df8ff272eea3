"""`llm-optimizers prices`: the price, its source, and what to do for an unknown model."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from llm_optimizers.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, ["prices", *arguments])


def test_it_shows_the_price_and_its_source():
    result = run("openai:gpt-4o-mini")
    assert result.exit_code == 0
    for text in ("gpt-4o-mini from openai", "$0.15 / 1M", "$0.6 / 1M", "genai-prices", "https://"):
        assert text in result.output


def test_long_context_and_fees_are_shown():
    assert "Above 200,000 input tokens" in run("gemini-2.5-pro").output
    assert "$0.012" in run("sonar", "--provider", "perplexity").output


def test_json_at_two_dates():
    before = json.loads(run("o3", "--at", "2025-06-09", "--json").output)
    after = json.loads(run("o3", "--at", "2025-06-10", "--json").output)
    assert before["per_million_tokens"]["input"] == 10
    assert after["per_million_tokens"]["input"] == 2
    assert (before["since"], after["since"]) == (None, "2025-06-10")
    assert after["priced"] is True


def test_the_price_of_another_tier():
    quote = json.loads(run("gpt-5", "--tier", "batch", "--at", "2026-11-01", "--json").output)
    assert (quote["tier"], quote["per_million_tokens"]["output"]) == ("batch", 5)


def test_an_unknown_model_fails_and_says_what_to_do():
    result = run("gpt-4o-minni")
    assert result.exit_code == 1
    assert "ModelPrice(" in result.output
    assert "gpt-4o-mini" in result.output


def test_an_unknown_model_as_json():
    result = run("gpt-4o-minni", "--json")
    answer = json.loads(result.output)
    assert result.exit_code == 1
    assert answer["priced"] is False
    assert "gpt-4o-mini" in answer["similar"]


def test_a_tier_without_a_price_suggests_no_other_names():
    result = run("gpt-4o", "--provider", "azure", "--tier", "batch")
    assert result.exit_code == 1
    assert "azure publishes no batch price" in result.output
    assert "like it" not in result.output


@pytest.mark.parametrize("wrong", [("--tier", "cheap"), ("--at", "yesterday")])
def test_wrong_options_are_usage_errors(wrong):
    assert run("gpt-4o", *wrong).exit_code == 2
