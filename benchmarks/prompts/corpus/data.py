"""Texts that hold data: files as they are, and values of theirs in the usual layouts."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import yaml

from prompts.corpus.library import Found, Library, doc_strings, entries, lines_of, part

__all__ = [
    "csv_texts",
    "ini_texts",
    "json_lines",
    "json_texts",
    "records",
    "toml_texts",
    "tsv_texts",
    "yaml_texts",
]

_SIZES = range(60, 6_000)
_LAYOUTS: tuple[dict[str, Any], ...] = (
    {"indent": 2},
    {"indent": 4},
    {"indent": "\t"},
    {"indent": 2, "ensure_ascii": False},
    {"indent": 1, "separators": (",", " : ")},
    {},
    {"separators": (",", ":")},
)
_FUNCTION = re.compile(r"^( *)(?:async )?def (\w+)\((.*?)[,)]", re.MULTILINE)


def json_texts(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield JSON files, and objects and arrays inside them, in different layouts."""
    for name, value in _values(library, rng):
        layout = rng.choice(_LAYOUTS)
        end = rng.choice(("", "", "\n", "\r\n"))
        text = json.dumps(value, **layout) + end
        yield Found(source=name, text=text.replace("\n", "\r\n") if end == "\r\n" else text)


def json_lines(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield records, one on a line, with and without blanks between the tokens."""
    for name, rows in records(library, rng):
        layout = rng.choice(({}, {"separators": (",", ":")}, {"ensure_ascii": False}))
        text = "\n".join(json.dumps(row, **layout) for row in rows)
        yield Found(source=name, text=text + rng.choice(("", "\n")))


def yaml_texts(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield YAML files and parts of them, and values of JSON files written as YAML."""
    files = library.draw(rng, ".yml", ".yaml")
    for name, value in _values(library, rng):
        if rng.random() < 0.25 and (drawn := next(files, None)):
            yield Found(source=drawn[0], text=part(drawn[1], rng))
            continue
        written = yaml.safe_dump(
            value,
            indent=rng.choice((2, 4)),
            width=rng.choice((60, 100)),
            allow_unicode=True,
            sort_keys=False,
            default_flow_style=rng.random() < 0.1,
            default_style=rng.choice((None, None, None, None, '"', "|")),
        )
        yield Found(source=name, text=written)


def toml_texts(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield the sections of TOML files, packages' own data, and records as tables."""
    files = library.draw(rng, ".toml")
    for name, rows in records(library, rng):
        drawn = next(files, None) if rng.random() < 0.5 else None
        if drawn is None:
            text = "".join(f"[[row]]\n{_toml_table(row)}\n" for row in rows)
            yield Found(source=name, text=text)
            continue
        sections = re.split(r"(?m)^(?=\[)", drawn[1])
        start = rng.randrange(len(sections))
        chosen = sections[start : start + rng.randrange(1, 6)]
        yield Found(source=drawn[0], text="".join(chosen))


def csv_texts(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield CSV files with some of their rows, records of packages, and records as CSV."""
    files = library.draw(rng, ".csv", "RECORD")
    for name, rows in records(library, rng):
        drawn = next(files, None) if rng.random() < 0.5 else None
        if drawn is not None:
            lines = [line for line in drawn[1].splitlines(keepends=True) if "../" not in line]
            start = rng.randrange(1, max(2, len(lines)))
            yield Found(source=drawn[0], text=lines_of(lines[:1] + lines[start:], 3_000))
            continue
        delimiter, quoting = rng.choice(((",", 0), (",", 1), (";", 0), (",", 2)))
        yield Found(source=name, text=_csv(rows, delimiter, quoting, rng.choice(("\n", "\r\n"))))


def tsv_texts(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield records with a tab between their fields."""
    for name, rows in records(library, rng):
        yield Found(source=name, text=_csv(rows, "\t", 0, rng.choice(("\n", "\r\n"))))


def ini_texts(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield INI files, entry points, and the fields at the top of packages' METADATA."""
    for name, text in library.draw(rng, ".cfg", ".ini", ".txt", "METADATA", "WHEEL"):
        if name.endswith("METADATA"):
            yield Found(source=name, text=text.split("\n\n", 1)[0] + "\n")
        elif not name.endswith(".txt") or name.endswith("entry_points.txt"):
            yield Found(source=name, text=part(text, rng))


def records(library: Library, rng: random.Random) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield lists of flat records: the functions of a module, the files of a folder."""
    folders = library.folders()
    for name, text in library.draw(rng, ".py"):
        if rng.random() < 0.3:
            paths = [p for p in entries(rng.choice(folders)) if p.is_file()]
            rows = [
                {"file": library.name(p), "bytes": p.stat().st_size, "type": p.suffix or None}
                for p in paths
            ]
        else:
            rows = [
                {
                    "name": match[2],
                    "line": text.count("\n", 0, match.start()) + 1,
                    "first argument": match[3].strip(),
                    "method": bool(match[1]),
                    "doc": "",
                }
                for match in _FUNCTION.finditer(text)
            ]
            for row, doc in zip(rows, chain(doc_strings(text), repeat("")), strict=False):
                row["doc"] = doc.strip()[:160]
        start = rng.randrange(max(1, len(rows) - 3))
        rows = rows[start : start + rng.randrange(2, 25)]
        if len(rows) > 1:
            yield name, rows


def _values(library: Library, rng: random.Random) -> Iterator[tuple[str, Any]]:
    """Yield objects and arrays of JSON files, and lists of records."""
    rows = records(library, rng)
    files = library.draw(rng, ".json", ".ipynb", ".jsonl")
    while True:
        drawn = next(files, None) if rng.random() < 0.65 else None
        if drawn is None:
            yield next(rows)
            continue
        name, text = drawn
        value = _parsed(text.split("\n", 1)[0] if name.endswith(".jsonl") else text)
        inside = [v for v in _containers(value) if len(json.dumps(v)) in _SIZES]
        if inside:
            yield name, rng.choice(inside)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # A file of another format under this name.
        return None


def _containers(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            yield value
            waiting += value.values() if isinstance(value, dict) else value


def _csv(rows: list[dict[str, Any]], delimiter: str, quoting: int, end: str) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(
        file, list(rows[0]), delimiter=delimiter, quoting=quoting, lineterminator=end
    )
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _toml_table(row: dict[str, Any]) -> str:
    """Return a record as the lines of a TOML table; what is None is left out."""
    lines = [
        f"{_toml_key(key)} = {_toml(value)}" for key, value in row.items() if value is not None
    ]
    return "\n".join(lines) + "\n"


def _toml_key(key: str) -> str:
    return key if key.isidentifier() else json.dumps(key)


def _toml(value: Any) -> str:
    """Return a value as TOML; a string of several lines stands between triple quotes."""
    if isinstance(value, str) and "\n" in value and "\\" not in value and '"' not in value:
        return f'"""\n{value}"""' if value.isprintable() or value.isascii() else json.dumps(value)
    return json.dumps(value)
