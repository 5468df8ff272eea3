"""Texts that are the same in other characters share a normalised key; no others do."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.caching.keys import normalise

WIDE = {each: chr(ord(each) + 0xFEE0) for each in map(chr, range(0x21, 0x7F)) if each != ":"}


def wide(text: str) -> str:
    return "".join(WIDE.get(each, "\u3000" if each == " " else each) for each in text)


SAME = [
    ("Où est mon café?", unicodedata.normalize("NFD", "Où est mon café?")),
    ("What is a café", "What is a cafe\u0301?"),
    ("한국어로 답해 줄 수 있어?", unicodedata.normalize("NFD", "한국어로 답해 줄 수 있어?")),
    ("Quels sont les délais de livraison ?", "Quels sont les délais de livraison?"),
    ("Quand ouvrez-vous ?", "quand ouvrez-vous"),
    ("Peut-on payer en plusieurs fois ?", "Peut-on payer en plusieurs fois?"),
    ("Quelle taille choisir ?", "Quelle taille choisir?"),
    ("C'est combien ?", "C'est combien?"),
    ("Quels sont les délais de livraison\u00a0?", "Quels sont les délais de livraison ?"),
    ("Quels sont les délais de livraison\u202f?", "quels sont les délais de livraison"),
    ("La garantie dure combien de temps\u202f!", "La garantie dure combien de temps !"),
    ("Bonjour\u00a0! Quels sont les délais\u202f?", "Bonjour! Quels sont les délais?"),
    ("Les délais\u00a0; la garantie", "Les délais; la garantie"),
    ("¿Cuánto tarda el reembolso?", "Cuánto tarda el reembolso?"),
    ("¡Quiero mi reembolso!", "Quiero mi reembolso"),
    ("退款需要多久\uff1f", "退款需要多久?"),
    ("كم يستغرق الاسترداد\u061f", "كم يستغرق الاسترداد?"),
    ("Πόσο κοστίζει;", "Πόσο κοστίζει\u037e"),
    (wide("How long is it?"), "How long is it?"),
    (wide("GPT4") + "の料金は\uff1f", "GPT4の料金は?"),
    ("保証は" + wide("15") + "年ですか", "保証は15年ですか"),
    ("iPhone " + wide("15") + "の保証は?", "iPhone 15の保証は?"),
    ("\uff8e\uff7c\uff6e\uff73期間は?", "ホショウ期間は?"),
    ("\uff8a\uff9e\uff6f\uff78\uff9e", "バッグ"),
    ("How long does a re\u00adfund take?", "How long does a refund take?"),
    ("\ufeffHow long does it take?", "How long does it take?"),
    ("How long does it take?\u200b", "How long does it take?"),
    ("How long\u00a0does it take?", "How long does it take?"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_text_in_other_characters(one: str, other: str) -> None:
    assert normalise(one) is not None
    assert normalise(one) == normalise(other)


DIFFERENT = [
    ("What is 10² in total?", "What is 102 in total?"),
    ("What is x₂ in this", "What is x2 in this"),
    ("Add ½ to it", "Add 1/2 to it"),
    ("Add 1½ cups", "Add 11/2 cups"),
    ("Who owns Acme™", "Who owns AcmeTM"),
    ("What is Ⅳ for", "What is IV for"),
    ("What is step ① about", "What is step 1 about"),
    ("Is ﬁ used", "Is fi used"),
    ("What are ℃ and K", "What are °C and K"),
    ("What is ㎏ for", "What is kg for"),
    ("Is it a ªb", "Is it a ab"),
    ("What is 5\uff01", "What is 5?"),
    ("What is 5\uff01", "What is 5"),
    (f"How is {wide('A')} unlike A", "How is A unlike A"),
    (f"How is A unlike {wide('A')}", f"How is {wide('A')} unlike {wide('A')}"),
    ("\uff71とアの違い", "アとアの違い"),
    (f"Is {wide('7')} bigger than 7", "Is 7 bigger than 7"),
    (f"{wide('A')}は全角の文字ですか", "Aは全角の文字ですか"),
    ("Is co\u00adop with a hidden hyphen", "Is coop with a hidden hyphen"),
    ("Which character is é, e\u0301 or e", "Which character is é, é or e"),
    ("What does this mean ?", "What does this mean?"),
    ("What does this mean\u00a0?", "What does this mean?"),
    ("What is the operator ?", "What is the operator?"),
    ("Que signifie ?", "Que signifie?"),
    ("Comment taper ?", "Comment taper?"),
    ("Que veut dire le ?", "Que veut dire le?"),
    ("How do I type ?", "How do I type?"),
    ("Que signifie\u00a0?", "Que signifie"),
    ("Quel est le signe ?", "Quel est le signe"),
    ("À quoi sert le ?", "À quoi sert le"),
    ("What is ¿", "What is"),
    ("Qué significa ¿?", "Qué significa?"),
    ("Hola ¿Juan?", "Hola Juan?"),
    (
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0646\u0645\u06cc\u062e\u0648\u0627\u0647\u0645",
    ),
    ("there\u200bin", "therein"),
    ("翻译\uff1aPOLISH", "翻译\uff1apolish"),
    ("翻译:Polish", "翻译:polish"),
    ("「Polish」とは", "「polish」とは"),
    ("What is \u2039B\u203a", "What is \u2039b\u203a"),
    (wide("x = Y"), wide("x = y")),
    (wide("`LS`"), wide("`ls`")),
    ("你去。", "你去\uff1f"),
    ("What is ß", "What is ss"),
    ("Is İ used", "Is I used"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_texts_share_no_key(one: str, other: str) -> None:
    assert normalise(one) is None or normalise(one) != normalise(other)


WORDS = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyzéèüñö", min_size=2, max_size=9), min_size=2, max_size=6
).map(" ".join)


@given(WORDS)
def test_composition_width_and_unseen_characters_say_nothing(text: str) -> None:
    expected = normalise(text)
    assert normalise(unicodedata.normalize("NFD", text)) == expected
    assert normalise(f"\ufeff{text}\u200b") == expected
    if text.isascii():
        assert normalise(wide(f"{text}?")) == expected


# Compatibility characters, each of which NFKC would turn into something else.
COMPATIBLE = [
    each
    for each in map(chr, range(0xA8, 0xFB07))
    if unicodedata.decomposition(each).startswith("<")
    and not unicodedata.decomposition(each).startswith(("<wide>", "<narrow>", "<noBreak>"))
    and unicodedata.normalize("NFKC", each).strip()
    and each.strip()
]


@given(WORDS, st.sampled_from(COMPATIBLE), st.integers(0, 5))
def test_no_other_character_is_replaced(text: str, character: str, at: int) -> None:
    given = f"{text[:at]}{character}{text[at:]}"
    replaced = f"{text[:at]}{unicodedata.normalize('NFKC', character)}{text[at:]}"
    found = normalise(given)
    assert found is None or found != normalise(replaced)


@given(st.text(max_size=40))
def test_normalising_again_changes_nothing_that_is_compared(text: str) -> None:
    once = normalise(text)
    if once is not None:
        assert normalise(once) in (None, once)
