"""Read the word lists in a package's `data/<language>/` folders; data/README.md has the formats."""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

__all__ = [
    "languages",
    "read_fields",
    "read_groups",
    "read_lines",
    "read_optional_words",
    "read_words",
]

_TEXT = "llm_optimizers.text"


@cache
def languages(package: str = _TEXT) -> tuple[str, ...]:
    """Return the languages that a package has lists for, in alphabetical order."""
    return tuple(sorted(each.name for each in _data(package).iterdir() if each.is_dir()))


def read_lines(name: str, language: str, package: str = _TEXT) -> list[str]:
    """Return the lines of a list, without comments and blank lines."""
    text = _data(package).joinpath(language, f"{name}.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def read_words(name: str, language: str, package: str = _TEXT) -> frozenset[str]:
    """Return all words of a list."""
    return frozenset(word for line in read_lines(name, language, package) for word in line.split())


def read_optional_words(name: str, language: str, package: str = _TEXT) -> frozenset[str]:
    """Return all words of a list, none if the language has no such list."""
    path = _data(package).joinpath(language, f"{name}.txt")
    return read_words(name, language, package) if path.is_file() else frozenset()


def read_groups(name: str, language: str, package: str = _TEXT) -> tuple[tuple[str, ...], ...]:
    """Return the words of each line, in order."""
    return tuple(tuple(line.split()) for line in read_lines(name, language, package))


def read_fields(
    name: str, language: str, package: str = _TEXT, separator: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the entries of each field in lines of `field: entries`.

    `separator` stands between two entries, blanks by default. A field may take several lines.
    """
    fields: dict[str, tuple[str, ...]] = {}
    for line in read_lines(name, language, package):
        field, _, rest = line.partition(":")
        fields[field] = (*fields.get(field, ()), *map(str.strip, rest.split(separator)))
    return fields


def _data(package: str) -> Traversable:
    return resources.files(package).joinpath("data")
