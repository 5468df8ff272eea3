"""Texts cut into blocks and sentences that join back."""

from __future__ import annotations

import pytest
from hypothesis import given

from llm_optimizers.text import blocks, protected_spans, sentences
from support.prompt_texts import PROSE


@given(PROSE)
def test_blocks_and_sentences_join_back(text: str) -> None:
    assert "".join(block.whole for block in blocks(text)) == text
    assert "".join(sentences(text)) == text


def test_sentences_know_abbreviations_and_other_scripts() -> None:
    text = 'Mr. J. Smith left. "He did," she said. At 3.5 km he stopped. 他来了。她走了。'
    assert [s.strip() for s in sentences(text)] == [
        "Mr. J. Smith left.",
        '"He did," she said.',
        "At 3.5 km he stopped.",
        "他来了。",
        "她走了。",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "यह पहला है।|दूसरा आगे है। |तीसरा कौन है?",
        "ما هذا؟ |هذا كتاب. |ذهب الولد",
        "یہ ایک ہے۔|وہ دو ہے۔ |تین",
        "Սա մեկն է։ |Սա երկուսն է։|Վերջ",
        "这是一。 |那是二！|三？",
        "ဒါက တစ်ခု။|ဒါက နှစ်ခု။ |သုံး",
        "ይህ አንድ ነው። |ሁለት።|ሦስት",
        "ის წავიდა. |მერე მოვიდა.",
        "Он ушёл. |Потом пришёл.",
    ],
)
def test_sentences_end_at_the_full_stop_of_their_script(text: str) -> None:
    assert sentences(text.replace("|", "")) == text.split("|")


@pytest.mark.parametrize(
    "text",
    [
        "他说：「来吧。」|然后走了。",
        "她问：“真的吗？！”|是的。",
        "« Il est là. » |Puis il part.",
        "„Er ist da.“ |Dann ging er.",
        "¡No! |¿Quién es? |“Sí.” |(Él.)",
    ],
)
def test_closing_marks_belong_to_the_sentence_they_close(text: str) -> None:
    assert sentences(text.replace("|", "")) == text.split("|")


@pytest.mark.parametrize(
    "text",
    [
        "Am 3. Oktober 1990 war es so. |Dann kam Nr. 7.",
        "Das kam in Abb. 4 vor.",
        "в 1990 г. было 5 тыс. Рублей не хватало",
        "Vive en el núm. 3 con la Sra. Díaz. |Fin",
        "Voir p.ex. Mme. Roux. |Fin",
        "Use Python 3.12. |It was 1990. |He said no. |The end",
        "1. Install it. |2. Run it.",
        "см. в гл. о том. и. о. это",
    ],
)
def test_sentences_know_ordinals_and_the_abbreviations_of_many_languages(text: str) -> None:
    assert sentences(text.replace("|", "")) == text.split("|")


def test_a_blank_ends_a_clause_of_thai_that_is_long_enough() -> None:
    clause = "การตรวจสอบว่าจำนวนนี้เป็นผลคูณของจำนวนใด"
    text = f"{clause} {clause} เด็ก ๆ เล่น {clause} ปี 1990 ก็"
    assert sentences(text) == [f"{clause} ", f"{clause} ", f"เด็ก ๆ เล่น {clause} ", "ปี 1990 ก็"]


def test_a_sentence_ends_after_a_quotation_but_not_inside() -> None:
    parts = ['He wrote "No. Yes. Oh." ', 'Then "Go. Now," he said. ']
    assert sentences("".join(parts * 3)) == parts * 3


def test_quotations_placeholders_and_inline_code_are_spans_that_no_sentence_ends_in() -> None:
    text = 'He wrote "Stop here.  Then go.  Wait." and left.   So did `a   b` and {a  b}.'
    assert [text[a:b] for a, b in protected_spans(text)] == [
        '"Stop here.  Then go.  Wait."',
        "`a   b`",
        "{a  b}",
    ]
    assert len(sentences(text)) == 2


def test_a_number_of_any_length_is_json() -> None:
    long = '{"id": ' + "7" * 5_000 + "}"
    fenced = f"```json\n{long}\n```\n"
    for text in (long, f"Here it is:\n{long}\n", fenced):
        found = list(blocks(text))
        assert "".join(block.whole for block in found) == text
        assert [block.text.strip() for block in found if block.kind == "json"] == [long]


@pytest.mark.parametrize("broken", ['{"a": 1, oops}', '["a" "b"]', "[{", '{"a": "', "[1, 2,,"])
def test_json_after_what_is_broken_is_found(broken: str) -> None:
    value = '{"a": [1, "]", {"b": null}]}'
    filler = "x " * 3_000  # longer than what is read at first
    for text in (f"{broken}\n{value}\n", f'{value}{broken}\n["{filler}"]'):
        found = [block.text for block in blocks(text) if block.kind == "json"]
        assert value in found
