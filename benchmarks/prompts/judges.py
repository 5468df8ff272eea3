"""Whether a text still means the same, judged by a parser where the kind has one.

A reader turns a text into a value; two texts mean the same if their values are equal. What has no
parser, and what the parser cannot read before the change, must be the same byte for byte. The
readers keep more than an interpreter would: comments, the order of keys, numbers as written.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import json
import re
import tokenize
import tomllib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from llm_optimizers.prompts.lossless import from_table

__all__ = ["READERS", "is_readable", "is_table_of", "kind_of_output", "read_json", "same_meaning"]

Reader: TypeAlias = Callable[[str], object]

_UNREADABLE = (
    ValueError,  # json, tomllib, and null bytes in Python
    SyntaxError,
    RecursionError,
    tokenize.TokenError,
    yaml.YAMLError,
)
_JSON_BLANKS = " \t\r\n"
_DELIMITERS = ",;\t|"
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@.*")
_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def same_meaning(kind: str, before: str, after: str) -> bool:
    """Return whether a text of a kind means the same after a change."""
    if before == after:
        return True
    value = _value(kind, before)
    return value is not None and _value(kind, after) == value


def is_readable(kind: str, text: str) -> bool:
    """Return whether the kind has a parser and it can read the text."""
    return _value(kind, text) is not None


def is_table_of(text: str, table: str) -> bool:
    """Return whether the decoder of tables gives the value of a JSON text back.

    The blanks around the text must be those around the table.
    """
    start = text[: len(text) - len(text.lstrip(_JSON_BLANKS))]
    end = text[len(text.rstrip(_JSON_BLANKS)) :]
    if not table.startswith(start) or not table.endswith(end):
        return False
    try:
        read = from_table(table[len(start) : len(table) - len(end)])
        return repr(read) == repr(json.loads(text))
    except _UNREADABLE:
        return False


def kind_of_output(text: str) -> str:
    """Return `json` or `jsonl` for a text that is such data, else `text`, judged by its bytes."""
    return next((kind for kind in ("json", "jsonl") if is_readable(kind, text)), "text")


def _value(kind: str, text: str) -> tuple[object] | None:
    """Return what a text means, None if that cannot be read."""
    reader = READERS.get(kind)
    if reader is None:
        return None
    try:
        return (reader(text),)
    except _UNREADABLE:
        return None


def read_python(text: str) -> object:
    """Return the syntax tree without positions, and the comments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as an escape that is no escape
        tree = ast.dump(ast.parse(text))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return tree, [token.string.rstrip() for token in tokens if token.type == tokenize.COMMENT]


def read_json(text: str) -> Any:
    """Return the value with objects as pairs in their order, and numbers as they are written."""
    return json.loads(
        text,
        object_pairs_hook=lambda pairs: ("object", pairs),
        parse_int=_number,
        parse_float=_number,
        parse_constant=_number,
    )


def read_json_lines(text: str) -> object:
    """Return the value of each line; blank lines count for nothing.

    Raises:
        ValueError: fewer than two lines, or one that is no object or array.
    """
    rows = [read_json(line) for line in re.split(r"\r?\n", text) if line.strip(" \t\r\n")]
    if len(rows) < 2 or not all(map(_is_container, rows)):
        raise ValueError("not JSON lines")
    return rows


def read_yaml(text: str) -> object:
    """Return the nodes with their tags, and the comments.

    Raises:
        ValueError: only one plain value: any prose is that.
    """
    nodes = [_node(node) for node in yaml.compose_all(text, Loader=yaml.SafeLoader)]
    if all(node is None or node[1] == "scalar" for node in nodes):
        raise ValueError("no mapping and no sequence")
    return nodes, list(_yaml_comments(text))


def read_toml(text: str) -> object:
    """Return the values, with the order of keys; lines that hold a # count as they are written."""
    value = tomllib.loads(text, parse_float=_number)
    return _ordered(value), [line.rstrip("\r") for line in text.split("\n") if "#" in line]


def read_csv(text: str) -> object:
    """Return the delimiter and the rows: that which gives all rows the same number of fields.

    Raises:
        ValueError: no delimiter does.
    """
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        with contextlib.suppress(csv.Error):
            rows = list(reader)
            lengths = {len(row) for row in rows}
            if len(rows) > 1 and len(lengths) == 1 and lengths != {1}:
                return delimiter, rows
    raise ValueError("no table")


def read_diff(text: str) -> object:
    """Return files and hunks of a unified diff, with every line as it is.

    Raises:
        ValueError: a hunk is cut off, or there is none.
    """
    lines = iter(text.split("\n"))
    parts: list[object] = []
    for line in lines:
        hunk = _HUNK.fullmatch(line)
        parts.append((line, list(_hunk(hunk, lines))) if hunk else line)
    if all(isinstance(part, str) for part in parts):
        raise ValueError("no hunk")
    return parts


def read_markdown(text: str) -> object:
    """Return the tokens without their positions, and the definitions of links."""
    env: dict[str, Any] = {}
    return [_token(token) for token in _MARKDOWN.parse(text, env)], env.get("references")


def _is_container(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, tuple) and value[0] == "object")


def _number(written: str) -> tuple[str, str]:
    return ("number", written)


def _node(node: yaml.Node | None) -> tuple[object, ...] | None:
    if isinstance(node, yaml.MappingNode):
        return node.tag, "mapping", [(_node(key), _node(value)) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return node.tag, "sequence", [_node(item) for item in node.value]
    return None if node is None else (node.tag, "scalar", node.value)


def _yaml_comments(text: str) -> Iterator[str]:
    """Yield the comments: what stands between tokens from a # on."""
    end = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        between = text[end : token.start_mark.index]
        yield from (line.partition("#")[2].rstrip() for line in between.split("\n") if "#" in line)
        end = token.end_mark.index


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return [(key, _ordered(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return ["list", *map(_ordered, value)]
    return type(value).__name__, value


def _hunk(header: re.Match[str], lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines of a hunk, as many as its header says."""
    old, new = (int(count or 1) for count in header.groups())
    while old > 0 or new > 0:
        line = next(lines, None)
        if line is None or line[:1] not in ("+", "-", " ", "\\"):
            raise ValueError("the hunk is cut off")
        old -= line[0] in " -"
        new -= line[0] in " +"
        yield line


def _token(token: Token) -> tuple[object, ...]:
    children = None if token.children is None else [_token(child) for child in token.children]
    seen = token.type, token.tag, token.attrs, token.content, token.info, token.hidden
    return *seen, children


READERS: dict[str, Reader] = {
    "python": read_python,
    "json": read_json,
    "jsonl": read_json_lines,
    "yaml": read_yaml,
    "toml": read_toml,
    "csv": read_csv,
    "tsv": read_csv,
    "diff": read_diff,
    "markdown": read_markdown,
}
