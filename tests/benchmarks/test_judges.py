"""Each judge notices a change of meaning, and lets a change of layout pass."""

from __future__ import annotations

import random
import re

import pytest

from prompts.corpus import COUNTS, Library, build
from prompts.judges import READERS, is_readable, kind_of_output, same_meaning

PYTHON = "def f(rows):\n    for row in rows:\n        add(row)\n        stop()  # at once\n"
JSON = '{"id": 1.10, "text": "two  blanks", "tags": ["a", "b"], "on": true}'
JSON_LINES = '{"id": 1, "on": true}\n{"id": 2, "on": null}\n'
YAML = (
    "rules:\n-   name: 'one'  # the first\n    when: '1'\n-   name: two\n    text: |\n      a  b\n"
)
TOML = '# our own\n[tool]\nname = "a  b"\nsizes = [1, 2]\nratio = 1.10\n'
CSV = "name,city,count\nAnn, Bonn,1\nBo,Ulm,\n"
DIFF = "--- a\n+++ b\n@@ -1,3 +1,3 @@\n def f():\n-    go()\n+        go()\n \n"
MARKDOWN = "# Two lines\n\nfirst  \nsecond\n\n- one\n  - inner\n\n```\na  b\n```\n\n<!-- more -->\n"


@pytest.mark.parametrize(
    ("kind", "text", "old", "new"),
    [
        ("python", PYTHON, "        stop()", "    stop()"),
        ("python", PYTHON, "  # at once", ""),
        ("python", "show('a  b')\n", "a  b", "a b"),
        ("python", '"""Two\n\n\nlines."""\n', "\n\n\n", "\n"),
        ("python", "x = 1.10\ny = 2\n", "y = 2", "y = 3"),
        ("json", JSON, "two  blanks", "two blanks"),
        ("json", JSON, "1.10", "1.1"),
        ("json", JSON, '"on": true', '"on": 1'),
        ("json", JSON, '"a", "b"', '"b", "a"'),
        ("json", '{"a": 1, "b": 2}', '"a": 1, "b": 2', '"b": 2, "a": 1'),
        ("json", '{"a": 1, "a": 2}', '"a": 1, ', ""),
        ("json", "[1e400, 2]", "1e400", "Infinity"),
        ("jsonl", JSON_LINES, "\n", ","),
        ("jsonl", JSON_LINES, '{"id": 2, "on": null}\n', ""),
        ("jsonl", JSON_LINES, '{"id": 1, ', '{"id": 1.0, '),
        ("yaml", YAML, "    when", "when"),
        ("yaml", YAML, "'1'", "1"),
        ("yaml", YAML, "  # the first", ""),
        ("yaml", YAML, "a  b", "a b"),
        ("yaml", "a: &x [1]\nb: *x\n", "*x", "[2]"),
        ("toml", TOML, "a  b", "a b"),
        ("toml", TOML, "# our own\n", ""),
        ("toml", TOML, "[1, 2]", "[2, 1]"),
        ("toml", TOML, "1.10", "1.1"),
        ("toml", "on = true\n", "true", "1"),
        ("csv", CSV, ", Bonn", ",Bonn"),
        ("csv", CSV, ",1\nBo,Ulm,\n", "\nBo,Ulm\n"),
        ("csv", CSV, ",", ";"),
        ("csv", "a,b\n,\n", ",\n", "\n"),
        ("tsv", "a\tb\nx  y\tz\n", "x  y", "x y"),
        ("diff", DIFF, "+        go", "+    go"),
        ("diff", DIFF, "\n \n", "\n\n"),
        ("diff", DIFF, "-1,3", "-2,3"),
        ("diff", DIFF, "--- a\n", ""),
        ("markdown", MARKDOWN, "first  \n", "first\n"),
        ("markdown", MARKDOWN, "  - inner", "- inner"),
        ("markdown", MARKDOWN, "a  b", "a b"),
        ("markdown", MARKDOWN, "<!-- more -->\n", ""),
        ("markdown", "- one\n\n- two\n", "\n\n", "\n"),
        ("markdown", "[a][x]\n\n[x]: /one\n", "/one", "/two"),
        ("markdown", "|a|b|\n|-|:-|\n|1|2|\n", ":-", "-"),
    ],
)
def test_a_harmful_change_is_noticed(kind: str, text: str, old: str, new: str) -> None:
    assert old in text
    assert is_readable(kind, text)
    assert not same_meaning(kind, text, text.replace(old, new))


@pytest.mark.parametrize(
    ("kind", "text", "same"),
    [
        ("python", PYTHON, PYTHON.replace("\n", "  \n\n")),
        ("json", JSON, JSON.replace(": ", ":").replace(", ", ",\n")),
        ("json", '"\\u00e9"', '"é"'),
        ("jsonl", JSON_LINES, JSON_LINES.replace(": ", ":").replace("\n", "\r\n")),
        ("yaml", YAML, YAML.replace("-   ", "- ").replace("    ", "  ")),
        ("toml", TOML, TOML.replace(" = ", "=")),
        ("csv", CSV, CSV.replace("\n", "\r\n").replace("Ann", '"Ann"')),
        ("markdown", MARKDOWN, MARKDOWN.replace("second\n\n", "second\n\n\n\n")),
    ],
)
def test_a_change_of_layout_is_none_of_meaning(kind: str, text: str, same: str) -> None:
    assert same != text
    assert same_meaning(kind, text, same)


@pytest.mark.parametrize("kind", sorted(COUNTS.keys() - READERS.keys()))
def test_without_a_parser_every_byte_counts(kind: str) -> None:
    assert same_meaning(kind, "a  b\r\n", "a  b\r\n")
    for changed in ("a b\r\n", "a  b\n", "a  b", "a  b\r\n "):
        assert not same_meaning(kind, "a  b\r\n", changed)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("python", "def f(:\n    x  = 1\n"), ("json", "{'a':  1}"), ("yaml", "only  words\n")],
)
def test_what_a_parser_cannot_read_is_judged_by_its_bytes(kind: str, text: str) -> None:
    assert not is_readable(kind, text)
    assert same_meaning(kind, text, text)
    assert not same_meaning(kind, text, text.replace("  ", " "))


def test_a_missing_letter_is_noticed_in_a_text_of_any_kind() -> None:
    rng = random.Random(5)
    unnoticed = []
    texts = build(Library.standard(), share=0.1)
    for each in texts:
        words = [match.start() for match in re.finditer(r"[A-Za-z]{4}", each.text)]
        at = rng.choice(words) + 1
        if same_meaning(each.kind, each.text, each.text[:at] + each.text[at + 1 :]):
            unnoticed.append((each.kind, each.source, each.text[at - 20 : at + 20]))
    assert unnoticed == []
    readable = {each.kind for each in texts if is_readable(each.kind, each.text)}
    assert readable == READERS.keys()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (JSON, "json"),
        (JSON_LINES, "jsonl"),
        ("[1]\n[2]\n", "jsonl"),
        ("1\n2\n", "text"),
        ("total 12", "text"),
        ('{"a": 1}\nand more', "text"),
    ],
)
def test_an_output_is_data_only_if_all_of_it_is(text: str, kind: str) -> None:
    assert kind_of_output(text) == kind
