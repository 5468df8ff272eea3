"""Bills from a card of rates, part by part."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llm_optimizers.costs import ModelPrice, Usage
from llm_optimizers.costs.prices.rates import RateCard, Rates, bill
from llm_optimizers.costs.prices.tiers import service_tier
from llm_optimizers.errors import ConfigurationError

D = Decimal
FULL = RateCard(
    input=D(1),
    output=D(10),
    cache_read=D("0.1"),
    cache_write=D("1.25"),
    cache_write_1h=D(2),
    reasoning=D(20),
    input_audio=D(5),
    output_audio=D(50),
    per_request=D(1_000_000),
)
PLAIN = RateCard(input=D(1), output=D(10))


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        ("batch", "batch"),
        (" Flex ", "flex"),
        ("PRIORITY", "priority"),
        ("default", "standard"),
        ("auto", "standard"),
        ("", "standard"),
    ],
)
def test_a_providers_word_for_a_tier_is_understood(name: str, tier: str) -> None:
    assert service_tier(name) == tier


@pytest.mark.parametrize(
    ("usage", "full", "plain"),
    [
        (Usage(input_tokens=100), "100", "100"),
        (Usage(input_tokens=100, cache_read_tokens=40), "64", "100"),
        (Usage(input_tokens=100, cache_write_tokens=40), "110", "100"),
        (Usage(input_tokens=100, cache_write_tokens=40, cache_write_1h_tokens=10), "117.5", "100"),
        (Usage(input_tokens=100, cache_read_tokens=60, cache_write_tokens=40), "56", "100"),
        (Usage(input_tokens=100, input_audio_tokens=10), "140", "100"),
        (Usage(input_tokens=100, cache_read_tokens=95, input_audio_tokens=10), "34.5", "100"),
        (Usage(output_tokens=100), "1000", "1000"),
        (Usage(output_tokens=100, reasoning_tokens=40), "1400", "1000"),
        (Usage(output_tokens=100, output_audio_tokens=10), "1400", "1000"),
        (Usage(output_tokens=100, reasoning_tokens=40, output_audio_tokens=10), "1800", "1000"),
        (Usage(input_tokens=7, output_tokens=3), "37", "37"),
    ],
)
def test_each_token_is_billed_once_at_its_own_rate(usage: Usage, full: str, plain: str) -> None:
    assert bill(FULL, usage) == D(full) + 1_000_000
    assert bill(PLAIN, usage) == D(plain)


def test_writes_for_an_hour_cost_the_usual_write_where_they_have_no_rate() -> None:
    card = RateCard(input=D(1), output=D(1), cache_write=D(2))
    usage = Usage(input_tokens=10, cache_write_tokens=10, cache_write_1h_tokens=4)
    assert bill(card, usage) == 20


def test_a_model_without_output_price_is_priced_for_input_alone() -> None:
    card = RateCard(input=D(1), output=None)
    assert bill(card, Usage(input_tokens=10)) == 10
    assert bill(card, Usage(input_tokens=10, output_tokens=1)) is None


def test_a_long_prompt_is_priced_by_the_last_threshold_that_it_exceeds() -> None:
    card = RateCard(
        input=D(1),
        output=D(1),
        long_context=(
            (100, RateCard(input=D(2), output=D(2))),
            (200, RateCard(input=D(3), output=D(3))),
        ),
    )
    sizes = (99, 100, 101, 200, 201)
    assert [bill(card, Usage(input_tokens=n)) for n in sizes] == [99, 100, 202, 400, 603]


def test_a_discount_applies_to_the_four_token_rates() -> None:
    price = ModelPrice(
        input=D(4), output=D(8), cache_read=D(2), cache_write=D(6), batch_discount=D("0.25")
    )
    million = D(1_000_000)
    standard, batch = RateCard.of(price, "standard"), RateCard.of(price, "batch")
    assert standard == RateCard(
        input=4 / million, output=8 / million, cache_read=2 / million, cache_write=6 / million
    )
    assert batch == standard.scaled(D("0.75"))
    assert batch.rates == Rates(
        input=3 / million,
        output=6 / million,
        cache_read=D("1.5") / million,
        cache_write=D("4.5") / million,
    )
    assert RateCard.of(price, "flex") is None


def test_a_discount_of_nothing_or_of_everything_is_a_price() -> None:
    whole = ModelPrice(input=D(4), output=D(8), batch_discount=D(0))
    free = ModelPrice(input=D(4), output=D(8), batch_discount=D(1))
    assert RateCard.of(whole, "batch") == RateCard.of(whole, "standard")
    card = RateCard.of(free, "batch")
    assert card is not None
    assert (card.input, card.output, card.cache_read) == (0, 0, None)
    with pytest.raises(ConfigurationError, match="half price"):
        ModelPrice(input=D(4), output=D(8), batch_discount=D("1.01"))


def test_rates_that_are_missing_are_those_of_the_input() -> None:
    assert PLAIN.rates == Rates(input=D(1), output=D(10), cache_read=D(1), cache_write=D(1))
    assert RateCard(input=D(1), output=None).rates.output == 0


@pytest.mark.parametrize("name", ["input", "output", "cache_read", "cache_write", "batch_discount"])
@pytest.mark.parametrize("bad", [D(-1), D("NaN"), D("Infinity"), 0.5, "1"])
def test_every_amount_of_a_price_is_checked(name: str, bad: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"`{name}` is .*; give a Decimal"):
        ModelPrice(**({"input": D(1), "output": D(1)} | {name: bad}))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["input", "output"])
def test_input_and_output_need_a_price(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` is None"):
        ModelPrice(**({"input": D(0), "output": D(0)} | {name: None}))  # type: ignore[arg-type]
