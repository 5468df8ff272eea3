"""Rates: of a user's own price, of a tier, with a discount."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llm_optimizers.costs import ModelPrice
from llm_optimizers.costs.prices.rates import FEES, TOKEN_RATES, RateCard, Rates
from llm_optimizers.costs.prices.tiers import service_tier
from llm_optimizers.errors import ConfigurationError

D = Decimal
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


def test_a_discount_applies_to_the_four_token_rates() -> None:
    price = ModelPrice(
        input=D(4), output=D(8), cache_read=D(2), cache_write=D(6), batch_discount=D("0.25")
    )
    million = D(1_000_000)
    standard, batch = RateCard.of(price, "standard"), RateCard.of(price, "batch")
    assert standard == RateCard(
        input=4 / million,
        output=8 / million,
        cache_read=2 / million,
        cache_write=6 / million,
        own=True,
    )
    assert standard is not None
    assert batch == standard.scaled(D("0.75"))
    assert batch is not None
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


def test_all_tokens_of_a_free_model_are_free_and_its_fees_are_not() -> None:
    card = RateCard.of(ModelPrice(input=D(0), output=D(0)), "standard")
    assert card is not None
    assert {getattr(card, name) for name in TOKEN_RATES} == {D(0)}
    assert card.web_search is None
    dear = RateCard.of(ModelPrice(input=D(0), output=D(1)), "standard")
    assert dear is not None
    assert dear.output_audio is None


def test_a_tier_and_a_long_context_have_whole_prices_of_their_own() -> None:
    price = ModelPrice(
        input=D(1),
        output=D(2),
        web_search=D("0.01"),
        tiers={"flex": ModelPrice(input=D(5), output=D(6))},
        long_context={
            200: ModelPrice(input=D(9), output=D(9)),
            100: ModelPrice(input=D(3), output=D(4)),
        },
    )
    flex, standard = RateCard.of(price, "flex"), RateCard.of(price, "standard")
    assert flex is not None
    assert standard is not None
    assert (flex.input, flex.web_search, flex.long_context) == (D(5) / 1_000_000, None, ())
    assert [above for above, _ in standard.long_context] == [100, 200]
    assert [standard.at(n).input * 1_000_000 for n in (100, 101, 201)] == [1, 3, 9]
    assert RateCard.of(price, "priority") is None
    half = standard.scaled(D("0.5"))
    assert (half.at(101).input * 1_000_000, half.web_search) == (D("1.5"), D("0.01"))
    assert standard.scaled(D("0.5"), fees=True).web_search == D("0.005")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"tiers": {"fast": ModelPrice(input=D(1), output=D(1))}},
            "`tiers` is 'fast'; give 'batch'",
        ),
        ({"tiers": {"batch": D(1)}}, "`tiers"),
        ({"long_context": {"200k": ModelPrice(input=D(1), output=D(1))}}, "`long_context` is"),
        ({"long_context": {200: D(1)}}, "`long_context` is"),
        ({"long_context": [200]}, "`long_context` is"),
        (
            {
                "batch_discount": D("0.5"),
                "tiers": {"batch": ModelPrice(input=D(1), output=D(1))},
            },
            "either",
        ),
    ],
)
def test_tiers_and_long_contexts_are_checked(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        ModelPrice(input=D(1), output=D(1), **wrong)  # type: ignore[arg-type]


def test_a_discount_of_more_than_everything_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="half price"):
        ModelPrice(input=D(4), output=D(8), batch_discount=D("1.01"))


def test_rates_that_are_missing_are_those_of_the_input() -> None:
    assert PLAIN.rates == Rates(input=D(1), output=D(10), cache_read=D(1), cache_write=D(1))
    assert RateCard(input=D(1), output=None).rates.output == 0


@pytest.mark.parametrize("name", [*TOKEN_RATES, *FEES, "batch_discount"])
@pytest.mark.parametrize("bad", [D(-1), D("NaN"), D("Infinity"), 0.5, "1"])
def test_every_amount_of_a_price_is_checked(name: str, bad: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"`{name}` is .*; give a Decimal"):
        ModelPrice(**({"input": D(1), "output": D(1)} | {name: bad}))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["input", "output"])
def test_input_and_output_need_a_price(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` is None"):
        ModelPrice(**({"input": D(0), "output": D(0)} | {name: None}))  # type: ignore[arg-type]
