"""Runs all benchmarks: options, sections, seeds, progress, table and JSON.

A benchmark is a list of sections, each a heading of its table. A section is a function that yields
the rows of one seed as soon as they are known; with several seeds a row is their mean. Rows with a
target are claims, the other rows are the figures they come from.
"""

from __future__ import annotations

import argparse
import json
import operator
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

DATA = Path("../shared/data")
INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. `value` None means that it could not be measured; `note` says why."""

    name: str
    value: float | None
    target: str = ""
    unit: str = ""
    note: str = ""
    section: str = ""
    by_seed: dict[int, float | None] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Run:
    """The options and the seed of a section, and methods to report its progress."""

    options: argparse.Namespace
    seed: int
    section: str
    shared: dict[Any, Any]
    """Data that sections of one run share."""
    _started: dict[str, float] = field(default_factory=dict)
    _reported: float = 0.0

    @property
    def data(self) -> Path:
        """The folder of the data sets."""
        folder: Path = self.options.data
        return folder

    def say(self, line: str) -> None:
        """Print a line between the rows of the table."""
        print(line, flush=True)

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Report the progress on stderr, at most once a second (every ten seconds to a file)."""
        now = time.monotonic()
        start = self._started.setdefault(what, now)
        if now - self._reported < (1 if sys.stderr.isatty() else 10) and done < total:
            return
        self._reported = now
        rate = done / (now - start) if now > start else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        end = "\r" if sys.stderr.isatty() and done < total else "\n"
        line = (
            f"  {self.section}, seed {self.seed}: {what} {done:,} of {total:,}, {rate:.0f}/s{left}"
        )
        print(f"{line:<79}", end=end, file=sys.stderr, flush=True)


Measure = Callable[[Run], Iterable[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading of a benchmark's table and the function that measures its rows."""

    name: str
    measure: Measure
    about: str = ""


def main(
    description: str | None,
    sections: Sequence[Section],
    more_options: Callable[[argparse.ArgumentParser], None] | None = None,
) -> None:
    """Run the selected sections of a benchmark; Ctrl-C prints the rows so far, exit code 130."""
    parser = _parser(description)
    if more_options is not None:
        more_options(parser)
    options = parser.parse_args()
    if options.list:
        for section in sections:
            print(f"{section.name:<14} {section.about}")
        return
    chosen = _chosen(parser, sections, options.only)
    rows, interrupted = _measure(chosen, options)
    print()
    for row in rows:
        if row.target:
            _show(row, width=36)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    missed = [row.name for row in rows if _missed(row)]
    if options.check and missed and not interrupted:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
        raise SystemExit(1)
    if interrupted:
        print("interrupted: these are the rows so far", file=sys.stderr)
        raise SystemExit(INTERRUPTED)


def _measure(chosen: Sequence[Section], options: argparse.Namespace) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    shared: dict[Any, Any] = {}
    for number, section in enumerate(chosen, 1):
        start = time.monotonic()
        print(f"\n{section.name}" + (f": {section.about}" if section.about else ""), flush=True)
        found: dict[str, list[tuple[int, Row]]] = {}
        interrupted = False
        try:
            for seed in options.seeds:
                run = Run(options=options, seed=seed, section=section.name, shared=shared)
                for row in section.measure(run):
                    found.setdefault(row.name, []).append((seed, row))
        except KeyboardInterrupt:
            interrupted = True
        means = [replace(_over_seeds(each), section=section.name) for each in found.values()]
        for row in sorted(means, key=lambda row: bool(row.target)):
            _show(row)
        rows += means
        took = time.monotonic() - start
        print(
            f"  {section.name}: {took:.0f} s ({number} of {len(chosen)} sections)",
            file=sys.stderr,
            flush=True,
        )
        if interrupted:
            return rows, True
    return rows, False


def _over_seeds(found: Sequence[tuple[int, Row]]) -> Row:
    """Return the mean of a row over seeds, with the first seed's note and the seeds' range."""
    by_seed = {seed: row.value for seed, row in found}
    first = found[0][1]
    known = [value for value in by_seed.values() if value is not None]
    if len(known) < 2:
        return replace(first, by_seed=by_seed)
    spread = f"{min(known):.3f} to {max(known):.3f} over {len(known)} seeds"
    note = f"{spread}; {first.note}" if first.note else spread
    return replace(first, value=statistics.fmean(known), note=note, by_seed=by_seed)


def _show(row: Row, width: int = 66) -> None:
    value = _shown(row.value)
    target = f"   target {row.target:<8}" if row.target and row.target != "-" else "   "
    print(f"  {row.name:<{width}} {value:>11} {row.unit}{target}{row.note}".rstrip(), flush=True)


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{round(value, 3) + 0.0:.3f}"  # no -0.000


def _missed(row: Row) -> bool:
    """Whether a row has a target such as "<= 5" that its value is not; None meets none."""
    sign, _, bound = row.target.partition(" ")
    if sign not in _COMPARED:
        return False
    return row.value is None or not _COMPARED[sign](row.value, float(bound))


_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the data sets")
    parser.add_argument("--only", action="append", metavar="SECTION", help="may be repeated")
    parser.add_argument("--list", action="store_true", help="print the sections and exit")
    parser.add_argument(
        "--seeds", type=_seeds, default=(1,), help="a count (3: seeds 1 to 3) or a list (2,5 or 2,)"
    )
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    return parser


def _seeds(text: str) -> tuple[int, ...]:
    if "," in text:
        return tuple(int(part) for part in text.split(",") if part.strip())
    return tuple(range(1, int(text) + 1))


def _chosen(
    parser: argparse.ArgumentParser, sections: Sequence[Section], only: Sequence[str] | None
) -> list[Section]:
    wanted = [name for each in only or () for name in each.split(",")]
    names = [section.name for section in sections]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are: {', '.join(names)}")
    return [section for section in sections if not wanted or section.name in wanted]


def interleaved(
    rounds: int, *subjects: Callable[[], int], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the median seconds an operation takes in each subject.

    A subject does a few operations and returns how many. The subjects take turns, in both
    directions, so that a busy moment of the machine affects all of them equally.
    """
    times: list[list[float]] = [[] for _ in subjects]
    for number in range(rounds):
        order = list(enumerate(subjects))
        for index, subject in order if number % 2 else reversed(order):
            start = clock()
            count = subject()
            times[index].append((clock() - start) / count)
    return [statistics.median(each) for each in times]
