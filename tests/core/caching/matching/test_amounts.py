"""What is read as a number, unit, currency, date or code."""

from __future__ import annotations

import pytest

from llm_optimizers.caching.matching.guards import vetoes
from llm_optimizers.caching.matching.text_features import extract_features


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("costs $1,200 for 3 nights", {1200, 3}),
        ("1,234,567.89 or 12,5", {1234567.89, 12.5}),
        ("-5 degrees and +5", {-5, 5}),
        ("#42", {42}),
        ("rs500 or rs.700", {500, 700}),
        ("2019-2021", {2019, 2021}),
        ("1st, 2nd, 3rd and 4th", {1, 2, 3, 4}),
        ("5k and 2bn", {5_000, 2_000_000_000}),
        ("5 thousand", {5_000}),
        ("twenty five minutes", {25}),
        ("twenty-five minutes", {25}),
        ("twenty twenty", {20}),
        ("five twenty", {5, 20}),
        ("dial twenty zero", {20, 0}),
        ("5 kg of flour and 3 eggs", {5, 3}),
        ("is vitamin k good", set()),
        ("a bn people", {1_000_000_000}),
        ("two hundred and five seats", {205}),
        ("five hundred thousand", {500_000}),
        ("ninety and five", {90, 5}),
        ("the second of May, the first", {2, 1}),
        ("my second car", {2}),
        ("wait a second", set()),
        ("which one is it", set()),
        ("twenty one", {21}),
        ("one hundred seats", {100}),
        ("one hundred and five seats", {105}),
        ("a thousand seats", {1_000}),
        ("at 5pm", set()),
        ("1 km", set()),
        ("1 apple", {1}),
    ],
)
def test_numbers_are_read_in_figures_and_in_words(text: str, numbers: set[float]) -> None:
    assert {float(n) for n in extract_features(text).amounts.numbers} == numbers


@pytest.mark.parametrize(
    ("text", "units", "currencies"),
    [
        ("5kg and 12%", {"kg", "percent"}, set()),
        ("5 kilometers", {"km"}, set()),
        ("1 km", {"km"}, set()),
        ("twenty five minutes", {"minute"}, set()),
        pytest.param("$5 and 5\u20ac", set(), {"usd", "eur"}, id="signs"),
        ("rs500", set(), {"inr"}),
        ("rs.500", set(), {"inr"}),
        ("5 usd, 5 euros", set(), {"usd", "eur"}),
        ("5usd", set(), {"usd"}),
        ("rs.500 or 500 rupees", set(), {"inr"}),
        ("how many euros", set(), {"eur"}),
    ],
)
def test_units_and_currencies_have_one_name(
    text: str, units: set[str], currencies: set[str]
) -> None:
    amounts = extract_features(text).amounts
    assert (amounts.units, amounts.currencies) == (units, currencies)


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("at 5pm or 5:30 am", {"17:00", "05:30"}),
        ("at 12am", {"00:00"}),
        ("at 12pm", {"12:00"}),
        ("at 12:15am or 13:45 or 12:05pm", {"00:15", "13:45", "12:05"}),
        ("at five pm and at 11 am", {"17:00", "11:00"}),
        ("the 1990s and 20s", {"1990s", "20s"}),
        ("next week, last quarters", {"next week", "last quarter"}),
        ("this man, coming", set()),
        ("tomorrow morning", {"tomorrow", "morning"}),
        ("good morning", set()),
        ("morning is good", {"morning"}),
        ("september", {"september"}),
        ("in may we meet", {"may"}),
        ("may 5", {"may"}),
        ("5 may", {"may"}),
        ("12 may", {"may"}),
        ("see you may 5 then", {"may"}),
        ("see you may 5th then", {"may"}),
        ("may we come in", set()),
        ("what may happen", set()),
        ("may", set()),
        ("who may march", set()),
        ("we meet on sun", {"sunday"}),
        ("the sun and the moon", set()),
        ("mon 3", {"monday"}),
        ("what did Jan say", {"january"}),
        ("the Dec figures", {"december"}),
        ("when did March start", {"march"}),
        ("the Oct figures", {"october"}),
        ("the Sun figures", set()),
        ("the march of time", set()),
    ],
)
def test_dates_and_times_have_one_form_and_vague_words_need_a_sign(
    text: str, dates: set[str]
) -> None:
    assert extract_features(text).amounts.dates == dates


def test_a_month_that_is_written_like_a_name_is_no_name() -> None:
    features = extract_features("The Dec figures of Anna")
    assert features.names == {"anna"}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("order A1234-B", {"a1234b"}),
        ("1.2.3.4", {"1.2.3.4"}),
        ("1,2,3", {"1,2,3"}),
        ("10x or 5s", {"10x", "5s"}),
        ("24/7", {"247"}),
        ("5 or 5k", set()),
    ],
)
def test_what_is_no_number_is_a_code(text: str, codes: set[str]) -> None:
    assert extract_features(text).amounts.codes == codes


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("transfer one hundred dollars", "transfer one thousand dollars"),
        ("a hundred seats", "a thousand seats"),
        ("one hundred and five seats", "five seats"),
        ("what is one million in euros", "what is one billion in euros"),
    ],
)
def test_other_round_numbers_in_words_are_vetoed(a: str, b: str) -> None:
    assert vetoes(a, b) == ("number",)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a hundred seats", "100 seats"),
        ("one hundred and five seats", "105 seats"),
        ("one thousand seats", "1,000 seats"),
    ],
)
def test_round_numbers_in_words_are_the_same_as_in_figures(a: str, b: str) -> None:
    assert vetoes(a, b) == ()
