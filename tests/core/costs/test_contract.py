"""A contract's file: own prices, discounts, hours and names, and every mistake in one."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.costs import PriceBook, Usage
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.prices.rates import FEES, TOKEN_RATES
from llm_optimizers.errors import ConfigurationError, UnpricedError

D = Decimal
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
MILLION = Usage(input_tokens=1_000_000)
CONTRACT = """
[[prices]]
model = "Azure/gpt-4o"
input = 2.10
output = 8
web_search = 0.008
batch_discount = 0.4
first_day = 2026-01-01
last_day = 2026-11-30
[prices.tiers.flex]
input = 1.05
output = 4.2
[[prices.long_context]]
above = 200_000
input = 4.2
output = 12.6

[[prices]]
model = "azure/gpt-4o"
input = 2
output = 7.5
first_day = 2026-12-01

[[discounts]]
provider = "Anthropic"
percent = 12.5
last_day = 2026-11-30

[[discounts]]
model = "claude-haiku-4-5"
percent = 50
fees = true

[[hourly]]
model = "vllm/llama-3.3-70b"
dollars_per_hour = 6.88
first_day = 2026-11-10
last_day = 2026-11-12

[[hourly]]
model = "azure/gpt-5"
dollars_per_hour = 100

[names]
"My-Deployment" = "azure/gpt-4o"
"smart" = "claude-sonnet-4-5"
"""


def book_of(folder: Path, content: str, name: str = "prices.toml") -> PriceBook:
    file = folder / name
    file.write_text(content)
    return PriceBook.from_file(file, clock=AT.timestamp)


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    return book_of(tmp_path, CONTRACT)


def test_own_prices_take_precedence_on_their_days(book: PriceBook) -> None:
    small = Usage(input_tokens=1_000, output_tokens=1_000, web_searches=1)
    assert book.cost(small, "gpt-4o", provider="azure") == D("0.0021") + D("0.008") + D("0.008")
    assert book.cost(MILLION, "azure/gpt-4o") == D("4.2")
    assert book.cost(replace(small, web_searches=0), "azure/gpt-4o", tier="flex") == D("0.00525")
    assert book.cost(Usage(output_tokens=1_000), "azure/gpt-4o", tier="batch") == D("0.0048")
    later = datetime(2026, 12, 1, tzinfo=UTC)
    assert book.cost(MILLION, "azure/gpt-4o", at=later) == 2
    before = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    assert book.cost(MILLION, "azure/gpt-4o", at=before) == D("2.5")
    assert book.cost(MILLION, "openai/gpt-4o") == D("2.5")
    assert book.quote("azure/gpt-4o").source == "your contract"


def test_discounts_are_taken_off_the_list_of_a_provider_or_of_a_model(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=1_000, web_searches=1)
    listed = PriceBook().cost(usage, "claude-sonnet-4-5", at=AT)
    assert listed == D("0.028")
    assert book.cost(usage, "claude-sonnet-4-5") == D("0.018") * D("0.875") + D("0.01")
    assert book.cost(usage, "claude-haiku-4-5-20251001") == (D("0.006") + D("0.01")) / 2
    later = datetime(2026, 12, 1, tzinfo=UTC)
    assert book.cost(usage, "claude-sonnet-4-5", at=later) == listed
    found = book.bill(usage, "claude-sonnet-4-5")
    assert (found.own, book.bill(usage, "gpt-4o", provider="openai").own) == (True, False)
    assert "less 12.5 % by your contract" in book.quote("claude-sonnet-4-5").source
    assert book.quote("claude-sonnet-4-5").since == PriceBook().quote("claude-sonnet-4-5").since


def test_a_discount_counts_for_every_tier_and_step(book: PriceBook) -> None:
    listed, ours = PriceBook(clock=AT.timestamp), book
    long = Usage(input_tokens=300_000, cache_read_tokens=100_000, output_tokens=10)
    for tier in ("standard", "batch"):
        full = listed.cost(long, "claude-sonnet-4-5", tier=tier)  # type: ignore[arg-type]
        cost = ours.cost(long, "claude-sonnet-4-5", tier=tier)  # type: ignore[arg-type]
        assert cost == full * D("0.875")


def test_a_call_on_hours_that_are_paid_anyway_costs_nothing_more(book: PriceBook) -> None:
    during = datetime(2026, 11, 12, 23, 59, tzinfo=UTC)
    call = Call(id="1", time=during, asked="llama-3.3-70b", provider="vllm", reported=MILLION)
    record = call.record(book)
    assert (record.cost, record.priced_by, record.baseline_cost) == (D(0), "own", D(0))
    after = replace(call, time=datetime(2026, 11, 13, tzinfo=UTC)).record(book)
    assert (after.cost, after.unpriced) == (None, "no list price")
    # A fee is not in the hours.
    searched = book.bill(Usage(input_tokens=10, web_searches=1), "azure/gpt-5")
    assert searched.unpriced == "no price for web searches"
    with pytest.raises(UnpricedError, match="batch"):
        book.cost(MILLION, "azure/gpt-5", tier="batch")


def test_the_hours_are_a_cost_of_the_period(book: PriceBook) -> None:
    day = datetime(2026, 11, 9, 12, tzinfo=UTC)
    week = book.fixed_costs(day, day.replace(day=16))
    assert week == {
        "vllm/llama-3.3-70b": 72 * D("6.88"),
        "azure/gpt-5": 168 * D(100),
    }
    hour = book.fixed_costs(day.replace(day=10), day.replace(day=10, hour=13))
    assert hour == {"vllm/llama-3.3-70b": D("6.88"), "azure/gpt-5": D(100)}
    assert book.fixed_costs(day.replace(day=13), day.replace(day=13)) == {}
    assert PriceBook().fixed_costs(day, day.replace(day=16)) == {}
    with pytest.raises(ConfigurationError, match=r"`since` is .*; give a time before"):
        book.fixed_costs(day, day.replace(hour=11))


def test_own_names_mean_listed_models(book: PriceBook) -> None:
    assert book.cost(Usage(output_tokens=1_000), "my-deployment") == D("0.008")
    assert book.cost(Usage(output_tokens=1_000), "MY-DEPLOYMENT", provider="azure") == D("0.008")
    assert book.cost(Usage(output_tokens=1_000), "smart") == D("0.015") * D("0.875")
    assert book.context_window("smart") == PriceBook().context_window("claude-sonnet-4-5")
    call = Call(id="1", time=AT, asked="smart", reported=Usage(output_tokens=1_000))
    assert replace(call, answered="smart").record(book).cost == D("0.015") * D("0.875")
    assert replace(call, answered="llama.gguf").record(book).cost is None


def test_every_rate_can_be_given(tmp_path: Path) -> None:
    rates = {name: number for number, name in enumerate((*TOKEN_RATES, *FEES), start=1)}
    entry = {"model": "mine", **rates}
    book = book_of(tmp_path, json.dumps({"prices": [entry]}), "prices.json")
    card = book.quote("mine").card
    for name, number in rates.items():
        per = D(1_000_000) if name in TOKEN_RATES else D(1)
        assert getattr(card, name) * per == number
    assert (card.own, card.long_context) == (True, ())


def test_json_says_the_same_as_toml(tmp_path: Path) -> None:
    import tomllib

    raw = tomllib.loads(CONTRACT)
    same = book_of(tmp_path, json.dumps(raw, default=str), "prices.JSON")
    toml = book_of(tmp_path, CONTRACT)
    assert same.current_arguments() == toml.current_arguments()
    exact = same.cost(Usage(input_tokens=1), "azure/gpt-4o")
    assert exact == D("0.0000021")


def test_a_book_with_a_contract_travels(book: PriceBook) -> None:
    copy = pickle.loads(pickle.dumps(book))
    assert copy.current_arguments() == book.current_arguments()


PRICE = '[[prices]]\nmodel = "m"\ninput = 1\noutput = 2\n'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[[prices]", "no valid TOML"),
        ("price = 1", "`the file: price` is 1; give only keys of discounts, hourly, names, prices"),
        ("prices = 1", "`prices` is 1; give a list"),
        ("prices = [1]", r"`prices\[0\]` is 1; give a table"),
        ("[[prices]]\ninput = 1\noutput = 2", r"`prices\[0\].model` is None; give a name"),
        ('[[prices]]\nmodel = " "\ninput = 1\noutput = 2', r"`prices\[0\].model` is ' '"),
        ('[[prices]]\nmodel = "m"\ninput = 1', r"`prices\[0\].output` is missing; give dollars"),
        (PRICE + "outptu = 3", r"`prices\[0\]: outptu` is 3; give only keys of"),
        (PRICE + "cache_read = -1", r"`prices\[0\].cache_read` is -1; give a number"),
        (PRICE + 'cache_read = "1"', r"`prices\[0\].cache_read` is '1'; give a number"),
        (PRICE + "cache_read = true", r"`prices\[0\].cache_read` is True"),
        (PRICE + "cache_read = nan", r"`prices\[0\].cache_read` is Decimal\('NaN'\)"),
        (PRICE + "cache_read = inf", r"`prices\[0\].cache_read`"),
        (PRICE + "cache_read = 2e9", r"`prices\[0\].cache_read`.*from 0 to 1,000,000"),
        (PRICE + "batch_discount = 50", r"`prices\[0\].batch_discount` is 50; give.* 0 to 1"),
        (PRICE + "first_day = 1", r"`prices\[0\].first_day` is '1'; give a day"),
        (PRICE + 'first_day = "soon"', r"`prices\[0\].first_day` is 'no day|'soon'; give a day"),
        (PRICE + "first_day = 2026-01-01T10:00:00Z", r"`prices\[0\].first_day`.*give a day"),
        (
            PRICE + "first_day = 2026-02-01\nlast_day = 2026-01-01",
            r"`prices\[0\].last_day` is '2026-01-01'; give a day from first_day 2026-02-01 on",
        ),
        (PRICE + "tiers = 1", r"`prices\[0\].tiers` is 1; give a table"),
        (PRICE + "[prices.tiers.fast]\ninput = 1\noutput = 1", "`tiers` is 'fast'; give"),
        (PRICE + "[prices.tiers.batch]\ninput = 1", r"`prices\[0\].tiers.batch.output` is missing"),
        (
            PRICE + "[prices.tiers.batch]\ninput = 1\noutput = 1\nabove = 2",
            r"`prices\[0\].tiers.batch: above` is 2",
        ),
        (PRICE + "long_context = 1", r"`prices\[0\].long_context` is 1; give a list"),
        (
            PRICE + "[[prices.long_context]]\ninput = 1\noutput = 1",
            r"`prices\[0\].long_context\[0\].above` is None; give a whole number",
        ),
        (
            PRICE + 2 * "[[prices.long_context]]\nabove = 9\ninput = 1\noutput = 1\n",
            r"`prices\[0\].long_context\[1\].above` is 9; give another number",
        ),
        (PRICE + PRICE, "two prices for 'm' apply on the same days"),
        (
            PRICE + "last_day = 2026-01-31\n" + PRICE + "first_day = 2026-01-31",
            "two prices for 'm' apply on the same days",
        ),
        (
            PRICE + '[[hourly]]\nmodel = "M"\ndollars_per_hour = 1',
            "two prices and hours for 'm' apply on the same days",
        ),
        ('[[hourly]]\nmodel = "m"', r"`hourly\[0\].dollars_per_hour` is None; give a number"),
        ("[[discounts]]\npercent = 5", r"`discounts\[0\]` is .*; give either provider or model"),
        (
            '[[discounts]]\nprovider = "openai"\nmodel = "gpt-4o"\npercent = 5',
            "give either provider or model",
        ),
        ('[[discounts]]\nprovider = "openai"', r"`discounts\[0\].percent` is None"),
        ('[[discounts]]\nprovider = "openai"\npercent = 0', r"percent taken off.*such as 12.5"),
        ('[[discounts]]\nprovider = "openai"\npercent = 101', "from 0 to 100"),
        (
            '[[discounts]]\nprovider = "openai"\npercent = 5\nfees = 1',
            r"`discounts\[0\].fees` is 1; give true or false",
        ),
        (
            2 * '[[discounts]]\nprovider = "openai"\npercent = 5\n',
            "two discounts for 'openai' apply on the same days; give their sum",
        ),
        (
            '[[discounts]]\nprovider = "opeanai"\npercent = 5',
            "`discounts` has 'opeanai', which has no list price; give a name .* openai",
        ),
        (
            '[[discounts]]\nmodel = "claude-sonet-4-5"\npercent = 5',
            "'claude-sonet-4-5'.*claude-sonnet-4-5",
        ),
        ("names = 1", "`names` is 1; give a table"),
        ('[names]\na = ""', "`names.a` is ''; give the listed model"),
        ('[names]\na = "A"', "`names.a` is 'A'; give the listed model"),
        ('[names]\na = "gpt-4o"\nA = "gpt-4o"', "`names.A` is .*; give each name once"),
        ('[names]\na = "b"\nb = "gpt-4o"', "`names.a` is 'b'; give what 'b' means: 'gpt-4o'"),
    ],
)
def test_every_mistake_is_refused_with_the_file_and_the_key(
    tmp_path: Path, content: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as error:
        book_of(tmp_path, content)
    assert str(error.value).startswith(str(tmp_path / "prices.toml"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"prices": []', "no valid JSON"),
        ("[]", r"`the file` is \[\]; give a table"),
        ('{"prices": [], "prices": []}', "`prices` is there twice"),
        ('{"prices": [{"model": "m", "input": NaN, "output": 1}]}', "`prices"),
    ],
)
def test_json_is_checked_too(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        book_of(tmp_path, content, "prices.json")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "prices.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no valid TOML in UTF-8"):
        PriceBook.from_file(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigurationError, match=r"cannot be read .*; give the prices' file"):
            PriceBook.from_file(path)
    wrong: Any = 7
    with pytest.raises(ConfigurationError, match="`path` is 7; give the path of a file"):
        PriceBook.from_file(wrong)


def test_an_empty_contract_changes_nothing(tmp_path: Path) -> None:
    assert book_of(tmp_path, "").cost(MILLION, "gpt-4o") == D("2.5")
