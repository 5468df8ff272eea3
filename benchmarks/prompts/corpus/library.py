"""The files that the corpus is made of, in an order that is the same on every machine."""

from __future__ import annotations

import ast
import os
import random
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = [
    "PROJECT",
    "Found",
    "Library",
    "doc_strings",
    "entries",
    "functions",
    "lines_of",
    "part",
    "read",
]

PROJECT = Path(__file__).parents[3]
_LARGEST_FILE = 300_000
"""Bytes; larger files are tables of data, all alike."""
_WHOLE, _LARGE = 4_000, 60_000
"""Characters up to which a text is taken whole; a few are taken up to the second."""
_SKIPPED = {"__pycache__", "site-packages", "test", "tests", "node_modules", "build", "dist"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A text, and the file that it was made from."""

    source: str
    text: str


@dataclass(frozen=True)
class Library:
    """The text files below some folders; hidden folders and tests are left out."""

    roots: Sequence[Path]

    @classmethod
    def installed(cls) -> Library:
        """The project, the standard library and the installed packages."""
        purelib = Path(sysconfig.get_path("purelib"))
        return cls((PROJECT, Path(sysconfig.get_path("stdlib")), purelib))

    @classmethod
    def standard(cls) -> Library:
        """The project and the standard library: the same with any version of the packages."""
        return cls((PROJECT, Path(sysconfig.get_path("stdlib"))))

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """The files by suffix; those without one stand under their name."""
        found: dict[str, list[Path]] = {}
        for root in self.roots:
            for folder, folders, names in os.walk(root):
                folders[:] = sorted(f for f in folders if not _skipped(f))
                for name in sorted(names):
                    path = Path(folder, name)
                    found.setdefault(path.suffix or name, []).append(path)
        return found

    def files(self, *suffixes: str) -> list[Path]:
        """The files with one of the suffixes, or of that name when they have none."""
        return [path for suffix in suffixes for path in self._files.get(suffix, ())]

    def folders(self) -> list[Path]:
        """The folders with Python files."""
        return list(dict.fromkeys(path.parent for path in self.files(".py")))

    def draw(self, rng: random.Random, *suffixes: str) -> Iterator[tuple[str, str]]:
        """Yield name and text of a random file again and again; nothing if there is none."""
        paths = self.files(*suffixes)
        while paths:
            path = rng.choice(paths)
            text = read(path)
            if text is not None:
                yield self.name(path), text
            else:
                paths.remove(path)

    def name(self, path: Path) -> str:
        """The path from its root on, which is the same on every machine."""
        root = next(root for root in self.roots[::-1] if path.is_relative_to(root))
        return path.relative_to(root).as_posix()


def read(path: Path) -> str | None:
    """Return a file's text with its line ends, None if it is too large or not UTF-8."""
    try:
        if not 0 < path.stat().st_size <= _LARGEST_FILE:
            return None
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, without what tools of this machine keep there."""
    return sorted(p for p in folder.iterdir() if p.name[0] != "." and p.name != "__pycache__")


def part(text: str, rng: random.Random, size: int = _WHOLE) -> str:
    """Return the text, or if it is long usually some lines of it; seldom a large part."""
    if rng.random() < 0.03:
        size = _LARGE
    if len(text) <= size:
        return text
    lines = text.splitlines(keepends=True)
    start = rng.randrange(len(lines))
    return lines_of(lines[start:], size)


def lines_of(lines: Sequence[str], size: int) -> str:
    """Return the first lines, up to a number of characters."""
    taken: list[str] = []
    length = 0
    for line in lines:
        length += len(line)
        if length > size:
            break
        taken.append(line)
    return "".join(taken)


def functions(source: str) -> list[str]:
    """Return the functions and classes of a module as they are written, indented as there."""
    tree = _tree(source)
    lines = source.splitlines(keepends=True)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [
        "".join(lines[node.lineno - 1 : node.end_lineno])
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]


def doc_strings(source: str) -> list[str]:
    """Return the docstrings of a module, its classes and functions, as they are written."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(_tree(source)) if isinstance(node, kinds)]
    return [doc for node in nodes if (doc := ast.get_docstring(node, clean=False))]


def _tree(source: str) -> ast.Module:
    """Return the syntax tree, an empty one for a file that is no module (a template, say)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return ast.Module(body=[], type_ignores=[])


def _skipped(folder: str) -> bool:
    hidden = folder.startswith(".") and folder not in (".ci", ".github")
    return hidden or folder in _SKIPPED or folder.startswith("config-")
