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


def test_every_rate_is_shown_and_what_would_be_unpriced():
    quote = json.loads(run("gpt-5", "--json").output)
    assert quote["fees"]["web_search"] == 0.01
    assert quote["fees"]["code_session"] is None
    assert "code sessions" in quote["without_price"]
    assert "audio output" in quote["without_price"]
    searching = json.loads(run("gpt-4o-search-preview", "--json").output)
    assert searching["without_price"].count("web searches") == 1
    assert "audio input" not in json.loads(run("gemini-2.5-pro", "--json").output)["without_price"]
    pictures = json.loads(run("gemini-2.5-flash-image", "--json").output)
    assert pictures["per_million_tokens"]["output_image"] == 30
    omni = json.loads(run("gemini-omni-1.1-flash", "--json").output)
    assert omni["not_counted"] == {"output_video_mtok": 17.5}
    assert "Listed, not counted" in run("gemini-omni-1.1-flash").output


EXAMPLE = ("--input", "1200", "--cached", "800", "--output", "300", "--searches", "2")


def test_an_example_is_billed_line_by_line():
    result = run("gpt-5", *EXAMPLE)
    for text in ("Input read from the cache", "800", "$0.0001", "$0.02", "Cost", "$0.0236"):
        assert text in result.output
    example = json.loads(run("gpt-5", *EXAMPLE, "--json").output)["example"]
    assert (example["cost"], example["unpriced"]) == (0.0236, None)
    assert [(line["part"], line["count"]) for line in example["lines"]] == [
        ("input", 400),
        ("cache_read", 800),
        ("output", 300),
        ("web_search", 2),
    ]
    assert json.loads(run("gpt-5", "--json").output)["example"] is None


def test_an_example_without_a_price_says_why_and_what_is_known():
    result = run("gpt-5", *EXAMPLE, "--code-sessions", "1")
    assert result.exit_code == 0
    assert "no price for code" in result.output
    assert "at least $0.0236" in result.output
    example = json.loads(run("gpt-5", *EXAMPLE, "--code-sessions", "1", "--json").output)["example"]
    assert (example["cost"], example["at_least"]) == (None, 0.0236)


def test_a_long_example_is_billed_at_the_long_rates():
    example = json.loads(run("gemini-2.5-pro", "--input", "200001", "--json").output)["example"]
    assert example["cost"] == 0.5000025


@pytest.mark.parametrize(
    "wrong",
    [
        ("--input", "10", "--cached", "11"),
        ("--input", "10", "--audio-input", "11"),
        ("--output", "1", "--reasoning", "2"),
        ("--input", "-1"),
        ("--input", "1.5"),
    ],
)
def test_an_example_that_cannot_be_is_a_usage_error(wrong):
    assert run("gpt-4o", *wrong).exit_code == 2


def test_a_contract_is_shown_with_its_source(tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text(
        '[[discounts]]\nprovider = "openai"\npercent = 10\n'
        '[[hourly]]\nmodel = "vllm/mine"\ndollars_per_hour = 5\n'
    )
    result = run("gpt-5", "--prices", str(file), "--json")
    quote = json.loads(result.output)
    assert quote["per_million_tokens"]["input"] == 1.125
    assert "less 10 % by your contract" in quote["source"]
    assert "paid by the hour" in run("vllm/mine", "--prices", str(file)).output


def test_a_mistake_in_a_contract_is_one_line(tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text("[[prices]]\nmodel = 1\n")
    result = run("gpt-5", "--prices", str(file))
    assert result.exit_code == 1
    assert "prices[0].model" in result.output
    assert "Traceback" not in result.output


def test_the_help_teaches_with_examples():
    shown = " ".join(run("--help").output.split())
    assert "prices gpt-5 --input 1200 --cached 800" in shown
    assert "--prices prices.toml" in shown
