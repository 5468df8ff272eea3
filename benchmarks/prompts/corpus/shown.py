"""Texts that programs print: interactive sessions, directory trees, tables in columns, logs."""

from __future__ import annotations

import dis
import io
import json
import logging
import random
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from prompts.corpus.data import records
from prompts.corpus.library import Found, Library, doc_strings, entries, part

__all__ = ["logs", "tables", "transcripts", "trees"]

_CONSOLE = re.compile(r"^```(?:console|pycon)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_RULED = re.compile(r"^[ \t]*[=+][=+ -]{8,}[=+]\n(?:[ \t]*\S.*\n)+", re.MULTILINE)
_PATH = re.compile(r"/(?:[^\s'\"/]+/)+(?=lib/|site-packages/)")
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_IMPORTED = ("json", "csv", "argparse", "email.message", "logging.config", "unittest", "asyncio")
_SHOWN = ("bisect", "colorsys", "fnmatch", "heapq", "json.decoder", "shlex", "string", "textwrap")
_FAILING: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("json", "loads", ('{"a": 1,}',)),
    ("fractions", "Fraction", ("one half",)),
    ("configparser", "RawConfigParser.read_string", ("not a parser",)),
    ("ast", "parse", ("def f(:\n    pass\n",)),
    ("statistics", "mean", ([],)),
    ("importlib", "import_module", ("no_such_module",)),
    ("shlex", "split", ("it's",)),
    ("uuid", "UUID", ("twelve",)),
    ("ipaddress", "ip_address", ("300.1.1.1",)),
    ("string", "Template.substitute", ("$name",)),
    ("pathlib", "Path.read_text", ("no-such-file",)),
    ("datetime", "date.fromisoformat", ("yesterday",)),
)
_TREES = (("├── ", "└── ", "│   ", "    "), ("|-- ", "`-- ", "|   ", "    "))


def transcripts(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield interactive sessions: docstrings that hold one, pages' console blocks, notebooks."""
    modules = library.draw(rng, ".py")
    pages = library.draw(rng, ".md", ".ipynb")
    while True:
        drawn = next(pages, None) if rng.random() < 0.3 else None
        name, text = drawn or next(modules)
        if name.endswith(".py"):
            found = [doc for doc in doc_strings(text) if ">>> " in doc] if ">>> " in text else []
        elif name.endswith(".md"):
            found = _CONSOLE.findall(text)
        else:
            found = [_session(json.loads(text))]
        yield Found(source=name, text=part(rng.choice(found or [""]), rng))


def trees(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield the files of a folder as `tree`, `ls -R` and `find` print them."""
    folders = library.folders()
    while folders:
        folder = rng.choice(folders)
        style = rng.choice(("tree", "tree", "indented", "flat"))
        if style == "tree":
            lines = [f"{folder.name}/", *_tree(folder, rng.choice(_TREES), 3)]
        elif style == "indented":
            lines = [f"{folder.name}/", *_tree(folder, (rng.choice(("  ", "\t")),) * 4, 3)]
        else:
            sizes = [(p.stat().st_size, library.name(p)) for p in entries(folder)]
            lines = [f"-rw-r--r--  1 root root {size:>9} {name}" for size, name in sizes]
        yield Found(source=library.name(folder), text=part("\n".join(lines) + "\n", rng))


def tables(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield tables in columns of blanks, with rules, as psql prints them, and bytecode."""
    pages = library.draw(rng, ".rst", ".py", "METADATA")
    for name, rows in records(library, rng):
        choice = rng.random()
        if choice < 0.15:
            module = rng.choice(_SHOWN)
            yield Found(source=module, text=part(_bytecode(module), rng))
        elif choice < 0.4 and (drawn := next(pages, None)):
            found = _RULED.findall(drawn[1]) if "==  =" in drawn[1] or "+--" in drawn[1] else []
            yield Found(source=drawn[0], text="\n".join(found))
        else:
            cells = [[str(v)[:30].split("\n")[0] for v in row.values()] for row in rows]
            yield Found(source=name, text=_columns([list(rows[0]), *cells], rng))


def logs(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield tracebacks, what `python -v` prints, and records of the logging module."""
    rows = records(library, rng)
    while True:
        choice = rng.random()
        if choice < 0.3:
            yield Found(source="traceback", text=_traceback(rng))
        elif choice < 0.6:
            module = rng.choice(_IMPORTED)
            yield Found(source=f"python -v, {module}", text=part(_verbose(module), rng, 3_000))
        else:
            name, found = next(rows)
            yield Found(source=name, text=_logged(found, rng))


def _session(notebook: dict[str, Any]) -> str:
    """Return a notebook as IPython would have printed it."""
    written: list[str] = []
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        source = "".join(cell["source"]).replace("\n", "\n   ...: ")
        written.append(f"In [{number}]: {source}\n")
        written += ["".join(output.get("text", "")) for output in cell["outputs"]]
    return "\n".join(written)


def _tree(folder: Path, marks: Sequence[str], depth: int) -> Iterator[str]:
    inner, last, bar, blank = marks
    inside = entries(folder)[:40]
    for entry in inside:
        end = entry == inside[-1]
        yield (last if end else inner) + entry.name + ("/" if entry.is_dir() else "")
        if entry.is_dir() and depth > 1:
            yield from ((blank if end else bar) + line for line in _tree(entry, marks, depth - 1))


def _columns(rows: list[list[str]], rng: random.Random) -> str:
    """Return rows in columns, as different programs align them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    between, rule = rng.choice((("  ", "-"), (" ", "-"), ("   ", ""), (" | ", "-"), ("\t", "=")))
    lines = [
        between.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    if rng.random() < 0.5:
        lines = [line.rstrip() for line in lines]
    if rule:
        lines.insert(1, between.replace("|", "+").join(rule * width for width in widths))
    return "\n".join(lines) + "\n"


def _bytecode(module: str) -> str:
    written = io.StringIO()
    source = Path(str(import_module(module).__file__)).read_text()
    dis.dis(compile(source, f"{module}.py", "exec"), file=written, depth=1)
    return _ADDRESS.sub("0x7f", written.getvalue())


def _traceback(rng: random.Random) -> str:
    """Return the tracebacks of one call or two that fail, with the machine's folders cut off."""
    written: list[str] = []
    for module, name, arguments in rng.sample(_FAILING, rng.choice((1, 1, 2, 3))):
        function: Callable[..., Any] = import_module(module)
        for part_of_name in name.split("."):
            function = getattr(function, part_of_name)
        try:
            function(*arguments)
        except Exception:
            written.append(_PATH.sub("/usr/", traceback.format_exc()))
    return _ADDRESS.sub("0x7f", "\n".join(written).replace(str(Path(__file__).parents[2]), "/app"))


@cache
def _verbose(module: str) -> str:
    command = [sys.executable, "-I", "-v", "-c", f"import {module}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return _ADDRESS.sub("0x7f", _PATH.sub("/usr/", printed))


def _logged(rows: list[dict[str, Any]], rng: random.Random) -> str:
    """Return the records as lines of a log, in one of the usual formats, at a fixed time."""
    form = rng.choice(
        (
            "%(asctime)s %(levelname)-8s %(name)s: %(message)s",
            "%(levelname)s:%(name)s:%(message)s",
            "[%(asctime)s] {%(name)s:%(lineno)d} %(levelname)s - %(message)s",
            "%(levelname)-8s  %(name)-20s  %(message)s",
        )
    )
    formatter = logging.Formatter(form)
    formatter.converter = lambda _: (2026, 3, 4, 5, 6, 7, 2, 63, 0)
    lines = []
    for number, row in enumerate(rows):
        level = rng.choice(("DEBUG", "INFO", "WARNING", "ERROR"))
        message = " ".join(f"{key}={value!r}" for key, value in row.items())
        record = logging.makeLogRecord(
            {"levelname": level, "name": "app.index", "msg": message, "lineno": number, "msecs": 8}
        )
        lines.append(formatter.format(record))
    return "\n".join(lines) + "\n"
