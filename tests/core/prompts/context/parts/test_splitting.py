"""The smallest parts of a document: what parses before parses after, and says what it said."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.prompts.context.parts.code import is_source
from llm_optimizers.prompts.context.parts.part import Part, joined
from llm_optimizers.prompts.context.parts.splitting import split_parts

SMALL = 1
MARK = "\n\n\u2026"


def split(text: str, max_tokens: int = SMALL) -> tuple[Part, ...]:
    parts = split_parts(text, max_tokens)
    assert "".join(each.text + each.tail for each in parts) == text
    return parts


def keeping(parts: Sequence[Part], chosen: Iterable[int]) -> str:
    """Return the text of the chosen parts with all that they need."""
    places = set(chosen)
    return joined(parts, places | {at for place in places for at in parts[place].needs})


def with_words(text: str, *words: str) -> str:
    """Return what is kept if only the parts with one of the words are chosen."""
    parts = split(text)
    return keeping(
        parts,
        [at for at, each in enumerate(parts) if each.alone and any(w in each.text for w in words)],
    )


def texts(text: str) -> list[str]:
    return [each.text for each in split(text)]


@st.composite
def subsets(draw: st.DrawFn, source: st.SearchStrategy[str]) -> tuple[str, str, int]:
    """Draw a document and what is kept of some of its parts; the number of its parts too."""
    text = draw(source)
    parts = split(text)
    alone = [at for at, each in enumerate(parts) if each.alone]
    chosen = draw(st.lists(st.sampled_from(alone), min_size=1, max_size=4)) if alone else []
    return text, keeping(parts, chosen), len(parts)


# --- prose ---------------------------------------------------------------------------------------

WRAPPED = """\
The library keeps a pool of connections that is shared by all of the threads. It is
filled when the first request is sent, and emptied when the last of the threads
ends. Set the size with care.
"""


def test_a_sentence_goes_over_wrapped_lines() -> None:
    assert texts(WRAPPED) == [
        "The library keeps a pool of connections that is shared by all of the threads.",
        WRAPPED[WRAPPED.index("It is") : WRAPPED.index(" Set the")],
        "Set the size with care.",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["Mina Vale", "12 Harbour Street", "Carrow"],
        ["The river runs", "Below the town", "And no one knows", "How deep it is"],
        ["- first of the items", "- second of the items", "- third"],
        ["1. Open the box and take all of the parts out of it.", "2. Close the box."],
        ["> quoted", "> more"],
    ],
)
def test_lines_that_were_not_wrapped_stay_lines(lines: list[str]) -> None:
    assert texts("\n".join(lines)) == lines


def test_a_wrapped_item_is_one_item() -> None:
    text = (
        "* an item that goes on over the end of the line since it is long, and so\n  on\n* next\n"
    )
    assert texts(text) == [text[: text.index("\n* next")], "* next"]


def test_a_hard_break_ends_a_line() -> None:
    text = "This line of the text is long enough to be wrapped, but  \nthis is a new line of it.\n"
    assert len(texts(text)) == 2


# --- code ----------------------------------------------------------------------------------------

CODE = '''\
import os

LIMIT = {
    "a": 1,

    "b": [2, 3],
}


@cache
@retry(
    times=3,
)
# why it is so
def first(x):
    """Say it.

a line at the left
"""
    if x:
        return os.name
    # not so
    else:
        return "(" + '[' + x


class Second(Base, metaclass=Meta, what_it_is="a class that is long enough to be opened"):
    """Documented."""

    size = 3
    names = ["one of them", "two of them", "three of them"]

    def grow(self):
        self.size += 1

        return self.size

    async def shrink(
        self,
    ) -> None:
        self.size -= 1  # less (


try:
    first(1)
except ValueError:
    pass
# a last word
'''


@given(
    subsets(
        st.permutations(CODE.split("\n\n\n"))
        .map("\n\n\n".join)
        .map(lambda code: f"Do this:\n\n```python\n{code}\n```\n\nThen that.\n")
    )
)
def test_what_is_kept_of_python_parses(drawn: tuple[str, str, int]) -> None:
    _, kept, count = drawn
    assert count > 6
    assert kept.count("```") in (0, 2)
    for code in re.findall(r"```python\n(.*?)```", kept, re.DOTALL):
        assert ast.parse(code).body
        assert "\u2026" not in code


def test_a_statement_is_kept_between_the_lines_of_its_fence() -> None:
    text = f"Do this:\n\n```python\n{CODE}```\n"
    kept = with_words(text, "self.size += 1")
    assert re.match(r"Do this:\n\n```python\nclass Second\(.*\):\n    def grow\(self\):\n", kept)
    assert kept.endswith("```" + MARK)


def test_a_short_block_is_whole_and_a_long_one_too_if_the_budget_is_large() -> None:
    short = "```sh\nls\n\ncd\n```"
    assert texts(short) == [short]
    long = f"```python\n{CODE}```"
    assert len(split(long)) > 6
    assert len(split(long, 10_000)) == 1


@pytest.mark.parametrize("fence", ["```", "~~~~", "    ```", "> ```"])
def test_every_kind_of_fence_is_closed(fence: str) -> None:
    inside = "\n\n".join(f"call_{n}(with_some_argument={n}, and_another={n})" for n in range(20))
    kept = with_words(f"{fence}js\n{inside}\n{fence}\n", "call_7(")
    assert kept.split("\n")[0] == f"{fence}js"
    assert kept.removesuffix(MARK).split("\n")[-1] == fence


MODULE = '''"""Locks on files.

One process has a lock at a time. The others wait for it.
"""

from __future__ import annotations

import os
from .errors import Busy

__all__ = ["Lock"]


class Lock:
    """A lock on one file.

    It is free again when its process ends. Nothing is left behind.
    """

    limit = 10

    def __init__(self, path: str) -> None:
        # Nobody opens the file before it is locked.
        self.path = path

    @property
    def holder(self) -> int | None:
        """The process that has the lock, if one has."""
        with open(self.path) as file:
            return int(file.read())


def take(path: str) -> Lock:
    return Lock(path)
'''
PROGRAMS = {
    "a module": MODULE,
    "a function": MODULE[MODULE.index("def take") :] + "\n\ndef lose(path):\n    os.remove(path)\n",
    "methods": MODULE[MODULE.index("    limit") : MODULE.index("\n\ndef take")],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_source_code_without_fences_is_kept_by_its_statements(name: str) -> None:
    text = PROGRAMS[name]
    parts = split(text)
    for at, each in enumerate(parts):
        if each.alone:
            code = keeping(parts, [at]).strip("\u2026\n")
            assert len(code) < len(text)
            ast.parse("class _:\n" + code if code.startswith(" ") else code)


@pytest.mark.parametrize(
    "text",
    [
        "import duties are low. They rise.\nclass actions are rare.\nfrom here on it is free.\n"
        "No one paid. All went home.\n",
        "# Title\n\nSome words about it. And more.\n\n    code()\n    more()\n",
        "- one\n- two\n\n  x = 1\n",
        "name: x\nsteps:\n  - run: a\n  - run: b\n",
        "@anna It works. I saw it.\n@ben It does. So did I.\nThanks to all. See you.\n",
    ],
)
def test_other_texts_are_not_taken_for_source_code(text: str) -> None:
    assert not is_source(text * 6)


@pytest.mark.parametrize("rule", ["---", "***", "- - -", "\u2026", "* "])
def test_a_text_without_words_is_not_kept_alone(rule: str) -> None:
    parts = split(f"A sentence.\n\n{rule}\n\nAnother sentence.\n")
    assert [each.text for each in parts if each.alone] == ["A sentence.", "Another sentence."]


def test_a_short_announcement_is_kept_only_with_its_block() -> None:
    parts = split("For example:\n\n```python\nsail(1)\n```\n\nIt is deep.\n")
    assert [each.alone for each in parts] == [False, True, True]
    assert keeping(parts, [1]) == "For example:\n\n```python\nsail(1)\n```\n\n\u2026"
    says = "The boats of the harbour are started in this way, by their names:"
    assert split(f"{says}\n\n```python\nsail(1)\n```\n")[0].alone


def test_half_of_a_pair_of_fences_is_not_kept() -> None:
    """A chunk of a longer text begins and ends inside a block."""
    lines = "\n\n".join(f"call_{n}(with_some_argument={n}, and_another={n})" for n in range(12))
    text = f"{lines}\n```\n\nA sentence. Another.\n\n```python\n{lines}\n"
    parts = split(text)
    for at, each in enumerate(parts):
        if each.alone:
            assert "```" not in keeping(parts, [at])


def test_a_heading_is_kept_with_the_first_part_below_it() -> None:
    text = "# Ports\n\n## Neth\n\nIt is deep. It is cold.\n\n## Carrow\n"
    parts = split(text)
    assert [each.heading for each in parts] == [True, True, False, False, True]
    assert keeping(parts, [1]) == "\u2026\n## Neth\n\nIt is deep. \u2026"
    assert keeping(parts, [0]) == "# Ports\n\u2026\nIt is deep. \u2026"
    assert keeping(parts, [3]) == "\u2026 It is cold. \u2026"
    assert not parts[4].alone


def test_tildes_below_a_title_are_no_fence() -> None:
    text = "First title\n~~~~~~~~~~~\n\nA sentence. Another.\n\nSecond\n~~~~~~\n\nA third.\n"
    assert texts(text) == [
        "First title\n~~~~~~~~~~~",
        "A sentence.",
        "Another.",
        "Second\n~~~~~~",
        "A third.",
    ]


def test_a_prompt_is_kept_with_its_output() -> None:
    steps = "".join(f">>> total({n})\n... # more\nthe total of it is {n * 7}\n" for n in range(20))
    steps = steps.replace(">>> total(12)", ">>> # the next\n>>> total(12)")
    assert with_words(f"```pycon\n{steps}```\n", "is 84") == (
        f"```pycon\n>>> # the next\n>>> total(12)\n... # more\nthe total of it is 84\n```{MARK}"
    )
    assert with_words(f"```pycon\n{steps}```\n", "is 77") == (
        f"```pycon\n>>> total(11)\n... # more\nthe total of it is 77\n```{MARK}"
    )
    shell = "".join(f"$ run --level {n}\nran at {n * 7}\n" for n in range(40))
    assert with_words(shell, "at 77") == f"\u2026\n\n$ run --level 11\nran at 77{MARK}"


def test_a_literal_block_is_kept_with_the_line_that_introduces_it() -> None:
    block = "    def f(x):\n        return x\n\n    f(1)\n"
    for introduction in ("Call it so::", "Call it so:", ".. code-block:: python"):
        kept = with_words(f"First this.\n\n{introduction}\n\n{block}\nThen that.\n", "f(1)")
        assert re.fullmatch(
            r"\u2026\s" + re.escape(f"{introduction}\n\n{block.rstrip()}{MARK}"), kept
        )


# --- JSON ----------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8)
    ),
    max_leaves=20,
)
containers = st.lists(values, min_size=3) | st.dictionaries(st.text(max_size=8), values, min_size=3)
layouts = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def is_within(kept: Any, whole: Any) -> bool:
    """Return whether a value is another with fewer members, in their order."""
    if isinstance(kept, dict) and isinstance(whole, dict):
        return all(key in whole and is_within(own, whole[key]) for key, own in kept.items())
    if isinstance(kept, list) and isinstance(whole, list):
        rest = iter(whole)
        return all(any(is_within(own, other) for other in rest) for own in kept)
    return type(kept) is type(whole) and bool(kept == whole)


@given(subsets(st.builds(lambda value, layout: json.dumps(value, **layout), containers, layouts)))
def test_what_is_kept_of_json_is_valid_and_equal(drawn: tuple[str, str, int]) -> None:
    text, kept, _ = drawn
    assert is_within(json.loads(kept.removesuffix(MARK)), json.loads(text))


RECORDS = [
    {"id": n, "name": f"n{n}", "tags": ["x"] * 9, "note": "and so on " * 9} for n in range(9)
]


def test_a_record_is_kept_within_its_containers() -> None:
    text = json.dumps({"v": 1, "all": {"records": RECORDS}}, indent=2)
    kept = with_words(f"It answers:\n\n{text}\n\nEnd.\n", '"n7"')
    assert kept.startswith("It answers:\n\n{")
    assert kept.endswith(MARK)
    value = json.loads(kept.removeprefix("It answers:").removesuffix(MARK))
    assert value == {"all": {"records": [RECORDS[7]]}}


def test_json_in_a_fence_and_json_lines_are_kept_by_their_members() -> None:
    fenced = with_words(f"```json\n{json.dumps(RECORDS, indent=1)}\n```\n", '"n3"')
    assert json.loads(fenced.removeprefix("```json").removesuffix(f"```{MARK}")) == [RECORDS[3]]
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    kept = with_words(lines, '"n2"', '"n6"').removeprefix("\u2026").removesuffix(MARK).strip()
    assert [json.loads(line) for line in kept.split("\n")] == [RECORDS[2], RECORDS[6]]


def test_an_object_with_a_key_twice_is_not_opened() -> None:
    text = "{" + ", ".join(f'"same": {[n] * 30}' for n in range(9)) + "}"
    assert texts(text) == [text]


def test_a_dictionary_in_code_is_no_json() -> None:
    text = 'config = {"a": [1, 2, 3], "b": "' + "x" * 500 + '"}\n'
    assert texts(text) == [text.rstrip()]


# --- tables --------------------------------------------------------------------------------------

cells = st.text("abc xyz019.-", min_size=1, max_size=9).map(lambda text: f"c{text}".strip())
grids = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=3, max_size=9)
)


def piped(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


@given(subsets(grids.map(lambda rows: f"Above.\n\n{piped(rows)}\nBelow.\n")))
def test_rows_are_kept_below_their_header(drawn: tuple[str, str, int]) -> None:
    text, kept, _ = drawn
    table = [line for line in text.split("\n") if line.startswith("|")]
    rows = [line for line in kept.split("\n") if line.startswith("|")]
    assert rows == [] or rows[:2] == table[:2]
    rest = iter(table)
    assert all(row in rest for row in rows)
    if rows and len(rows) < len(table):
        assert re.search(r"\|\n\n\u2026", kept)


@given(
    subsets(
        grids.filter(lambda rows: len(rows) > 3).map(
            lambda rows: "".join(",".join([*row, '"a, b"', '"two\nlines"']) + "\n" for row in rows)
        )
    )
)
def test_rows_of_csv_are_kept_whole(drawn: tuple[str, str, int]) -> None:
    text, kept, _ = drawn
    whole = list(csv.reader(text.splitlines(keepends=True)))
    rows = list(csv.reader(kept.removesuffix(MARK).splitlines(keepends=True)))
    assert rows[0] == whole[0]
    rest = iter(whole)
    assert all(row in rest for row in rows)


GRID = """\
+------+-------+
| port | depth |
+======+=======+
| Neth | 12    |
|      | metres|
+------+-------+
| Carr | 7     |
+------+-------+
"""
SIMPLE = """\
======  =====
port    depth
======  =====
Neth    12
        metres
Carr    7
======  =====
"""
PRINTED = """\
 port | depth
------+-------
 Neth |    12
 Carr |     7
"""
COLUMNS = """\
NAME     READY   AGE
neth     1/1     12d
carr     0/1     7d
"""
TABS = "port\tdepth\nNeth\t12\nCarr\t7\n"
HTML = """\
<table class="x">
<tr><th>port</th><th>depth</th></tr>
<tr><td>Neth</td><td>12</td></tr>
<tr><td>Carr</td><td>7</td></tr>
</table>
"""


@pytest.mark.parametrize(
    ("table", "word", "left_out"),
    [
        (GRID, "Carr", (3, 6)),
        (GRID, "Neth", (6, 8)),
        (SIMPLE, "Carr", (3, 5)),
        (SIMPLE, "Neth", (5, 6)),
        (PRINTED, "Carr", (2, 3)),
        (COLUMNS, "carr", (1, 2)),
        (TABS, "Carr", (1, 2)),
        (HTML, "Carr", (2, 3)),
    ],
)
def test_a_row_of_every_kind_of_table_is_kept_with_its_header(
    table: str, word: str, left_out: tuple[int, int]
) -> None:
    lines = table.splitlines(keepends=True)
    expected = "".join(lines[: left_out[0]] + lines[left_out[1] :]).rstrip()
    kept = with_words(f"Some text before it.\n\n{table}\nSome text behind it.\n", word)
    assert kept == f"\u2026\n\n{expected}{MARK}"


def test_a_list_with_commas_is_no_table() -> None:
    text = "Neth, Carrow, and Elm\nred, green, and blue\none, two, and three\n"
    assert all(each.style != "block" for each in split(text))


# --- YAML, TOML, INI -----------------------------------------------------------------------------

YAML = """\
# what runs
services:
  web:
    image: harbour/web:12
    command: [run, --port, "80"]
    environment:
    - NAME=web
    - LEVEL=info
    - REGION=north-of-the-river
    - OWNER=the-harbour-office
  store:
    image: harbour/store:7
    script: |
      first: line
      second: line
  queue:
    # not the newest
    image: harbour/queue:3
    ports: [
      "8080",
      "9090",
    ]
volumes:
  data: {}
version: 3
"""


@given(subsets(st.just(YAML)))
def test_what_is_kept_of_yaml_is_valid_and_equal(drawn: tuple[str, str, int]) -> None:
    text, kept, count = drawn
    assert count > 5
    loaded = yaml.safe_load(kept.removeprefix("\u2026\n\n").removesuffix(MARK) + "\n")
    assert loaded
    assert is_within(loaded, yaml.safe_load(text))


def test_an_entry_is_kept_with_its_section() -> None:
    section = "".join(f"key_{n} = {n}\n" for n in range(30))
    kept = with_words(f"[first]\n{section}\n[second]\n{section.replace('key', 'word')}", "word_7 ")
    assert kept == f"\u2026\n\n[second]\nword_7 = 7{MARK}"


# --- everything ----------------------------------------------------------------------------------

alphabet = st.sampled_from(
    [
        "a",
        "B. ",
        "\n",
        "\n\n",
        "  ",
        "\t",
        "|",
        "---",
        "|--|\n",
        "```",
        "~~~",
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        ":",
        ",",
        "+--+\n",
        "== ==\n",
        "<table>",
        "</table>",
        "<tr>",
        "- ",
        "# ",
        ">>> ",
        "$ ",
        "\\",
        "\u2026",
        "\u3002",
    ]
)


@given(st.lists(alphabet, max_size=80).map("".join), st.integers(1, 2_000))
def test_the_parts_join_back_to_any_text(text: str, max_tokens: int) -> None:
    parts = split_parts(text, max_tokens)
    assert "".join(each.text + each.tail for each in parts) == text
    for at, each in enumerate(parts):
        assert all(0 <= place < len(parts) and place != at for place in each.needs)
        assert each.text.strip() or not text.strip()
    assert joined(parts, range(len(parts))) == text


@pytest.mark.parametrize(
    "unit",
    [
        "{",
        '["',
        '{"":',
        "```a\n",
        "```\n~~~\n",
        "|-|\n",
        "+-\n|\n",
        "== ==\nx\n",
        "<table",
        "<tr>",
        '"\\',
        "a: |\n",
        "@x\n",
    ],
)
def test_hostile_text_is_split_too(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    assert "".join(each.text + each.tail for each in split_parts(text, 100)) == text
