"""What is compared of a text."""

from __future__ import annotations

import pytest

from llm_optimizers.caching.matching.text_features import extract_features


def test_an_english_text_is_compared_by_the_stems_of_its_content_words() -> None:
    found = extract_features("How can I cancel the payments for my subscriptions?")
    assert found.kind == "howto"
    assert found.content_words == ["cancel", "payments", "subscriptions"]
    assert found.concepts == ["cancel", "pay", "subscription"]


@pytest.mark.parametrize(
    "text",
    [
        "was ist das und wo kann ich es am besten kaufen",
        "dónde están los puertos y las puertas de la ciudad",
        "how do i say wo ist der bahnhof und wann war das",
        "\u5982\u4f55\u91cd\u7f6e\u5bc6\u7801",
    ],
)
def test_a_text_in_a_language_without_lists_is_compared_word_by_word(text: str) -> None:
    assert extract_features(text).concepts == text.split()


def test_english_guards_apply_in_every_language() -> None:
    found = extract_features("wie kann ich das in python oder java mit 5 kg machen")
    assert {side for sides in found.formats.values() for side in sides} == {"python", "java"}
    assert found.amounts.units == {"kg"}
