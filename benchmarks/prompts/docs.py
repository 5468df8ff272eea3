"""The documentation of installed packages as chunks without titles, read where it is installed.

A package's documents are its description, its Markdown and reStructuredText files, and the
documentation strings of the files that sources.toml names. Nothing of them is stored here.
"""

from __future__ import annotations

import ast
import inspect
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path, PurePosixPath

from prompts.chunks import chunks

__all__ = ["Chunk", "corpus"]

SOURCES = Path(__file__).parent / "sources.toml"
DESCRIPTION = "METADATA"
SHORTEST = 500
"""Characters of the shortest document."""
_LICENCES = ("licen", "copying", "notice", "authors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a document: `path` is a file, or `file.py:Class.method` for documentation strings.

    The path of a package's own description is `METADATA`.
    """

    package: str
    path: str
    text: str


def corpus() -> list[Chunk]:
    """Return the chunks of all packages that are installed, each text once, in a fixed order."""
    seen: set[str] = set()
    found: list[Chunk] = []
    for package, patterns in tomllib.loads(SOURCES.read_text()).items():
        try:
            installed = distribution(package)
        except PackageNotFoundError:
            continue
        for path, document in documents(installed, patterns):
            for text in chunks(document):
                if text not in seen:
                    seen.add(text)
                    found.append(Chunk(package=package, path=path, text=text))
    return found


def documents(installed: Distribution, patterns: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each document of a package that is long enough."""
    described = installed.metadata.get_payload() or installed.metadata["Description"]
    pairs = [(DESCRIPTION, str(described or ""))]
    for path in sorted(map(PurePosixPath, installed.files or ())):
        if path.suffix in (".md", ".rst") and not _is_licence(path):
            pairs.append((str(path), _read(installed, path)))
        elif path.suffix == ".py" and _named(path, patterns):
            pairs += documentation(str(path), _read(installed, path))
    for name, text in pairs:
        text = text.replace("\r\n", "\n").strip("\n")
        if len(text) >= SHORTEST:
            yield name, text


def documentation(path: str, source: str) -> list[tuple[str, str]]:
    """Return the documentation of a file's classes and functions, each under its dotted name.

    It is the documentation string, then what stands below fields and in `Doc(...)` of parameters.
    """
    found: list[tuple[str, str]] = []

    def visit(node: ast.AST, name: str) -> None:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            parts = [ast.get_docstring(node) or "", *_below_fields(node), *_of_parameters(node)]
            found.append((f"{path}:{name}" if name else path, "\n\n".join(filter(None, parts))))
        for child in ast.iter_child_nodes(node):
            own = getattr(child, "name", "") if isinstance(child, _DEFINITIONS) else ""
            visit(child, ".".join(filter(None, (name, own))))

    visit(ast.parse(source), "")
    return found


_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _below_fields(node: ast.AST) -> Iterator[str]:
    body = getattr(node, "body", [])
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            text = below.value.value if isinstance(below.value, ast.Constant) else None
            if isinstance(text, str):
                yield f"{ast.unparse(field.target)}: {inspect.cleandoc(text)}"


def _of_parameters(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
        for call in ast.walk(parameter):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "Doc" and call.args:
                text = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
                if isinstance(text, str):
                    yield f"{parameter.arg}: {inspect.cleandoc(text)}"


def _named(path: PurePosixPath, patterns: list[str]) -> bool:
    return any(_matches(path.parts, tuple(pattern.split("/"))) for pattern in patterns)


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Return whether a path matches; `**` stands for any number of folders."""
    if not parts or not pattern:
        return not parts and not pattern
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return PurePosixPath(parts[0]).match(pattern[0]) and _matches(parts[1:], pattern[1:])


def _is_licence(path: PurePosixPath) -> bool:
    return any(word in part.lower() for part in path.parts for word in _LICENCES)


def _read(installed: Distribution, path: PurePosixPath) -> str:
    return Path(str(installed.locate_file(path))).read_text(encoding="utf-8")
