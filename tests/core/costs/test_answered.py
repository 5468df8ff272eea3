"""Which name a call is priced by: that of the model asked for, or of the one that answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from llm_optimizers.costs import ModelPrice, PriceBook, Usage
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.prices.answered import Priced, is_one_model, model_to_price

OWN: dict[str, Priced] = {
    "mine": "own",
    "alias": "own",
    "discounted": "own and listed",
    **dict.fromkeys(("listed", "x/listed", "eu.listed", "listed-2026-01-31", "other"), "listed"),
    "enlisted": "listed",
}


@pytest.mark.parametrize(
    ("asked", "answered", "chosen"),
    [
        ("listed", "", "listed"),
        ("", "listed", "listed"),
        ("", "", ""),
        ("listed", "listed", "listed"),
        ("nothing", "nothing", "nothing"),
        ("listed", "listed-2026-01-31", "listed-2026-01-31"),  # the snapshot that answered
        ("listed", "other", "other"),  # a fallback
        ("my-deployment", "listed", "listed"),
        ("alias", "listed", "alias"),  # the user's own price for a deployment
        ("alias", "llama.gguf", "alias"),
        ("alias", "mine", "mine"),
        ("mine", "alias", "alias"),
        ("discounted", "llama.gguf", "llama.gguf"),
        ("discounted", "other", "other"),
        ("other", "discounted", "discounted"),
        ("x/listed", "listed", "x/listed"),  # says more
        ("eu.listed", "LISTED", "eu.listed"),
        ("enlisted", "listed", "listed"),  # another name with the same end
        ("listed", "x/listed", "x/listed"),
        ("listed", "listed-2031-01-31", "listed"),  # a snapshot newer than the list
        ("listed", "azure/listed", "listed"),
        ("listed", "ollama/listed", "ollama/listed"),
        ("listed", "/models/listed", "/models/listed"),
        ("listed", "models/listed", "models/listed"),
        ("listed", "llama-3.1-8b", "llama-3.1-8b"),
        ("listed", "listed-large", "listed-large"),
        ("unlisted", "listed-9", "listed-9"),
        ("unlisted", "", "unlisted"),
    ],
)
def test_what_answered_is_priced(asked: str, answered: str, chosen: str) -> None:
    assert model_to_price(asked, answered, lambda name: OWN.get(name, "")) == chosen


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o", "azure/gpt-4o-2024-08-06", True),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929", True),
        ("anthropic/claude-sonnet-4.5", "anthropic/claude-4.5-sonnet-20250929", True),
        ("us.anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307", True),
        ("models/gemini-2.5-flash", "gemini-2.5-flash", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4.5", "gpt-5.4", False),
        ("gpt-4o", "ft:gpt-4o-2024-08-06:acme::1", False),
        ("gpt-4o", "gpt-4o.gguf", False),
        ("gpt-4o", "./gpt-4o", False),
        ("gpt-4o", "vllm/gpt-4o", False),
        ("gpt-4o", "models/gpt-4o", False),
        ("", "", False),
    ],
)
def test_other_names_of_a_model_are_told_from_other_models(
    one: str, other: str, same: bool
) -> None:
    assert is_one_model(one, other) is same
    assert is_one_model(other, one) is same


AT = datetime(2026, 11, 1, tzinfo=UTC)
CALL = Call(id="1", time=AT, reported=Usage(input_tokens=1_000, output_tokens=100))
BOOK = PriceBook()


@pytest.mark.parametrize(
    ("provider", "asked", "answered", "dollars"),
    [
        ("openai", "gpt-4o", "gpt-4o-2024-08-06", "0.0035"),
        ("openai", "gpt-4o", "gpt-4o-2024-05-13", "0.0065"),
        ("openai", "gpt-4o", "openai/gpt-4o", "0.0035"),
        ("openai", "gpt-4o", "", "0.0035"),
        ("azure", "my-deployment", "gpt-4o-2024-08-06", "0.0035"),
        ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "0.0045"),
        # Bedrock's regions: what answered says nothing of them.
        (
            "bedrock_converse",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5-20250929",
            "0.0045",
        ),
        (
            "bedrock_converse",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5-20250929",
            "0.00495",
        ),
        ("fireworks", "deepseek-v3p2", "accounts/fireworks/models/deepseek-v3p2", "0.000728"),
        ("openai", "gpt-3.5-turbo", "/models/llama-3.1-8b-instruct.Q4_K_M.gguf", None),
        ("openai", "gpt-4o", "llama3.1", None),
        ("openai", "gpt-4o", "qwen2.5-7b-instruct", None),
        (None, "gpt-4o", "meta-llama/Llama-3.1-8B-Instruct", None),
        ("ollama", "gpt-4o", "gpt-4o", None),
        (None, "llama-3.3-70b-versatile", "llama-3.3-70b-versatile", None),
    ],
)
def test_a_call_has_the_price_of_what_answered(
    provider: str | None, asked: str, answered: str, dollars: str | None
) -> None:
    record = replace(CALL, provider=provider, asked=asked, answered=answered).record(BOOK)
    assert record.cost == (None if dollars is None else Decimal(dollars))
    if dollars is None:
        assert (record.unpriced, record.model) == ("no list price", answered)
    else:
        assert record.priced_by == "list"


def test_an_own_price_is_that_of_the_listed_snapshots_too() -> None:
    half = ModelPrice(input=Decimal("1.25"), output=Decimal(5))
    call = replace(CALL, provider="openai", asked="gpt-4o", answered="gpt-4o-2024-08-06")
    for name in ("gpt-4o", "openai/gpt-4o", "gpt-4o-2024-11-20"):
        record = call.record(PriceBook({name: half}))
        assert (record.cost, record.priced_by) == (Decimal("0.00175"), "own")
    # Not of an entry with another price, nor at another provider.
    dearer = replace(call, answered="gpt-4o-2024-05-13").record(PriceBook({"gpt-4o": half}))
    assert (dearer.cost, dearer.priced_by) == (Decimal("0.0065"), "list")
    assert call.record(PriceBook({"azure/gpt-4o": half})).priced_by == "list"
    local = replace(call, answered="llama.gguf").record(PriceBook({"gpt-4o": half}))
    assert (local.cost, local.unpriced) == (None, "no list price")


def test_an_own_price_of_an_alias_is_that_of_whatever_answers() -> None:
    book = PriceBook({"house": ModelPrice(input=Decimal(1), output=Decimal(1))})
    for answered in ("llama.gguf", "gpt-4o", ""):
        record = replace(CALL, asked="house", answered=answered).record(book)
        assert (record.model, record.cost) == ("house", Decimal("0.0011"))
