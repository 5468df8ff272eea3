"""The quick benchmarks of one version, kept in results/ and compared with those before.

    python benchmarks/release.py                  # writes results/VERSION.json
    python benchmarks/release.py --fail-over 1.5  # exit code 1 if a figure is that much worse

Needs no torch, no data of others, no network. A ratio above 1 is worse: a time is divided by the
time before, a share or a speed divides the one before. Times on another machine say little.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
QUICK = {
    "demo": "langchain,llama-index",
    "paths": "cache,router,stack",
    "cache": "memory,chain,import",
    "batching": "combining,coalescing,killed,speed",
    "costs": "record",
}
PACKAGES = ("numpy", "openai", "pydantic", "langchain-core", "llama-index-core", "redis")
KEPT = ("benchmark", "section", "name", "value", "unit", "target", "note")

Record = dict[str, Any]


def measured(benchmark: str, sections: str) -> list[Record]:
    """The rows of some sections of a benchmark, run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, HERE / f"{benchmark}.py", "--only", sections, "--json", path]
        subprocess.run(command, check=True)
        rows = json.loads(path.read_text())
    return [{"benchmark": benchmark, **row} for row in rows]


def result() -> Record:
    """All quick benchmarks of the version in pyproject.toml, and what they ran on."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    rows = [row for benchmark, sections in QUICK.items() for row in measured(benchmark, sections)]
    return {
        "version": project["version"],
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "packages": dict(_installed()),
        "rows": [{field: _short(row[field]) for field in KEPT} for row in rows],
    }


def before(folder: Path, version: str) -> Record | None:
    """The newest result of an earlier version, else this version's own last one."""
    kept = {path.stem: path for path in folder.glob("*.json")}
    earlier = [each for each in kept if _order(each) < _order(version)]
    name = max(earlier, key=_order, default=version)
    found: Record | None = json.loads(kept[name].read_text()) if name in kept else None
    return found


def worse_by(old: Record, new: Record) -> float | None:
    """How many times worse a row has become; None where no direction is better, or none is known.

    Lower is better for a time and where the target is an upper bound.
    """
    was, now = old["value"], new["value"]
    upper = new["target"].startswith(("<", "=", "0")) or (
        not new["target"] and new["unit"] in ("s", "ms", "µs")
    )
    if was is None or now is None or not (upper or new["target"].startswith(">")):
        return None
    above, below = (now, was) if upper else (was, now)
    if above == below:
        return 1.0
    return float(above / below) if below > 0 else math.inf


def compared(old: Record, new: Record) -> Iterator[tuple[str, Record, Record, float]]:
    """The rows that both results have, with how many times worse each has become."""
    rows = {_name(row): row for row in old["rows"]}
    for row in new["rows"]:
        known = rows.get(_name(row))
        ratio = None if known is None else worse_by(known, row)
        if known is not None and ratio is not None:
            yield _name(row), known, row, ratio


def show(old: Record, new: Record, limit: float | None) -> bool:
    """Print every ratio; whether one is above the limit."""
    print(f"\n{new['version']} of {new['date']} against {old['version']} of {old['date']}")
    if old["machine"] != new["machine"]:
        print(f"  measured on {new['machine']}, before on {old['machine']}")
    regressed = False
    for name, was, now, ratio in compared(old, new):
        bad = limit is not None and ratio > limit
        regressed |= bad
        mark = f"   worse than {limit:g} times" if bad else ""
        print(f"  {name:<68} {was['value']:>10.4g} {now['value']:>10.4g} × {ratio:.2f}{mark}")
    return regressed


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, keep, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where results are kept")
    parser.add_argument(
        "--fail-over", type=float, metavar="RATIO", help="exit with 1 if a figure is worse by more"
    )
    options = parser.parse_args(arguments)
    new = result()
    old = before(options.results, new["version"])
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"{new['version']}.json"
    path.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n")
    print(f"\nwritten: {path}")
    if old is None:
        print("nothing to compare with yet")
    elif show(old, new, options.fail_over):
        raise SystemExit(1)


def _installed() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, installed(name)
        except PackageNotFoundError:
            continue


def _name(row: Record) -> str:
    return f"{row['benchmark']}, {row['section']}: {row['name'].strip()}"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
