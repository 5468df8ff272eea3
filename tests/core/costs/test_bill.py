"""Bills from a card of rates, part by part."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import PriceBook, Usage
from llm_optimizers.costs.prices.bill import bill
from llm_optimizers.costs.prices.rates import RateCard

D = Decimal
FULL = RateCard(
    input=D(1),
    output=D(10),
    cache_read=D("0.1"),
    cache_write=D("1.25"),
    cache_write_1h=D(2),
    reasoning=D(20),
    input_audio=D(5),
    cache_read_audio=D("0.5"),
    output_audio=D(50),
    input_image=D(3),
    cache_read_image=D("0.3"),
    output_image=D(30),
    web_search=D(1000),
    file_search=D(2000),
    code_session=D(3000),
    image=D(4000),
    per_request=D(1_000_000),
)
PLAIN = RateCard(input=D(1), output=D(10))
AUDIO, PICTURES = "no price for audio output", "no price for picture output"
UNHEARD = "no word on which input tokens are audio"


@pytest.mark.parametrize(
    ("usage", "full", "plain"),
    [
        (Usage(input_tokens=100), "100", "100"),
        (Usage(input_tokens=100, cache_read_tokens=40), "64", "100"),
        (Usage(input_tokens=100, cache_write_tokens=40), "110", "100"),
        (Usage(input_tokens=100, cache_write_tokens=40, cache_write_1h_tokens=10), "117.5", "100"),
        (Usage(input_tokens=100, cache_read_tokens=60, cache_write_tokens=40), "56", "100"),
        (Usage(output_tokens=100), "1000", "1000"),
        (Usage(output_tokens=100, reasoning_tokens=40), "1400", "1000"),
        (Usage(input_tokens=100, input_image_tokens=10), "120", "100"),
        (Usage(input_tokens=7, output_tokens=3), "37", "37"),
        (Usage(input_tokens=100, input_audio_tokens=10), "140", "no price for audio input"),
        (Usage(output_tokens=100, output_audio_tokens=10), "1400", AUDIO),
        (Usage(output_tokens=100, reasoning_tokens=40, output_audio_tokens=10), "1800", AUDIO),
        (Usage(output_tokens=100, output_image_tokens=10), "1200", PICTURES),
        (Usage(web_searches=2), "2000", "no price for web searches"),
        (Usage(file_searches=2), "4000", "no price for file searches"),
        (Usage(code_sessions=2), "6000", "no price for code sessions"),
        (Usage(images=2), "8000", "no price for pictures by the piece"),
        (Usage(other_units=1), "no price for other fees", "no price for other fees"),
    ],
)
def test_each_part_is_billed_once_at_its_own_rate_or_not_at_all(
    usage: Usage, full: str, plain: str
) -> None:
    for card, expected, request in ((FULL, full, 1_000_000), (PLAIN, plain, 0)):
        found = bill(card, usage)
        if expected.startswith("no price"):
            assert (found.cost, found.unpriced) == (None, expected)
        else:
            assert (found.cost, found.unpriced) == (D(expected) + request, None)


def test_what_is_known_of_an_unpriced_call_is_not_lost() -> None:
    found = bill(PLAIN, Usage(input_tokens=100, output_tokens=10, web_searches=2))
    assert (found.cost, found.known, found.unpriced) == (None, 200, "no price for web searches")
    assert [(line.part, line.count, line.amount) for line in found.lines] == [
        ("input", 100, 100),
        ("output", 10, 100),
        ("web_search", 2, None),
    ]


def test_a_fee_for_a_call_with_searches_is_charged_once() -> None:
    card = replace(FULL, search_per_call=True, per_request=D(0))
    costs = [bill(card, Usage(web_searches=n)).cost for n in (0, 1, 5)]
    assert costs == [0, 1000, 1000]


CACHED = Usage(input_tokens=100, cache_read_tokens=30, input_audio_tokens=20, input_image_tokens=10)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        # Nothing is said: 30 cached tokens of text, the cheapest of the three, are the dearest.
        (CACHED, 40 * D(1) + 20 * D(5) + 10 * D(3) + 30 * D("0.1")),
        (
            replace(CACHED, cache_read_audio_tokens=20),
            60 * D(1) + 10 * D(3) + 10 * D("0.1") + 20 * D("0.5"),
        ),
        (
            replace(CACHED, cache_read_audio_tokens=15),
            55 * D(1) + 5 * D(5) + 10 * D(3) + 15 * D("0.1") + 15 * D("0.5"),
        ),
        # All of the input is cached, so that all of the audio is.
        (
            Usage(input_tokens=10, cache_read_tokens=10, input_audio_tokens=10),
            10 * D("0.5"),
        ),
        (
            Usage(input_tokens=10, cache_read_tokens=9, input_audio_tokens=10),
            1 * D(5) + 9 * D("0.5"),
        ),
        # Only audio can have been cached, whatever its count says.
        (
            Usage(
                input_tokens=10,
                cache_read_tokens=4,
                input_audio_tokens=10,
                cache_read_audio_tokens=1,
            ),
            6 * D(5) + 4 * D("0.5"),
        ),
        (
            Usage(input_tokens=10, cache_read_tokens=4, cache_write_tokens=6, input_image_tokens=4),
            4 * D("0.3") + 6 * D("1.25"),
        ),
    ],
)
def test_cached_audio_and_pictures_have_their_own_rates(usage: Usage, dollars: Decimal) -> None:
    assert bill(FULL, usage).cost == dollars + 1_000_000


def test_cached_audio_without_a_rate_costs_what_fresh_audio_does() -> None:
    card = replace(FULL, cache_read_audio=None, cache_read_image=None, per_request=D(0))
    usage = Usage(input_tokens=10, cache_read_tokens=10, input_audio_tokens=4)
    assert bill(card, replace(usage, cache_read_audio_tokens=4)).cost == 6 * D("0.1") + 4 * D(5)
    pictures = Usage(input_tokens=10, cache_read_tokens=10, input_image_tokens=10)
    assert bill(card, pictures).cost == 10 * D(3)


def test_pictures_at_the_rate_of_text_are_cached_at_the_rate_of_text() -> None:
    card = replace(PLAIN, cache_read=D("0.5"))
    usage = Usage(input_tokens=10, cache_read_tokens=10, input_image_tokens=10)
    assert bill(card, usage).cost == 5


def test_audio_costs_as_much_as_text_where_the_list_says_so() -> None:
    card = replace(PLAIN, cache_read=D("0.5"), audio_as_text=True)
    assert bill(card, Usage(input_tokens=10, input_audio_tokens=4)).cost == 10
    cached = Usage(input_tokens=10, input_audio_tokens=10, cache_read_tokens=10)
    assert bill(card, cached).cost == 5


@pytest.mark.parametrize(
    ("answers", "usage", "expected"),
    [
        ("audio", Usage(output_tokens=10, output_audio_tokens=10), D(100)),
        ("audio", Usage(output_tokens=10, output_image_tokens=10), PICTURES),
        ("image", Usage(output_tokens=10, output_image_tokens=10), D(100)),
        ("image", Usage(output_tokens=10), D(100)),
        ("mixed", Usage(output_tokens=10), "no word on which output tokens are pictures"),
        ("mixed", Usage(output_tokens=10, reasoning_tokens=10), D(100)),
        ("mixed", Usage(output_tokens=10, output_image_tokens=10), PICTURES),
        ("mixed", Usage(input_tokens=10), D(10)),
    ],
)
def test_an_output_rate_is_that_of_pictures_only_where_there_is_nothing_else(
    answers: str, usage: Usage, expected: Decimal | str
) -> None:
    found = bill(replace(PLAIN, answers=answers), usage)  # type: ignore[arg-type]
    assert (found.unpriced or found.cost) == expected


def test_pictures_among_the_output_are_told_from_its_text() -> None:
    card = replace(PLAIN, output_image=D(30), answers="mixed")
    usage = Usage(output_tokens=20, output_image_tokens=10, reasoning_tokens=5)
    assert bill(card, usage).cost == 10 * 10 + 10 * 30
    unknown = bill(card, Usage(output_tokens=20))
    assert (unknown.cost, unknown.known) == (None, 200)


def test_writes_for_an_hour_are_dearer_than_those_that_have_a_rate() -> None:
    card = RateCard(input=D(1), output=D(1), cache_write=D(2))
    usage = Usage(input_tokens=10, cache_write_tokens=10, cache_write_1h_tokens=4)
    found = bill(card, usage)
    assert (found.cost, found.unpriced) == (None, "no price for input cached for an hour")
    assert bill(replace(card, cache_write=None), usage).cost == 10


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(input_tokens=100, cache_read_tokens=1_000), 100 + 1_000 * D("0.1")),
        (Usage(cache_read_tokens=1_000), 1_000 * D("0.1")),
        (Usage(input_tokens=10, cache_write_tokens=11), 10 + 11 * D("1.25")),
        (Usage(input_tokens=10, cache_write_tokens=1, cache_write_1h_tokens=4), 6 + 4 * D(2)),
        (Usage(input_tokens=10, input_audio_tokens=20), 10 + 20 * D(5)),
        (Usage(input_tokens=10, input_audio_tokens=6, input_image_tokens=6), D(10 + 6 * 5 + 6 * 3)),
        (
            Usage(
                input_tokens=10,
                input_audio_tokens=5,
                cache_read_tokens=20,
                cache_read_audio_tokens=99,
            ),
            10 + 5 * D(5) + 20 * D("0.1"),
        ),
        (Usage(output_tokens=8, reasoning_tokens=1_000), 8 * D(10) + 1_000 * D(20)),
        (Usage(output_tokens=8, output_audio_tokens=9), 8 * D(10) + 9 * D(50)),
    ],
)
def test_parts_that_exceed_their_whole_are_billed_beside_it(usage: Usage, dollars: Decimal) -> None:
    assert bill(replace(FULL, per_request=D(0)), usage).cost == dollars


COUNT = st.integers(0, 50)


@given(usage=st.builds(Usage, **dict.fromkeys(Usage().as_dict(), COUNT)))
def test_no_part_ever_makes_a_call_cheaper_than_its_whole_read_from_the_cache(usage: Usage) -> None:
    found = bill(replace(FULL, per_request=D(0)), replace(usage, other_units=0))
    assert found.cost is not None
    least = usage.input_tokens * D("0.1") + usage.output_tokens * D(10)
    assert found.cost >= least
    assert all(line.count > 0 for line in found.lines)


@given(usage=st.builds(Usage, **dict.fromkeys(Usage().as_dict(), COUNT)))
def test_with_one_rate_for_all_tokens_the_parts_add_up_to_the_whole_or_more(usage: Usage) -> None:
    same = dict.fromkeys(("cache_read", "cache_write", "cache_write_1h", "reasoning"), D(1))
    modes = ("input_audio", "cache_read_audio", "input_image", "cache_read_image")
    same |= dict.fromkeys((*modes, "output_audio", "output_image"), D(1))
    tokens = replace(
        usage, web_searches=0, file_searches=0, code_sessions=0, images=0, other_units=0
    )
    found = bill(RateCard(input=D(1), output=D(1), **same), tokens)
    assert found.cost is not None
    read, written = tokens.cache_read_tokens, tokens.cache_write_tokens
    hour = tokens.cache_write_1h_tokens
    modal = tokens.input_audio_tokens + tokens.input_image_tokens
    spoken = tokens.reasoning_tokens + tokens.output_audio_tokens + tokens.output_image_tokens
    fits = (
        read + max(written, hour) <= tokens.input_tokens
        and max(written, hour) + modal <= tokens.input_tokens
        and spoken <= tokens.output_tokens
    )
    if fits:
        assert found.cost == tokens.total_tokens
    else:
        assert found.cost > tokens.total_tokens


@given(
    text=COUNT, audio=COUNT, image=COUNT, read=COUNT, rates=st.lists(COUNT, min_size=3, max_size=3)
)
def test_each_token_of_an_input_is_billed_once(
    text: int, audio: int, image: int, read: int, rates: list[int]
) -> None:
    names = ("cache_read", "cache_read_audio", "cache_read_image")
    card = replace(FULL, **dict(zip(names, map(D, rates), strict=True)))
    whole = text + audio + image
    used = Usage(
        input_tokens=whole,
        cache_read_tokens=min(read, whole),
        input_audio_tokens=audio,
        input_image_tokens=image,
    )
    counts = [each.count for each in bill(card, used).lines if each.part != "per_request"]
    assert (sum(counts), min(counts, default=0) >= 0) == (whole, True)


def test_one_token_that_may_be_text_or_a_picture_has_no_price() -> None:
    card = replace(FULL, answers="mixed")
    assert bill(card, Usage(output_tokens=1)).cost is None
    assert bill(card, Usage(output_tokens=1, reasoning_tokens=1)).cost is not None


def test_a_model_without_output_price_is_priced_for_input_alone() -> None:
    card = RateCard(input=D(1), output=None)
    assert bill(card, Usage(input_tokens=10)).cost == 10
    found = bill(card, Usage(input_tokens=10, output_tokens=1))
    assert (found.cost, found.known, found.unpriced) == (None, 10, "no price for output")


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
    assert [bill(card, Usage(input_tokens=n)).cost for n in sizes] == [99, 100, 202, 400, 603]


def test_a_bill_is_exact_whatever_precision_the_app_has_set() -> None:
    usage = Usage(input_tokens=123_456_789, output_tokens=987_654_321, web_searches=7)
    exact = PriceBook().cost(usage, "gpt-5")
    with localcontext(prec=4):
        assert PriceBook().cost(usage, "gpt-5") == exact
    assert exact == D("0.00000125") * 123_456_789 + D("0.00001") * 987_654_321 + D("0.07")


@pytest.mark.parametrize(
    ("card", "usage", "reason"),
    [
        (FULL, Usage(input_tokens=10), UNHEARD),
        (PLAIN, Usage(input_tokens=10), None),
        (FULL, Usage(input_tokens=10, input_audio_tokens=4), None),
        (FULL, Usage(output_tokens=10), None),
        (replace(PLAIN, audio_as_text=True), Usage(input_tokens=10), None),
        (replace(PLAIN, input_audio=PLAIN.input), Usage(input_tokens=10), None),
    ],
    ids=["own rate", "no rate", "counted", "no prompt", "one rate", "same rate"],
)
def test_sound_that_nobody_counts_is_not_billed_as_text(
    card: RateCard, usage: Usage, reason: str | None
) -> None:
    assert bill(card, usage, sound=True).unpriced == reason
    assert bill(card, usage).unpriced is None


def test_a_model_that_always_searches_has_its_fee_in_every_call() -> None:
    usage = Usage(input_tokens=100)
    known = bill(replace(FULL, always_searches=True, per_request=D(0)), usage)
    assert known.cost == 100 + 1_000
    assert bill(replace(PLAIN, always_searches=True), usage).unpriced == "no price for web searches"
    assert bill(replace(PLAIN, always_searches=True), Usage()).cost == 0


def test_a_refused_call_pays_no_fee_for_its_request() -> None:
    assert bill(FULL, Usage()).cost == 0
    assert bill(FULL, Usage(output_tokens=1)).cost == 10 + 1_000_000
