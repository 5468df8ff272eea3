"""The text of the parts that are kept: separators, marks, what stands around a part."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.parts.part import Part, gathered, joined, lines_of, part

SENTENCES = [
    part("One. ", style="sentence"),
    part("Two. ", style="sentence"),
    part("Three.", style="sentence"),
]


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        ({0, 1, 2}, "One. Two. Three."),
        ({0, 2}, "One. \u2026 Three."),
        ({0}, "One. \u2026"),
        ({1}, "\u2026 Two. \u2026"),
        ({2}, "\u2026 Three."),
        (set(), "\u2026"),
    ],
)
def test_what_is_left_out_is_marked_where_it_was(kept: set[int], text: str) -> None:
    assert joined(SENTENCES, kept) == text


def test_a_mark_beside_a_line_is_a_line() -> None:
    lines = [part(f"- {word}\n") for word in ("a", "b", "c")]
    assert joined(lines, {0, 2}) == "- a\n\u2026\n- c"
    assert joined(lines, {1}) == "\u2026\n- b\n\u2026"


def test_no_mark_stands_inside_a_block() -> None:
    rows = [part(f"{n}\n", style="block") for n in range(4)]
    parts = gathered([[part("Above.\n")], rows, [part("Below.")]])
    assert joined(parts, {0, 1, 3, 5}) == "Above.\n0\n2\n\n\u2026\n\nBelow."
    assert joined(parts, {2}) == "\u2026\n\n1\n\n\u2026"
    assert joined(parts, {1, 2, 3, 4}) == "\u2026\n\n0\n1\n2\n3\n\n\u2026"


def test_a_separator_is_not_kept_before_what_closes() -> None:
    parts = [
        Part(text="[", alone=False, style="block"),
        Part(text="1", tail=", ", style="block"),
        Part(text="2", tail="", style="block"),
        Part(text="]", alone=False, closing=True, style="block"),
    ]
    assert joined(parts, {0, 1, 2, 3}) == "[1, 2]"
    assert joined(parts, {0, 1, 3}) == "[1]\n\n\u2026"


def test_the_indentation_of_the_first_line_is_kept() -> None:
    parts = gathered([[part("\n\n    a\n", style="block"), part("    b\n", style="block")]])
    assert joined(parts, {0}) == "    a\n\n\u2026"


def test_needs_count_from_the_start_of_the_row() -> None:
    header, row = part("h\n", style="block"), part("r\n", style="block", needs=(0,))
    assert [each.needs for each in gathered([[header, row], [header, row]])] == [(), (0,), (), (2,)]


def test_blank_text_is_added_to_its_neighbour() -> None:
    blank = [part("\n\n")]
    assert [(p.text, p.tail) for p in gathered([blank, [part("a\n")], blank, [part("b")]])] == [
        ("\n\na", "\n\n\n"),
        ("b", ""),
    ]
    assert [(p.text, p.tail) for p in gathered([[part("a")], blank])] == [("a", "\n\n")]
    assert "".join(p.text + p.tail for p in gathered([blank])) == "\n\n"


def test_only_a_line_feed_ends_a_line() -> None:
    assert lines_of("a\x0cb\u2028c\n\nd") == ["a\x0cb\u2028c\n", "\n", "d"]
