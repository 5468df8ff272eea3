"""What a wrapped model does differently from the bare one: checked by a suite, shown as a table.

A suite runs every way to use a model through every wrapper, beside the bare model, and compares
parts: what came back, the requests at the server, the events. Each difference is listed with its
reason. One that is not listed fails, and one that is listed and no longer there fails too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

_SAME = "same"
"""What a cell says where nothing differs."""


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


def differ(
    parts: str,
    wrappers: Sequence[str],
    ways: Sequence[str],
    reason: str,
    but: Collection[tuple[str, str]] = (),
) -> Difference:
    """Return a difference; `parts` are names with spaces between them."""
    named = frozenset(parts.split())
    return Difference(reason=reason, parts=named, ways=ways, wrappers=wrappers, but=but)


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
    """Return a Markdown table of the ways (name and title), and the reasons below it.

    Ways of one kind, which is the title up to the colon, share a row if all their cells are equal.
    Those without a difference are a list above the table, so that the table is about differences.
    """
    reasons: dict[str, set[str]] = {}
    for each in differences:
        if any(each.concerns(wrapper, way) for way, _ in ways for wrapper in wrappers):
            reasons.setdefault(each.reason, set()).update(each.parts)
    numbers = {reason: number for number, reason in enumerate(reasons, 1)}
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for way, title in ways:
        cells = tuple(
            _cell({numbers[d.reason] for d in differences if d.concerns(wrapper, way)})
            for wrapper in wrappers
        )
        kind, colon, what = title.partition(": ")
        rows.setdefault((f"{kind}{colon}", cells), []).append(what)
    lines = {row: "; ".join(each for each in what if each) for row, what in rows.items()}
    alike = [(kind, what) for (kind, cells), what in lines.items() if set(cells) == {_SAME}]
    alone = "; ".join(kind for kind, what in alike if not what)
    same = [f"- {each}" for each in (alone, *(kind + what for kind, what in alike if what)) if each]
    return "\n".join(
        [
            *(["The same in every column:", "", *same, ""] if same else []),
            f"| | {' | '.join(wrappers)} |",
            f"|---|{'---|' * len(wrappers)}",
            *(
                f"| {kind}{what} | {' | '.join(cells)} |"
                for (kind, cells), what in lines.items()
                if set(cells) != {_SAME}
            ),
            "",
            *(
                f"{numbers[reason]}. {reason} ({', '.join(sorted(parts))})"
                for reason, parts in reasons.items()
            ),
        ]
    )


def _cell(numbers: Collection[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or _SAME


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
