"""A corpus of real texts for the lossless passes, from files of this machine.

`build` draws texts of each kind from the project's own files, the standard library and the
installed packages. The same seed and the same packages give the same texts, on any machine.

    library.py    the files, and how a part of one is taken
    code.py       Python, diffs, shell, C, web pages; listings with line numbers, search results
    data.py       JSON, JSON lines, YAML, TOML, CSV, TSV, INI
    shown.py      what programs print: transcripts, trees, tables, logs
    writing.py    Markdown, reStructuredText, prompts, prose, and prose around other texts
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from prompts.corpus import code, data, shown, writing
from prompts.corpus.library import Found, Library

__all__ = ["COUNTS", "Library", "Text", "build"]

Maker: TypeAlias = Callable[[Library, random.Random], Iterator[Found]]

COUNTS: dict[str, tuple[int, Maker]] = {
    "python": (240, code.python),
    "diff": (200, code.diffs),
    "shell": (60, code.shell),
    "c": (80, code.c),
    "web": (80, code.web),
    "numbered": (100, code.numbered),
    "search": (100, code.search_results),
    "json": (180, data.json_texts),
    "jsonl": (120, data.json_lines),
    "yaml": (120, data.yaml_texts),
    "toml": (80, data.toml_texts),
    "csv": (100, data.csv_texts),
    "tsv": (60, data.tsv_texts),
    "ini": (60, data.ini_texts),
    "transcript": (100, shown.transcripts),
    "tree": (80, shown.trees),
    "table": (100, shown.tables),
    "log": (100, shown.logs),
    "markdown": (200, writing.markdown),
    "rst": (100, writing.rst),
    "prompt": (120, writing.prompts),
    "prose": (120, writing.prose),
    "mixed": (120, writing.mixed),
}
"""The kinds, how many texts of each, and what finds them."""

_TRIES = 20
"""Drawn texts for each wanted one, before a kind counts as used up (many are drawn twice)."""
_SHORTEST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text of the corpus, its kind and the file that it comes from."""

    kind: str
    source: str
    text: str


def build(library: Library, *, seed: int = 1, share: float = 1.0) -> list[Text]:
    """Return different texts of every kind; `share` scales how many (0.1 for a tenth)."""
    texts: list[Text] = []
    for kind, (count, maker) in COUNTS.items():
        texts += _of_kind(kind, maker, library, random.Random(f"{seed} {kind}"), count * share)
    return texts


def _of_kind(
    kind: str, maker: Maker, library: Library, rng: random.Random, wanted: float
) -> list[Text]:
    texts: dict[str, Text] = {}
    for tried, found in enumerate(maker(library, rng)):
        if len(found.text) >= _SHORTEST and found.text.strip():
            texts.setdefault(found.text, Text(kind=kind, source=found.source, text=found.text))
        if len(texts) >= wanted or tried >= _TRIES * wanted:
            break
    return list(texts.values())
