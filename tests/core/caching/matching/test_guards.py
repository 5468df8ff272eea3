from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_optimizers.caching.matching.guards import vetoes
from support.odd_letters import ODD_TEXTS

DATA = Path(__file__).parent / "data"
GUARDS = {
    "number", "currency", "date", "code", "quotation", "negation", "opposite", "format", "name",
    "direction", "question", "word",
}  # fmt: skip


def pairs(name: str) -> list[tuple[str, str, str]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    rows = [line.split("|") for line in lines if line and not line.startswith("#")]
    return [(kind.strip(), a.strip(), b.strip()) for kind, a, b in rows]


TRAPS = pairs("traps.txt")
PARAPHRASES = pairs("paraphrases.txt")


@pytest.mark.parametrize(
    ("a", "b"), [(a, b) for kind, a, b in TRAPS if kind != "content"], ids=lambda text: text[:40]
)
def test_a_trap_is_vetoed(a: str, b: str) -> None:
    assert vetoes(a, b)
    assert vetoes(b, a)


@pytest.mark.parametrize(("kind", "a", "b"), PARAPHRASES, ids=lambda text: text[:40])
def test_a_paraphrase_is_not_vetoed(kind: str, a: str, b: str) -> None:
    assert vetoes(a, b) == ()


@pytest.mark.parametrize(
    ("guard", "a", "b"),
    [
        ("number", "Plan for two people", "Plan for three people"),
        ("number", "the 2nd attempt", "the 3rd attempt"),
        ("number", "a 10 kg parcel", "a 10 lb parcel"),
        ("number", "a 20% discount", "a 25% discount"),
        ("number", "Wie viele Sitze hat Bus 12?", "Wie viele Sitze hat Bus 21?"),
        ("currency", "send 5 dollars", "send 5 euros"),
        ("date", "open at 3pm", "open at 3am"),
        ("date", "sales of last week", "sales of next week"),
        ("date", "in may we meet", "in june we meet"),
        ("code", "fix ab-12x", "fix ab-13x"),
        ("code", "mail joe@site.org", "mail jim@site.org"),
        ("code", "open report_final", "open report_draft"),
        ("quotation", 'what is "alpha"', 'what is "beta"'),
        ("quotation", "run `make test`", "run `make demo`"),
        ("negation", "why does it start", "why doesn't it start"),
        ("negation", "it's usual", "it's unusual"),
        ("opposite", "enable the alarm", "disable the alarm"),
        ("opposite", "turn it on", "turn it off"),
        ("format", "answer in French", "answer in German"),
        ("format", "as json please", "as a table please"),
        ("name", "weather in Oslo", "weather in Bergen"),
        ("name", "who plays for NASA", "who plays for ESA"),
        ("direction", "fly from Rome to Oslo", "fly from Oslo to Rome"),
        ("direction", "is copper denser than zinc", "is zinc denser than copper"),
        ("question", "why is it late", "when is it late"),
        ("question", "can I pay later", "how do I pay later"),
        ("question", "what is a rented flat", "how many rented flats may I keep"),
        ("word", "borrow her tent", "borrow his tent"),
        ("word", "is the ferry at dusk", "is the ferry by dusk"),
    ],
)
def test_each_guard_names_its_difference(guard: str, a: str, b: str) -> None:
    assert guard in vetoes(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a fee of 1,000 dollars", "a fee of $1000"),
        ("ten names", "10 names"),
        ("twenty five seats", "25 seats"),
        ("two hundred and five seats", "205 seats"),
        ("5k users", "5000 users"),
        ("in 1.5 million homes", "in 1500000 homes"),
        ("one month", "a month"),
        ("20 percent off", "20% off"),
        ("at 3 pm", "at 15:00"),
        ("on Jan 5", "on January 5th"),
        ("which one is cheap", "which is cheap"),
        ("good morning, where is it", "where is it"),
        ("How to Bake a Good Cake", "how to bake a good cake"),
        ("travel to the USA", "travel to the United States of America"),
        ("visit PARIS", "visit Paris"),
        ("Compare tea and rum", "Compare rum and tea"),
        ('Set "dark mode"', "Set dark mode"),
        ("I cannot pay", "I am unable to pay"),
        ("the review's tone", "the tone of the review"),
    ],
)
def test_another_spelling_is_not_vetoed(a: str, b: str) -> None:
    assert vetoes(a, b) == ()


@given(st.text() | ODD_TEXTS, st.text() | ODD_TEXTS)
@example("\u00dfA", "stra\u00dfe")
@example("`\u0391\u03a3`\u0392", "x\u0391\u03a3")
@example("\u0130zmir is \u0130ZMIR", "\ufb01ne")
@example("", "0: 0")
def test_any_texts_are_compared(a: str, b: str) -> None:
    fired = vetoes(a, b)
    assert set(fired) <= GUARDS
    assert fired == vetoes(b, a)
    assert vetoes(a, a) == ()
    assert vetoes(a, unicodedata.normalize("NFD", a)) == ()


@given(st.text() | ODD_TEXTS, st.sampled_from(['"', "`", "'", "```"]), st.sampled_from(["", "x"]))
def test_a_text_with_any_quotation_is_the_same_as_itself(
    quoted: str, mark: str, after: str
) -> None:
    text = f"Say {mark}{quoted}{mark}{after} to Anna"
    assert vetoes(text, text) == ()


def test_a_word_of_failure_says_the_same_as_a_negation() -> None:
    assert "negation" not in vetoes("My card does not work", "My card is broken")


def test_a_negating_prefix_needs_the_same_word_after_it() -> None:
    assert "negation" in vetoes("How do I zip a folder", "How do I unzip a folder")
    assert "negation" not in vetoes("Where can I read the ad", "Where can I see the ad")


def test_a_name_of_one_letter_abbreviates_nothing() -> None:
    assert "name" in vetoes("Does Oslo sell xylophones", "Does it sell X's xylophones")


def test_a_name_is_found_as_a_whole_word_only() -> None:
    assert "name" in vetoes("Is Ann planning it", "Is it planning")
    assert "name" in vetoes("Is Niger hot", "Is Nigeria hot")


def test_a_quotation_is_found_as_whole_words_only() -> None:
    assert "quotation" in vetoes('is "her" right', "is there right")


def test_initials_excuse_only_the_names_that_they_stand_for() -> None:
    a = "Is there a clinic in Kent near AR"
    assert "name" in vetoes(a, "Is there a clinic in Devon near AR")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("what does a nurse share with a patient", "what does a patient share with a nurse"),
        ("which team did Hull beat", "which team beat Hull"),
        ("who did Rosa hire", "who hired Rosa"),
        ("is a boat house dear", "is a house boat dear"),
    ],
)
def test_two_that_changed_places_are_another_question(a: str, b: str) -> None:
    assert vetoes(a, b)
    assert vetoes(b, a)


def test_a_place_that_only_one_text_names_has_not_changed_places() -> None:
    a, b = "fly from rome to oslo", "fly from oslo to bergen"
    assert "direction" not in vetoes(a, b)
    assert "direction" not in vetoes(b, a)


@pytest.mark.parametrize(
    ("other", "fired"),
    [
        ("steel zinc corrodes copper", ("direction",)),
        ("corrodes steel zinc copper", ("direction",)),
        # Two runs of words changed places.
        ("zinc steel copper corrodes", ()),
        ("steel copper corrodes zinc", ()),
    ],
)
def test_words_are_shuffled_if_most_pairs_are_in_another_order(
    other: str, fired: tuple[str, ...]
) -> None:
    assert vetoes("copper corrodes zinc steel", other) == fired


def test_only_runs_of_up_to_forty_words_may_change_places() -> None:
    words = [f"{start}{middle}mo" for start in "bcdfghjk" for middle in "aeiou"]
    assert vetoes(" ".join(words), " ".join(words[7:] + words[:7])) == ()
    assert vetoes(" ".join(words), " ".join(reversed(words))) == ("direction",)
    words.append("zumo")
    assert vetoes(" ".join(words), " ".join(words[7:] + words[:7])) == ("direction",)


def test_words_that_upper_case_would_merge_are_different_names() -> None:
    assert "name" in vetoes("Wie gross ist die Ma\u00dfe", "Wie gross ist die Masse")


def test_word_order_is_compared_if_only_one_text_says_and() -> None:
    a = "does copper corrode zinc faster and harder"
    b = "harder faster zinc corrode copper does"
    assert "direction" in vetoes(a, b)
    assert "direction" in vetoes(b, a)


_PIECES = st.sampled_from(
    ["1", "2nd", "$5", "rs.", "May", "one", "hundred", "and", "'", '"', "`", "#", "@", "://", "_",
     "not", "A.B", "from", "to", "Oslo", "10:30", "1-2", "9" * 400, "\u0663", "\u00b2", "?", "."]
)  # fmt: skip


@given(st.lists(_PIECES), st.sampled_from(["", " "]))
def test_odd_pieces_are_compared(pieces: list[str], glue: str) -> None:
    text = glue.join(pieces)
    assert vetoes(text, text) == ()
    vetoes(text, "What is it?")


@pytest.mark.parametrize("unit", ["a", "1", "“", "'", " '", "```", '"', "a@", "1.", "x_", "not "])
def test_long_texts_take_linear_time(unit: str) -> None:
    text = unit * 100_000
    assert vetoes(text, text) == ()
