"""Texts of source code, and code as other tools show it: diffs, line numbers, search results."""

from __future__ import annotations

import difflib
import pydoc
import random
import re
import textwrap
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from prompts.corpus.library import Found, Library, functions, part, read

__all__ = ["c", "diffs", "numbered", "python", "search_results", "shell", "web"]

_NAME = re.compile(r"\b[a-z][a-z_]{3,}\b")
_FENCE = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_DIRECTIVE = re.compile(
    r"^\.\. code(?:-block)?:: (?:sh|bash|shell|console)\n\n((?:[ \t]+.*\n|\n)+)", re.MULTILINE
)
_OF_THIS_MACHINE = re.compile(r" at 0x[0-9a-f]+|file:[^\"<>]*/")
_DOCUMENTED = (
    "abc argparse bisect calendar cmd colorsys configparser contextlib copy csv dataclasses "
    "difflib enum fnmatch fractions functools glob graphlib gzip heapq html json keyword "
    "linecache operator pprint queue random reprlib sched shlex shutil statistics string textwrap "
    "timeit tokenize types uuid wave zipfile"
)
_WORDS = "return def class import raise if for not None self the data value error"


def python(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield whole modules, parts of modules, and functions with or without their indentation."""
    for name, text in library.draw(rng, ".py"):
        choice = rng.random()
        found = functions(text) if choice < 0.6 else []
        if found:
            code = part(rng.choice(found), rng, 6_000)
            yield Found(source=name, text=textwrap.dedent(code) if choice < 0.35 else code)
        elif choice > 0.6:
            yield Found(source=name, text=text if len(text) < 8_000 else part(text, rng))


def diffs(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield diffs between two functions of a module, and between a file and an edited copy."""
    for name, text in library.draw(rng, ".py", ".md", ".rst", ".yml", ".c", ".h", ".toml"):
        found = functions(text) if name.endswith(".py") and rng.random() < 0.3 else []
        if len(found) > 1:
            before, after = rng.sample(found, 2)
        else:
            before = part(text, rng, 8_000)
            after = _edited(before, rng)
        write = rng.choice((difflib.unified_diff, difflib.unified_diff, difflib.context_diff))
        a, b = before.splitlines(), after.splitlines()
        lines = list(write(a, b, f"a/{name}", f"b/{name}", lineterm="", n=rng.choice((1, 3))))
        if lines:
            yield Found(source=name, text=part("\n".join(lines) + "\n", rng, 6_000))


def shell(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield shell scripts and parts of them, and the commands of documentation pages."""
    names = (".sh", ".bash", "activate", "run", "Makefile")
    scripts = library.draw(rng, *names)
    pages = library.draw(rng, ".md", ".rst", "METADATA")
    while True:
        drawn = next(scripts if rng.random() < 0.5 else pages, None)
        if drawn is None:
            return
        name, text = drawn
        if Path(name).suffix in (".md", ".rst") or Path(name).name == "METADATA":
            blocks = [*_FENCE.findall(text), *_DIRECTIVE.findall(text)]
            yield Found(source=name, text="\n".join(blocks))
        else:
            yield Found(source=name, text=part(text, rng, 2_000))


def c(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield headers and sources in C, whole or in parts."""
    for name, text in library.draw(rng, ".h", ".c"):
        yield Found(source=name, text=part(text, rng))


def web(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield HTML, CSS and JavaScript, and the pages that pydoc writes about modules."""
    files = library.draw(rng, ".html", ".css", ".js", ".xml", ".tcss", ".scss")
    while True:
        drawn = next(files, None) if rng.random() < 0.5 else None
        if drawn is None:
            module = rng.choice(_DOCUMENTED.split())
            drawn = module, _page(module)
        yield Found(source=drawn[0], text=part(drawn[1], rng))


def numbered(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield files as `cat -n`, `nl` and editors number them."""
    for name, text in library.draw(rng, ".py", ".md", ".yml", ".c", ".h", ".rst", ".json"):
        lines = part(text, rng).splitlines()
        first = rng.choice((1, 1, rng.randrange(2, 900)))
        style = rng.choice(("{:6}\t{}", "{:6}\t{}", "{:>4} | {}", "{}: {}", "{:4d}  {}", "L{}:{}"))
        shown = "\n".join(style.format(n, line) for n, line in enumerate(lines, first))
        framed = f"<output>\n{shown}\n</output>" if rng.random() < 0.3 else shown + "\n"
        yield Found(source=name, text=framed)


def search_results(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield what `grep -n` prints for one file or several, with or without lines around."""
    folders = library.folders()
    while folders:
        files = [p for p in sorted(rng.choice(folders).iterdir()) if p.suffix in (".py", ".md")]
        word = rng.choice(_WORDS.split())
        around = rng.choice((0, 0, 0, 1, 2))
        named = rng.random() < 0.8
        chosen = rng.sample(files, min(len(files), rng.randrange(1, 6) if named else 1))
        blocks: list[str] = []
        for path in chosen:
            name = library.name(path) if named else ""
            blocks += _matches(name, (read(path) or "").splitlines(), word, around)
        if blocks:
            text = ("\n--\n" if around else "\n").join(blocks[:40]) + "\n"
            yield Found(source=library.name(chosen[0]), text=part(text, rng))


def _page(module: str) -> str:
    """Return pydoc's page without the folders and addresses of this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydoc looks at every attribute, deprecated ones too
        page = pydoc.html.docmodule(import_module(module))
    return _OF_THIS_MACHINE.sub("", page)


def _matches(name: str, lines: list[str], word: str, around: int) -> list[str]:
    """Return the matching lines as grep prints them, each with the lines around it."""
    found: list[str] = []
    for at, line in enumerate(lines):
        if word in line:
            near = range(max(0, at - around), min(len(lines), at + around + 1))
            found.append(
                "\n".join(_match(name, n, lines[n], ":" if n == at else "-") for n in near)
            )
    return found


def _match(name: str, at: int, line: str, mark: str) -> str:
    return f"{name}{mark if name else ''}{at + 1}{mark}{line}"


def _edited(text: str, rng: random.Random) -> str:
    """Return the text after a few edits: lines indented, removed, moved, a name changed."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.randrange(1, 5)):
        start = rng.randrange(len(lines)) if lines else 0
        end = start + rng.randrange(1, 6)
        edit = rng.choice(("indent", "remove", "move", "rename"))
        if edit == "indent":
            lines[start:end] = [f"    {line}" for line in lines[start:end]]
        elif edit == "remove":
            del lines[start:end]
        elif edit == "move":
            moved = lines[start:end]
            del lines[start:end]
            lines[rng.randrange(len(lines) + 1) : 0] = moved
        elif names := _NAME.findall("".join(lines)):
            old = rng.choice(names)
            lines = [re.sub(rf"\b{old}\b", f"{old}_of_row", line) for line in lines]
    return "".join(lines)
