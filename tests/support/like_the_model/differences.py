"""What a wrapped model does differently from the bare one: checked by a suite, shown as a table.

A suite runs every way to use a model through every wrapper, beside the bare model, and compares
parts: what came back, the requests at the server, the events. Each difference is listed with its
reason. One that is not listed fails, and one that is listed and no longer there fails too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference in some parts, for the ways and wrappers that these patterns name."""

    reason: str
    parts: frozenset[str]
    ways: Sequence[str] = ("*",)
    wrappers: Sequence[str] = ("*",)
    but: Collection[tuple[str, str]] = ()
    """Pairs of patterns of a wrapper and a way that have no such difference."""

    def concerns(self, wrapper: str, way: str) -> bool:
        """Whether this difference is expected of a way through a wrapper."""
        return (
            _matches(way, self.ways)
            and _matches(wrapper, self.wrappers)
            and not any(fnmatchcase(wrapper, w) and fnmatchcase(way, each) for w, each in self.but)
        )


def check(
    differences: Sequence[Difference], wrapper: str, way: str, found: Mapping[str, str]
) -> None:
    """Compare the parts that differ, each with its details, with those that are listed.

    Raises:
        AssertionError: a difference is not listed, or a listed one is not there.
    """
    listed = {
        part for each in differences if each.concerns(wrapper, way) for part in sorted(each.parts)
    }
    new = {part: details for part, details in found.items() if part not in listed}
    assert not new, f"{way} through {wrapper} differs: {new}"
    gone = listed - set(found)
    assert not gone, f"{way} through {wrapper} no longer differs in {sorted(gone)}"


def table(
    ways: Sequence[tuple[str, str]], wrappers: Sequence[str], differences: Sequence[Difference]
) -> str:
    """Return a Markdown table, a row for each way (name and title), and the reasons below it."""
    numbers = {each: number for number, each in enumerate(differences, 1)}
    lines = [f"| | {' | '.join(wrappers)} |", f"|---|{'---|' * len(wrappers)}"]
    for way, title in ways:
        cells = [
            ", ".join(str(numbers[each]) for each in differences if each.concerns(wrapper, way))
            for wrapper in wrappers
        ]
        lines.append(f"| {title} | {' | '.join(cell or 'same' for cell in cells)} |")
    notes = [
        f"{number}. {each.reason} ({', '.join(sorted(each.parts))})"
        for each, number in numbers.items()
    ]
    return "\n".join([*lines, "", *notes, ""])


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
