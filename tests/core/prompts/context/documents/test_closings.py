"""Where a section ends that holds documents with headings, rules and labels of their own."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.documents.sections import sections

FILLER = "\n\n".join(
    f"Town {n} has a market, a mill and a bridge over the river." for n in range(60)
)
INSIDE = {
    "a title with a line below": "References\n----------\n.. [1] Book\n\nReturns\n----------\nint",
    "a title of another length": "Notes\n-----\nSee the sources.\n\nReferences\n----------\nBook.",
    "a heading for a query": "### Query\n\nIt asks the index.",
    "a heading for examples": "## Examples\n\nHere is one.",
    "an indented label": "Args:\n    request: what is sent\n    response: what comes back",
    "a small label": "request: what is sent\n\nresponse: what comes back",
    "an answer": "Answer: it depends.",
    "a question": "Question: may I?\nAnswer: you may.",
    "a bold label": "**Example**\n\nIt is short.",
    "a comment in code": "```python\n# Output:\nprint(1)\n```",
    "half a code block": "print(1)\n```\n\nIt prints one.",
    "a list of sources": "References:\n\n- a book\n- a film",
    "a prompt": "Context: {x}\n\nQuestion: {y}",
}
FRAMES = {
    "Context": ("Context:\n", "\n\nQuestion: Who?\n"),
    "Sources": ("Sources:\n", "\n\nQuestion: Who?"),
    "a sentence": (
        "Answer the question based only on the following context:\n",
        "\n\nQuestion: W?",
    ),
    "an answer after it": ("Context:\n", "\n\nQuery: Who?\nAnswer: "),
    "German": ("Kontext:\n", "\n\nFrage: Wer?"),
    "code in the question": ("Context:\n", "\n\nQuestion: Why?\n```\nx = 1\n```\n"),
}


@pytest.mark.parametrize("inside", INSIDE.values(), ids=INSIDE)
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_labels_inside_documents_do_not_end_the_section(
    frame: tuple[str, str], inside: str
) -> None:
    opening, closing = frame
    body = f"Alpha is a town.\n\n{inside}\n\n{FILLER}"
    text = opening + body + closing
    found = sections(text)
    assert found[0][0] <= len(opening)
    assert text[found[-1][1] :].strip() == closing.strip()
    left = sum(end - start for start, end in found)
    assert left > len(body) - 40


@pytest.mark.parametrize(
    "text",
    [
        "Context\n-------\nAlpha is a town.\n\nBeta has a mill.\n-------\nQuestion: Who?",
        "Context information is below.\n-----\nAlpha is a town.\n-----\nQuery: Who?",
        "Below are several numbered sources of information. Use them.\nBegin!\n------\nAlpha is a "
        "town.\n------\nQuery: Who?\nAnswer: ",
        "Given the new context, refine.\nNew Context: Alpha is a town.\nQuery: Who?\nAnswer: ",
    ],
)
def test_a_section_between_rules_or_labels_is_found(text: str) -> None:
    (found,) = sections(text)
    assert text[slice(*found)].strip().startswith("Alpha is a town.")
    assert "Who?" not in text[slice(*found)]


@pytest.mark.parametrize(
    "piece",
    ["References\n----------\n", "Context: a\n\nRules: b\n\n", "Sources a:\n---\n",
     "```\n", "Context:\na\n\nQuestion: b\n\n", "Контекст:\n", "## Rules\n", "Answer: b\n\n"],
)  # fmt: skip
def test_hostile_labels_are_read_in_linear_time(piece: str) -> None:
    """So much text would be read for hours if each label were compared with all others."""
    text = piece * (500_000 // len(piece))
    assert all(0 <= start <= end <= len(text) for start, end in sections(text, asked=True))
