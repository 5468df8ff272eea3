"""The word lists in `data/`, so that a reader can check them and a language can be added.

A room that has lists of its own keeps them in its own `data/` and gives its package's name.
Two formats, both with `#` for a comment line: words anywhere (`words`), or a group a line, its
first entry standing for the others (`word_groups`): `first second third`, or for phrases
`first: a phrase, another phrase`.
"""

from __future__ import annotations

from importlib import resources

__all__ = ["lines", "word_groups", "words"]

_HERE = "llm_optimizers.text"


def lines(name: str, package: str = _HERE) -> list[str]:
    """The lines of the list `data/<name>.txt`, without comments."""
    text = resources.files(package).joinpath(f"data/{name}.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def words(name: str, package: str = _HERE) -> frozenset[str]:
    """All words of the list `data/<name>.txt`."""
    return frozenset(word for line in lines(name, package) for word in line.split())


def word_groups(name: str) -> tuple[tuple[str, ...], ...]:
    """The groups of the list `data/<name>.txt`, each with the entry that stands for it first."""
    return tuple(_group(line) for line in lines(name))


def _group(line: str) -> tuple[str, ...]:
    first, colon, phrases = line.partition(":")
    if not colon:
        return tuple(line.split())
    return (first, *(phrase.strip() for phrase in phrases.split(",")))
