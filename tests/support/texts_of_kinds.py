"""Generated texts that a parser can read, of the kinds that prompts hold.

Each is valid and full of what a careless change would spoil: blanks that count, JSON inside
strings, fences, comments, tabs, unusual blanks, both line ends.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import yaml
from hypothesis import strategies as st

__all__ = ["KINDS", "UNIFORM_RECORDS"]

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

_PIECES = st.sampled_from(
    [
        '{"a":  1, "b": [ 2 ]}', "two  blanks", "a\tb", "end  ", "  start", "# no comment", "```",
        "a\u00a0b", "a\u200bb", "\u3000", "\u2028", "<!-- aside -->", "|", "=" * 12, "-" * 12,
        "</document>", "<context>", "``", "{{slot}}", "{name}", "Be brief. Be brief.", "\\", "\\n",
        "1.10", "007", "true", "null", "- item", "> said", "    code()", "", "*", "é", "中文。",
        "'", '"', '"""', "a, b", "a; b", "key: value", "[link](x)", "Question: why?", "\u00ad",
    ]
)  # fmt: skip
_WORDS = _PIECES | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8
)
_NAMES = st.sampled_from(["id", "name", "text", "value", "a b", "tags", "größe", "x"])
_NUMBERS = st.sampled_from(["0", "1", "-5", "1.10", "1e400", "-0", "0.0", "12345678901234567890"])
_BLANKS = st.sampled_from(["", "", " ", "  ", "\n", "\n  ", "\t", "\r\n"])
_INLINE_BLANKS = st.sampled_from(["", " ", "  ", "\t"])
_ENDS = st.sampled_from(["", "\n", "\n\n", "\r\n", " \n"])


@st.composite
def _json(
    draw: Draw,
    blanks: st.SearchStrategy[str] = _BLANKS,
    depth: int = 3,
    top: Sequence[str] = ("object", "array"),
) -> str:
    """Return an object or array as JSON, with all sorts of numbers and of blanks in between."""
    written: list[str] = []

    def value(level: int) -> None:
        kind = draw(st.sampled_from(["object", "array", "text", "number", "word"]))
        if level == depth:
            kind = draw(st.sampled_from(top))
        elif level == 0 and kind in ("object", "array"):
            kind = "text"
        if kind in ("object", "array"):
            container(kind, level)
        elif kind == "text":
            written.append(json.dumps(draw(_WORDS), ensure_ascii=draw(st.booleans())))
        else:
            written.append(draw(_NUMBERS if kind == "number" else st.sampled_from(_JSON_WORDS)))

    def container(kind: str, level: int) -> None:
        written.extend(["{" if kind == "object" else "[", draw(blanks)])
        for at in range(draw(st.integers(0, 4))):
            written.extend([",", draw(blanks)] if at else [])
            if kind == "object":
                key = json.dumps(draw(_NAMES | _WORDS))
                written.extend([key, draw(blanks), ":", draw(blanks)])
            value(level - 1)
            written.append(draw(blanks))
        written.append("}" if kind == "object" else "]")

    value(depth)
    return "".join(written)


_JSON_WORDS = ["true", "false", "null"]


@st.composite
def _json_lines(draw: Draw) -> str:
    top = draw(st.sampled_from([["object"], ["object"], ["object", "array"]]))
    rows = draw(st.lists(_json(_INLINE_BLANKS, 2, top), min_size=2, max_size=5))
    end: str = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(rows) + draw(st.sampled_from(["", end]))


@st.composite
def _python(draw: Draw) -> str:
    """Return a module of nested blocks, whose strings, comments and blank lines are tricky."""
    lines: list[str] = []
    step = draw(st.sampled_from([" ", "  ", "    ", "\t"]))

    def block(level: int) -> None:
        for _ in range(draw(st.integers(1, 3))):
            indent = step * level
            kind = draw(st.sampled_from(["assign", "string", "call", "nested", "comment", "blank"]))
            if kind == "nested" and level < 3:
                head = draw(st.sampled_from(["if ready:", "def f(x):", "for row in rows:"]))
                lines.append(indent + head)
                block(level + 1)
            elif kind == "string":
                lines.append(f"{indent}text = {_python_string(draw)}")
            elif kind == "comment":
                lines.append(f"{indent}# {draw(_WORDS)}")
            elif kind == "blank":
                lines.append(draw(st.sampled_from(["", indent, indent + "  "])))
            elif kind == "call":
                lines.extend([f"{indent}send(", f'{indent}        {{"id":  1}},  x)'])
            else:
                lines.append(f"{indent}a  =  [1,  2]{draw(st.sampled_from(['', '  ', '  # why']))}")
        lines.append(step * level + "pass")

    block(0)
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n\n\n"]))


def _python_string(draw: Draw) -> str:
    words = draw(_WORDS)
    if draw(st.booleans()):
        return repr(words)
    inside = "\n\n\n\n".join([words, draw(_WORDS)]).replace("\\", "/").replace('"', "'")
    return f'"""{inside}"""'


@st.composite
def _yaml(draw: Draw) -> str:
    """Return mappings written by hand, with comments and blocks of text, or dumped by a library."""
    if draw(st.booleans()):
        value = st.recursive(
            _WORDS | st.integers() | st.none() | st.booleans(),
            lambda inner: st.lists(inner, min_size=1) | st.dictionaries(_NAMES, inner, min_size=1),
            max_leaves=8,
        )
        styles = {"indent": draw(st.sampled_from([2, 4])), "width": 40, "allow_unicode": True}
        return str(yaml.safe_dump({"all": draw(value), "more": [draw(_WORDS)]}, **styles))
    dash = draw(st.sampled_from(["- ", "-   "]))
    lines = ["# our own  list", "steps:"]
    for at in range(draw(st.integers(1, 3))):
        lines.append(f"{dash}name:  {json.dumps(draw(_WORDS))}   # step {at}")
        indent = " " * len(dash)
        lines += [f"{indent}run: |", f"{indent}   a  b", "", "", "", f"{indent}     c\td"]
        lines.append(f"{indent}json: {draw(_json(st.just(' '), 1))}")
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@st.composite
def _toml(draw: Draw) -> str:
    lines = ["# a  comment", "[tool]"]
    for at in range(draw(st.integers(1, 5))):
        blank = draw(_INLINE_BLANKS)
        text = json.dumps(draw(_WORDS), ensure_ascii=False)
        literal = draw(_WORDS).replace("'", "")
        lines += draw(
            st.sampled_from(
                [
                    [f"k{at}{blank}={blank}{text}"],
                    [f"k{at} = '{literal}'  # why  not"],
                    [f'k{at} = """', "a  b  ", "", "", "", '{"c":  1}"""'],
                    [f"k{at} = [ 1,", "  2.50,", "]"],
                    ["", "", "", f"[table{at}]", f"when = 2026-01-02 03:04:0{at}"],
                ]
            )
        )
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@st.composite
def _csv(draw: Draw, delimiter: str = ",") -> str:
    width = draw(st.integers(2, 4))
    row = st.lists(_WORDS | _NUMBERS, min_size=width, max_size=width)
    file = io.StringIO(newline="")
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows(draw(st.lists(row, min_size=2, max_size=6)))
    return file.getvalue()


@st.composite
def _diff(draw: Draw) -> str:
    lines = st.lists(_WORDS | st.just(""), min_size=3, max_size=10)
    shared, before, after = draw(lines), draw(lines), draw(lines)
    compared = difflib.unified_diff(
        [*shared, *before, *shared], [*shared, *after, *shared], "a/x", "b/x", lineterm=""
    )
    return "\n".join(compared) + draw(st.sampled_from(["", "\n"]))


@st.composite
def _markdown(draw: Draw) -> str:
    words = draw(st.lists(_WORDS, min_size=4, max_size=4))
    blocks = [
        f"# {words[0]}", f"{words[0]}  \n{words[1]}", f"- {words[0]}\n    - {words[1]}",
        f"```\n{words[2]}\n\n\n\n  {words[3]}\n```", "    indented  code\n\n\n\n    more",
        "| a   | b  |\n|-----|:--:|\n| 1   | 2  |", f"<!-- {words[0]} -->", f"> {words[1]}\n> b",
        f"`a   b` {words[2]}", "1.  one\n\n\n2.  two", "[x]: /path  'title'", "[x] \\* &nbsp;",
        "Same words here. Same words here.", "=" * 20, "a\n-----------", "* * *", words[3],
    ]  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=6))
    return draw(st.sampled_from(["\n\n", "\n", "\n\n\n\n"])).join(chosen) + draw(_ENDS)


@st.composite
def _uniform_records(draw: Draw) -> str:
    """Return a JSON array of flat objects with the same keys in the same order."""
    keys: Sequence[str] = draw(st.lists(_NAMES, min_size=1, max_size=4, unique=True))
    cell = _NUMBERS | st.sampled_from(_JSON_WORDS) | _WORDS.map(json.dumps)
    rows = draw(st.lists(st.tuples(*[cell] * len(keys)), min_size=2, max_size=6))
    written = [
        ",  ".join(f"{json.dumps(key)}: {value}" for key, value in zip(keys, row, strict=True))
        for row in rows
    ]
    return "[" + ",\n  ".join(f"{{{record}}}" for record in written) + "]"


UNIFORM_RECORDS: st.SearchStrategy[str] = _uniform_records()
KINDS: dict[str, st.SearchStrategy[str]] = {
    "python": _python(),
    "json": st.builds(str.__add__, _json(), _ENDS) | UNIFORM_RECORDS,
    "jsonl": _json_lines(),
    "yaml": _yaml(),
    "toml": _toml(),
    "csv": _csv(),
    "tsv": _csv("\t"),
    "diff": _diff().filter(str.strip),
    "markdown": _markdown(),
}
"""Texts by kind, under the names of the judges."""
