"""Texts cut into blocks and sentences that join back."""

from __future__ import annotations

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


def test_quotations_placeholders_and_inline_code_are_spans_that_no_sentence_ends_in() -> None:
    text = 'He wrote "Stop here.  Then go.  Wait." and left.   So did `a   b` and {a  b}.'
    assert [text[a:b] for a, b in protected_spans(text)] == [
        '"Stop here.  Then go.  Wait."',
        "`a   b`",
        "{a  b}",
    ]
    assert len(sentences(text)) == 2
