"""Which documents a section of context holds, in every form that apps and frameworks write."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.prompts.context.documents.division import documents

TOWNS = ["Aldmere", "Brackford", "Carrow"]
TEXTS = [
    f"{town} lies on a river that freezes over in winter. Its market sells cheese and wool.\n\n"
    f"The mayor of {town} lives in the old mill." for town in TOWNS
]  # fmt: skip
ONE_LINERS = [text.replace("\n\n", " ") for text in TEXTS]
PAIRS = list(zip(TOWNS, TEXTS, strict=True))
TAG = re.compile(r"<(/?)(\w+)[^<>]*>")


def repr_of(town: str, text: str) -> str:
    return f"Document(metadata={{'source': '{town}.md'}}, page_content={text!r})"


FORMS = {
    "tags": "".join(f"<document>{text}</document>\n" for text in TEXTS),
    "tags on lines": "\n".join(f"<doc id='{t}'>\n{text}\n</doc>" for t, text in PAIRS),
    "tags with a number in the name": "\n".join(
        f"<doc{n}>\n{text}\n</doc{n}>" for n, text in enumerate(TEXTS)
    ),
    "any repeated tag": "\n".join(f"<WikiPage>\n{text}\n</WikiPage>" for text in TEXTS),
    "a wrapper": "\n<documents>\n"
    + "\n".join(f"<chunk>{text}</chunk>" for text in TEXTS)
    + "\n</documents>\n",
    "an index, a source and the content": "<documents>\n"
    + "\n".join(
        f'<document index="{n}">\n<source>{town}.md</source>\n<document_content>\n{text}\n'
        "</document_content>\n</document>"
        for n, (town, text) in enumerate(PAIRS, 1)
    )
    + "\n</documents>",
    "a title, metadata and the content": "\n".join(
        f"<result><title>{town}</title><metadata>a: 1\nb: 2</metadata>"
        f"<page_content>{text}</page_content></result>"
        for town, text in PAIRS
    ),
    "a title and bare text": "\n".join(
        f"<article>\n<title>{town}</title>\n{text}\n</article>" for town, text in PAIRS
    ),
    "source and content in turn": "\n".join(
        f"<source>{town}</source>\n<content>{text}</content>" for town, text in PAIRS
    ),
    "a rule between tags": "\n---\n".join(f"<doc>{text}</doc>" for text in TEXTS),
    "repr of LangChain documents": "[" + ", ".join(repr_of(*pair) for pair in PAIRS) + "]",
    "str of LangChain documents": "\n\n".join(
        f"page_content='{text}' metadata={{'source': '{town}'}}" for town, text in PAIRS
    ),
    "JSON": json.dumps([{"title": town, "text": text} for town, text in PAIRS], indent=2),
    "JSON in an object": json.dumps(
        {"results": [{"score": 1, "document": {"content": text}} for text in TEXTS]}
    ),
    "JSON lines": "\n".join(json.dumps({"id": n, "text": text}) for n, text in enumerate(TEXTS)),
    "LlamaIndex metadata": "\n\n".join(
        f"page_label: 3\nfile_path: {town}.md\n\n{text}" for town, text in PAIRS
    ),
    "content and source": "\n".join(f"Content: {text}\nSource: {t}-pl" for t, text in PAIRS),
    "title and content": "\n\n".join(f"Title: {t}\nContent: {text}" for t, text in PAIRS),
    "[1]": "\n\n".join(f"[{n}] {text}" for n, text in enumerate(TEXTS, 1)),
    "[0]": "\n\n".join(f"[{n}]\n{text}" for n, text in enumerate(TEXTS)),
    "(1)": "\n\n".join(f"({n}) {text}" for n, text in enumerate(TEXTS, 1)),
    "1.": "\n".join(f"{n}. {text}" for n, text in enumerate(ONE_LINERS, 1)),
    "Document 1:": "\n\n".join(f"Document {n}: {text}" for n, text in enumerate(TEXTS, 1)),
    "Document[1]:": "\n".join(f"Document[{n}]: {text}" for n, text in enumerate(TEXTS, 1)),
    "Document [1](Title: ...)": "\n".join(
        f"Document [{n}](Title: {town} (town)) {text}" for n, (town, text) in enumerate(PAIRS, 1)
    ),
    "Source 1:": "\n\n".join(f"Source {n}:\n{text}\n" for n, text in enumerate(TEXTS, 1)),
    "Passage 1": "\n".join(f"Passage {n}\n{text}" for n, text in enumerate(TEXTS, 1)),
    "### Document 1": "\n\n".join(f"### Document {n}\n\n{text}" for n, text in enumerate(TEXTS, 1)),
    "### Document 1: title": "\n\n".join(
        f"### Document {n}: {town}\n{text}" for n, (town, text) in enumerate(PAIRS, 1)
    ),
    "**Document 1:**": "\n\n".join(f"**Document {n}:** {text}" for n, text in enumerate(TEXTS, 1)),
    "[Document 1]": "\n\n".join(f"[Document {n}]\n{text}" for n, text in enumerate(TEXTS, 1)),
    "[Source 1: name]": "\n\n".join(
        f"[Source {n}: {town}]\n{text}" for n, (town, text) in enumerate(PAIRS, 1)
    ),
    "--- Document 1 ---": "\n".join(f"--- Document {n} ---\n{t}" for n, t in enumerate(TEXTS, 1)),
    "Result 1 of 3:": "\n".join(f"Result {n} of 3:\n{text}" for n, text in enumerate(TEXTS, 1)),
    "Document #1": "\n".join(f"Document #{n}\n{text}" for n, text in enumerate(TEXTS, 1)),
    "another language": "\n\n".join(f"Quelle {n}: {text}" for n, text in enumerate(TEXTS, 1)),
    "numbers and rules": "\n\n---\n\n".join(f"[{n}] {text}" for n, text in enumerate(TEXTS, 1)),
    "---": "\n\n---\n\n".join(TEXTS),
    "--- on the next line": "\n---\n".join(TEXTS),
    "***": "\n\n***\n\n".join(TEXTS),
    "=====": "\n=====\n".join(TEXTS),
    "###": "\n###\n".join(TEXTS),
    "front matter": "\n".join(f"---\ntitle: {t}\nurl: a.b\n---\n{text}\n" for t, text in PAIRS),
    "headings": "\n\n".join(f"## {town}\n\n{text}" for town, text in PAIRS),
    "headings below one": "# Towns\n\n" + "\n\n".join(f"## {t}\n{text}" for t, text in PAIRS),
    "titles": "\n\n".join(f"{town}\n{text}" for town, text in zip(TOWNS, ONE_LINERS, strict=True)),
    "Windows lines": "\r\n\r\n".join(f"[{n}] {text}" for n, text in enumerate(ONE_LINERS, 1)),
}
"""Three documents in every form."""
NAMED = {
    "an index, a source and the content": [f"{town}.md" for town in TOWNS],
    "repr of LangChain documents": [f"{town}.md" for town in TOWNS],
    "LlamaIndex metadata": [f"{town}.md" for town in TOWNS],
    "content and source": [f"{town}-pl" for town in TOWNS],
    "Document [1](Title: ...)": [f"{town} (town)" for town in TOWNS],
} | dict.fromkeys(
    ["a title, metadata and the content", "a title and bare text", "source and content in turn",
     "JSON", "title and content", "[Source 1: name]", "### Document 1: title", "front matter",
     "headings", "headings below one", "titles"],
    TOWNS,
)  # fmt: skip


def texts_of(body: str) -> list[str]:
    return [each.passage.text for each in documents(body).documents]


def titles_of(body: str) -> list[str]:
    return [each.title for each in documents(body).documents]


def only(body: str, kept: Sequence[int]) -> str:
    found = documents(body)
    return found.written({at: str(found.documents[at]) for at in kept})


def unbalanced(text: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for closing, name in TAG.findall(text):
        counts[name] += -1 if closing else 1
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_each_form_holds_its_documents(body: str) -> None:
    squeezed = [" ".join(text.split()) for text in texts_of(body)]
    assert squeezed == [" ".join(text.split()) for text in TEXTS]
    assert str(documents(body)) == body


@pytest.mark.parametrize("form", FORMS)
def test_a_title_is_what_the_form_says_and_nothing_else(form: str) -> None:
    assert titles_of(FORMS[form]) == NAMED.get(form, ["", "", ""])


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_any_documents_can_be_dropped(body: str) -> None:
    found = documents(body)
    for size in range(1, 4):
        for kept in combinations(range(3), size):
            left = only(body, kept)
            assert not unbalanced(left)
            assert all(str(found.documents[at]) in left for at in kept)
            assert [" ".join(text.split()) for text in TEXTS if text[:9] in left] == [
                " ".join(TEXTS[at].split()) for at in kept
            ]
            assert left.count("\n---\n") <= max(body.count("\n---\n") * size // 3, size)


@pytest.mark.parametrize("form", ["[1]", "Source 1:", "1.", "### Document 1", "(1)"])
def test_the_other_documents_keep_their_numbers(form: str) -> None:
    left = only(FORMS[form], [0, 2])
    assert re.findall(r"^[#(\[]*(?:\w+ )?\d|### Document \d", left, re.MULTILINE)
    numbers = [int(n) for n in re.findall(r"^\W*(?:Source |Document )?(\d)", left, re.MULTILINE)]
    assert numbers == [1, 3]


@pytest.mark.parametrize(
    "form", ["---", "***", "=====", "numbers and rules", "a rule between tags"]
)
def test_separators_are_not_doubled(form: str) -> None:
    rule = "---" if "rule" in form else form
    left = only(FORMS[form], [0, 2])
    assert left.count(rule) == 1
    assert not left.rstrip().endswith(rule)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (FORMS["repr of LangChain documents"], lambda text: len(list(ast.parse(text).body))),
        (FORMS["JSON"], json.loads),
        (FORMS["JSON in an object"], json.loads),
        (json.dumps([{"text": f'"{text}" \\ é'} for text in TEXTS]), json.loads),
        ("[" + ", ".join(repr_of("a", f'it\'s "{t}" \\n') for t in TEXTS) + "]", ast.parse),
    ],
)
def test_a_literal_stays_one_when_it_is_cut(body: str, read: object) -> None:
    assert callable(read)
    found = documents(body)
    for cut in ('It\'s "cut".\nHere \\ é', "a"):
        read(found.written({0: found.documents[0].cut_to(cut), 2: str(found.documents[2])}))


def test_a_cut_document_keeps_everything_but_its_text() -> None:
    found = documents(FORMS["an index, a source and the content"]).documents[1]
    assert found.cut_to("Its market.") == (
        '<document index="2">\n<source>Brackford.md</source>\n<document_content>\nIts market.\n'
        "</document_content>\n</document>"
    )


@pytest.mark.parametrize(
    ("text", "cut", "left"),
    [
        ("<p>One. Two.</p>", "<p>One.", "One."),
        ("<p>One. Two.</p>", "Two.</p>", "Two."),
        ("<ul><li>One.<li>Two.</ul>", "<ul><li>One.", "<li>One."),
        ("One <br> and a < b. Two.", "One <br> and a < b.", "One <br> and a < b."),
        ("A List<T> of <b>these</b>. Two.", "A List<T> of <b>these</b>.", None),
    ],
)
def test_a_cut_leaves_no_lone_tag(text: str, cut: str, left: str | None) -> None:
    body = f"<doc>\n{text}\n</doc>\n<doc>\nAnother.\n</doc>"
    written = documents(body).documents[0].cut_to(cut)
    assert written == f"<doc>\n{left if left is not None else cut}\n</doc>"


def test_questions_and_answers_are_documents_with_their_questions() -> None:
    body = "\n\n".join(f"Q: Where?\nA: {text}" for text in ONE_LINERS)
    assert texts_of(body) == body.split("\n\n")
    notes = "\n\n".join(f"Note: {text}" for text in ONE_LINERS)
    assert texts_of(notes) == notes.split("\n\n")


@pytest.mark.parametrize(
    "inside",
    [
        "<p>One.</p>\n<p>Two.</p>",
        "One.<br>\nTwo.",
        "<ul>\n<li>One.\n<li>Two.\n</ul>",
        "A `Map<T>` with a < b and c > d.",
        "List<T> one; List<T> two;",
        "In <b>this</b> and <b>that</b>.",
        "<document>\nA document in a document.\n</document>",
        "```xml\n<doc>\n```\nThe tag is not closed in code.",
        "Write `<doc>` first.",
        "The tag <doc> opens and </doc> closes, and <doc> may be alone.",
        "# One\n\nA\n\n# Two\n\nB",
        "[1] One.\n\n[2] Two.",
        "---\n\nOne.\n\n---",
    ],
)
def test_what_is_inside_a_document_divides_nothing(inside: str) -> None:
    body = f"<doc>\nBefore.\n{inside}\nAfter.\n</doc>\n<doc>\nAnother one.\n</doc>"
    assert len(documents(body).documents) == 2
    assert str(documents(body)) == body


def test_same_named_tags_may_be_nested() -> None:
    body = "<doc>A <doc>\ninner\n</doc>\n</doc>\n<doc>B</doc>"
    assert [str(each) for each in documents(body).documents] == [body[:32], "<doc>B</doc>"]


def test_tags_that_are_not_closed_divide_nothing() -> None:
    """Where one tag is not closed, which of the others belongs to it is a guess."""
    body = f"<doc>\n{TEXTS[0]}\n\n<doc>\n{TEXTS[1]}\n</doc>\n<doc>\n{TEXTS[2]}\n</doc>"
    assert str(documents(body)) == body
    for kept in range(len(documents(body).documents)):
        left = only(body, [at for at in range(len(documents(body).documents)) if at != kept])
        assert left.count("</doc>") <= left.count("<doc>")


def test_text_beside_the_tags_is_kept_if_short_and_a_document_if_not() -> None:
    docs = "\n".join(f"<doc>{text}</doc>" for text in TEXTS)
    assert documents(f"Results of the search:\n{docs}").opening == "Results of the search:\n"
    assert len(documents(f"{TEXTS[0] * 3}\n{docs}").documents) == 4
    between = docs.replace("</doc>\n", "</doc>\nSomething else was here.\n", 1)
    assert texts_of(between)[1] == "Something else was here."


@pytest.mark.parametrize(
    "block",
    [
        "```python\nx = 1\n\n\n# two\n\ny = 2\n```",
        "    x = 1\n\n    y = 2",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |",
        '{"a": 1,\n\n "b": [1,\n\n 2]}',
        "- one\n\n- two\n\n  and more\n\n- three",
        "These are:\n\n- one\n\n- two",
        "## A heading\n\nIts text.",
        "<table>\n\n<tr>\n\n</tr>\n\n</table>",
    ],
)
def test_a_blank_line_inside_a_block_divides_nothing(block: str) -> None:
    long = "This paragraph is long enough to be a document of its own, and so it is one. " * 7
    found = documents(f"{long.strip()}\n\n{block}\n\n{long.strip()}").documents
    assert any(block in str(each) for each in found)


def test_paragraphs_are_documents_where_nothing_marks_them() -> None:
    long = [" ".join([text] * 4) for text in ONE_LINERS]
    assert texts_of("\n\n".join(long)) == long


def test_short_paragraphs_are_ranked_together_unless_they_have_titles() -> None:
    short = ["One short paragraph.", "Another short one.", "A third."]
    assert texts_of("\n\n".join(short)) == ["\n\n".join(short)]
    assert len(texts_of(FORMS["titles"])) == 3


@pytest.mark.parametrize(
    "body",
    [
        "\n\n".join(ONE_LINERS),
        "\n\n".join([f"{TOWNS[0]}\n{ONE_LINERS[0]}", *ONE_LINERS[1:], ONE_LINERS[0]]),
        # The lines are wrapped: the next word had no room.
        "\n\n".join(f"{t[:44]}\n{t[45:90]}\n{t[91:]}" for t in ONE_LINERS),
        "\n\n".join(f"See below.\n{text}" for text in ONE_LINERS),
        "\n\n".join(f"It is a town that\nlies on a river. {t} {t}" for t in ONE_LINERS),
    ],
)
def test_a_first_line_is_no_title_where_most_documents_have_none(body: str) -> None:
    assert not any(titles_of(body))


@pytest.mark.parametrize(
    "line", ["# Aldmere", "Title: Aldmere", "**Aldmere**", "title: Aldmere", "**Title:** Aldmere"]
)
def test_a_marked_title_is_one_even_in_a_single_document(line: str) -> None:
    body = f"<doc>\n{line}\n{TEXTS[0]}\n</doc>\n<doc>\n{TEXTS[1]}\n</doc>"
    assert titles_of(body) == ["Aldmere", ""]
    assert texts_of(body)[0] == TEXTS[0]


@pytest.mark.parametrize(
    "body",
    [
        f"{TEXTS[0]}\n\nDo this:\n\n1. Open it.\n2. Close it.\n\n{TEXTS[1]}",
        f"[1] One.\n\n[3] Three.\n\n[2] Two.\n\n{TEXTS[1]}",
        f"1. One.\n2. Two.\n\n{TEXTS[0]}\n\n{TEXTS[1]}",
        "Aldmere\n-------\n\nIts text.\n\nCarrow\n------\n\nIts text.",
        f"```\n# one\n\n# two\n\n---\n\n---\n```\n\n{TEXTS[1]}",
        f"{TEXTS[0]}\n# a comment\n{TEXTS[1]}\n# another one\n{TEXTS[2]}",
        '[{"id": 1, "town": "Carrow"}, {"id": 2, "town": "Aldmere"}]',
        "Document(a='never closed",
        "[1, 2, 3]",
    ],
)
def test_what_only_looks_like_a_form_is_read_as_paragraphs(body: str) -> None:
    found = documents(body)
    assert str(found) == body
    assert all(not each.before or each.before.isspace() for each in found.documents)


PIECES = st.lists(
    st.sampled_from(
        ["<doc>", "</doc>", '<doc id="1">', "<a>", "</a>", "<p>", "<br>", "\n", "\n\n", "---\n",
         "[1] ", "[2] ", "1. ", "2. ", "Source 1: ", "Source 2: ", "# H\n", "## I\n\n", "```\n",
         "```py\n", "{", "}", '{"text": "', '"}', "[", "]", "Document(page_content='", "')", "a: ",
         "title: T\n", "page_content='", "| a |\n", "- x\n", "    ", "\r\n", "**B**\n", "===\n",
         "One two three four. ", "Prose goes on and on, as it does in real chunks of text.\n"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(PIECES)
def test_documents_join_back_to_their_section(body: str) -> None:
    assert str(documents(body)) == body


@given(PIECES, st.data())
def test_tags_that_are_balanced_stay_so_whatever_is_dropped(body: str, data: st.DataObject) -> None:
    found = documents(body)
    if any(each.quoting for each in found.documents):
        return
    open_names = lone_names(body)
    kept = data.draw(st.sets(st.sampled_from(range(len(found.documents) or 1))))
    left = only(body, sorted(kept & set(range(len(found.documents)))))
    assert not unbalanced(left).keys() - open_names


def lone_names(text: str) -> set[str]:
    """Return the names of the tags that have no partner, read from left to right."""
    opened: list[str] = []
    lone: set[str] = set()
    for closing, name in TAG.findall(text):
        if not closing:
            opened.append(name)
        elif name in opened:
            while (last := opened.pop()) != name:
                lone.add(last)
        else:
            lone.add(name)
    return lone | set(opened)


@pytest.mark.parametrize(
    "piece",
    ["<document>", "</document>\n", "{", "[\n", '{"a":\n', "`", "```\n", "---\n", "1. a\n\n",
     '<a b="', "Document(a='", "\\'"],
)  # fmt: skip
def test_hostile_sections_are_read_in_linear_time(piece: str) -> None:
    """Two megabytes would be read for hours if each piece were followed to the end."""
    body = piece * (2_000_000 // len(piece))
    assert str(documents(body)) == body


def test_elements_may_be_nested_as_deep_as_one_likes() -> None:
    body = "<doc>" * 30_000 + "x" + "</doc>" * 30_000
    assert str(documents(body)) == body


def test_a_document_does_not_move_to_the_line_of_the_label() -> None:
    section = documents(" The first one is here.\n\n---\n\nThe second one is there.")
    assert len(section.documents) == 2
    assert section.written({1: "The second one is there."}).startswith("\n\n---\n\nThe second")
