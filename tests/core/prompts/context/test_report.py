"""The report of a cut names documents in itself, but not in the line for logs."""

from __future__ import annotations

from llm_optimizers.prompts import ContextCut, DocumentCut

CUT = ContextCut(
    documents=(
        DocumentCut(number=1, title="Tides", kept="whole", tokens_before=1_200, tokens=1_200),
        DocumentCut(number=2, title="", kept="cut", tokens_before=900, tokens=300),
        DocumentCut(number=4, title="Winds", kept="dropped", tokens_before=500, tokens=0),
    ),
    budget=1_500,
    probability=0.9,
    message=1,
)


def test_the_line_has_numbers_only() -> None:
    line = "message 1: context 2,600 -> 1,500 tokens; 1 of 3 documents whole, 1 cut, 1 dropped"
    assert str(CUT) == line
    assert CUT.details().splitlines() == [
        line,
        "  1 Tides: whole, 1,200 tokens",
        "  2: cut, 900 -> 300 tokens",
        "  4 Winds: dropped, 500 tokens",
    ]


def test_documents_by_what_was_kept() -> None:
    assert [d.number for d in CUT.whole] == [1]
    assert [d.number for d in CUT.cut] == [2]
    assert [d.number for d in CUT.dropped] == [4]
    assert CUT.changed
