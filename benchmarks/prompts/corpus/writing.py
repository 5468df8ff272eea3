"""Texts that people write: documentation, prompts, licences, and questions about other texts."""

from __future__ import annotations

import ast
import random
import re
import warnings
from collections.abc import Iterator

from prompts.corpus import code, data, shown
from prompts.corpus.library import Found, Library, doc_strings, part

__all__ = ["markdown", "mixed", "prompts", "prose", "rst"]

_PROMPT_NAME = re.compile(r"PROMPT|TMPL|TEMPLATE|INSTRUCTION|SYSTEM", re.IGNORECASE)
_MARKDOWN_TYPE = re.compile(r"^Description-Content-Type: text/markdown", re.MULTILINE)
_RST_MARKUP = re.compile(r"::$|^ *-----|:class:", re.MULTILINE)
_LICENCE = re.compile(r"licen[sc]e|copying|notice|authors|readme|changes|history", re.IGNORECASE)
_QUESTIONS = (
    "Why does this fail?",
    "What does the following do?  Explain it line by line.",
    "Please review this before I send it.",
    "Here is what I get.\tIs that right?",
    "Summarise the following text in one sentence:",
)
_ENDS = ("", "Thanks.", "Answer in German.", "Keep it short,  please.", "1.  First\n2.  Second")


def markdown(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield Markdown pages, the descriptions of packages, and parts that begin with a heading."""
    for name, text in library.draw(rng, ".md", "METADATA"):
        if name.endswith("METADATA"):
            if not _MARKDOWN_TYPE.search(text):
                continue
            text = text.split("\n\n", 1)[-1]
        sections = re.split(r"(?m)^(?=#{1,4} )", text)
        start = rng.randrange(len(sections))
        chosen = "".join(sections[start : start + rng.randrange(1, 5)])
        yield Found(source=name, text=part(chosen, rng, 6_000))


def rst(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield reStructuredText: pages, descriptions of packages, docstrings with markup."""
    files = library.draw(rng, ".rst", "METADATA")
    for name, text in library.draw(rng, ".py"):
        drawn = next(files, None) if rng.random() < 0.4 else None
        if drawn is not None:
            body = drawn[1] if drawn[0].endswith(".rst") else drawn[1].split("\n\n", 1)[-1]
            if drawn[0].endswith(".rst") or not _MARKDOWN_TYPE.search(drawn[1]):
                yield Found(source=drawn[0], text=part(body, rng))
            continue
        docs = [
            doc for doc in doc_strings(text) if "::" in doc or "-----" in doc or ":class:" in doc
        ]
        if docs:
            yield Found(source=name, text=part(rng.choice(docs), rng))


def prompts(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield the prompt templates of installed frameworks."""
    found: list[Found] = []
    for path in library.files(".py"):
        name = library.name(path)
        if "prompt" in name or name.startswith(("langchain", "llama_index")):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [Found(source=name, text=each) for each in _templates(text, "prompt" in name)]
    yield from rng.sample(found, len(found))


def prose(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield licences, pages of plain text, and long docstrings."""
    for name, text in library.draw(rng, ".txt", ".md", "LICENSE", "COPYING", "NOTICE", ".py"):
        if name.endswith(".py"):
            docs = [doc for doc in doc_strings(text) if len(doc) > 300 and ">>>" not in doc]
            yield Found(source=name, text=part(rng.choice(docs or [""]), rng))
        elif not name.endswith(".txt") or _LICENCE.search(name):
            paragraphs = text.split("\n\n")
            start = rng.randrange(len(paragraphs))
            chosen = paragraphs[start : start + rng.randrange(1, 12)]
            yield Found(source=name, text=part("\n\n".join(chosen), rng))


def mixed(library: Library, rng: random.Random) -> Iterator[Found]:
    """Yield questions about a text of another kind: as it is, quoted, indented, in a fence."""
    makers = [
        maker(library, rng)
        for maker in (
            code.python,
            code.diffs,
            code.search_results,
            data.json_texts,
            data.yaml_texts,
            data.csv_texts,
            shown.logs,
            shown.tables,
            shown.transcripts,
        )
    ]
    while True:
        one, other = (next(maker) for maker in rng.sample(makers, 2))
        if not one.text.strip():
            continue
        pieces = [rng.choice(_QUESTIONS), _shown(one.text, rng)]
        if rng.random() < 0.4:
            pieces += ["And this?", _shown(other.text, rng)]
        pieces.append(rng.choice(_ENDS))
        yield Found(source=one.source, text="\n\n".join(pieces))


def _shown(text: str, rng: random.Random) -> str:
    """Return a text the way a person puts it into a message."""
    way = rng.choice(("plain", "plain", "fence", "quoted", "indented", "tag"))
    if way == "fence":
        return f"```\n{text}\n```"
    if way == "tag":
        return f"<file>\n{text}\n</file>"
    if way == "plain":
        return text
    mark = "> " if way == "quoted" else "    "
    return "".join(mark + line for line in text.splitlines(keepends=True))


def _templates(source: str, everything: bool) -> Iterator[str]:
    """Yield the long strings of a module; all of them, or those with a prompt's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        names = " ".join(ast.unparse(target) for target in node.targets)
        for inner in ast.walk(node.value):
            if not isinstance(inner, ast.Constant) or not isinstance(inner.value, str):
                continue
            if len(inner.value) > 120 and (everything or _PROMPT_NAME.search(names)):
                yield inner.value
