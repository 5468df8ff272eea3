"""What every benchmark here hands out: rows of name, value and target, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

DATA = Path("../shared/data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One claim. `value` None means that it could not be measured; `note` says why."""

    name: str
    value: float | None
    target: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient:
    """One measured number behind a claim."""

    what: str
    value: float
    unit: str


Measured = tuple[Row, list[Ingredient]]


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the data sets")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    return parser


def interleaved(
    rounds: int, *subjects: Callable[[], int], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Median seconds an operation of each subject.

    A subject does a handful of operations and returns how many. The subjects take turns, in
    both directions, so that a busy moment of the machine strikes all of them alike.
    """
    times: list[list[float]] = [[] for _ in subjects]
    for number in range(rounds):
        order = list(enumerate(subjects))
        for index, subject in order if number % 2 else reversed(order):
            start = clock()
            count = subject()
            times[index].append((clock() - start) / count)
    return [statistics.median(each) for each in times]


def show(rows: Sequence[Row], ingredients: Sequence[Ingredient]) -> None:
    """Print the claims and what they are made of."""
    for each in ingredients:
        print(f"  {each.what:<68} {each.value:>10.3f} {each.unit}")
    print()
    for row in rows:
        value = "–" if row.value is None else f"{row.value:.3f}"
        print(f"{row.name:<34} {value:>10}   target {row.target:<8} {row.note}")


def write(rows: Sequence[Row], path: Path | None) -> None:
    """Write the rows as a JSON list, if a file was asked for."""
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
