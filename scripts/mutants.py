"""Mutation test: change the deciding modules bit by bit and list the changes that no test notices.

mutmut (https://mutmut.readthedocs.io) makes the changes, lets mypy refuse what it can and runs the
tests on the rest; `[tool.mutmut]` in pyproject.toml names modules and tests. A survivor that does
no harm is entered in tests/mutants.txt under the reason, as it is printed here. Exits with 1 if
more than 10 % of the mutants that reached the tests survive without a reason.

An interrupted run is continued by the next one. After adding tests, try the survivors once more
with `--again`; remove the folder mutants/ to start over.

usage: python scripts/mutants.py [--again] [MODULE ...]    (such as routing.health, or caching)
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "llm_optimizers"
COPIES = Path("mutants")
REASONS = Path("tests/mutants.txt")
ALLOWED = 0.10
CONTEXT = 40
STATUSES = {
    "killed": "killed",
    "timeout": "killed",
    "segfault": "killed",
    "caught by type check": "refused",
    "survived": "survived",
    "no tests": "survived",
}
"""mutmut's words; every other means that the mutant is still to be tried."""


def run(names: Iterable[str]) -> None:
    """Run mutants that were not tried yet, or just those named, showing how far it is."""
    command = [sys.executable, "-m", "mutmut", "run", *names]
    # mutmut finds mypy by "python".
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    last: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PATH": path},
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:  # universal newlines: a carriage return ends a line too
                progress = re.sub(r"^[⠀-⣿] ", "", line.strip())
                if progress and progress != (last or [""])[-1]:
                    last = [*last[-40:], progress]
                    if sys.stderr.isatty():
                        print(f"\r\033[K{progress[:100]}", end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            process.wait()
            raise SystemExit("\ninterrupted; run it again to continue") from None
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if process.returncode:
        raise SystemExit("\n".join([*last, "\nmutmut failed; nothing was judged"]))


def results(modules: list[str]) -> dict[str, str]:
    """Return what became of each mutant of the modules: a value of STATUSES, or "untried"."""
    command = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^\s*(\S+): (.+)$", output, re.MULTILINE))
    return {
        name: STATUSES.get(status, "untried")
        for name, status in found.items()
        if not modules or any(f"{name}.".startswith(f"{module}.") for module in modules)
    }


def change(name: str) -> str:
    """Return a mutant as `module.function: old -> new`, which outlives changes elsewhere."""
    module, _, mutant = name.rpartition(".")
    copies = functions(module)
    function = mutant.rpartition("__mutmut_")[0]
    old, new = copies[f"{function}__mutmut_orig"], copies[mutant]
    start = same_letters(old, new)
    end = same_letters(old[start:][::-1], new[start:][::-1])
    before = old[:start].rpartition("\n")[2][-CONTEXT:]
    after = old[len(old) - end :].partition("\n")[0][:CONTEXT]
    parts = [f"{before}{text[start : len(text) - end]}{after}" for text in (old, new)]
    old, new = (" ".join(part.split()) for part in parts)
    shown = re.sub("^xǁ|^x_", "", function).replace("ǁ", ".")
    return f"{module.removeprefix(f'{PACKAGE}.')}.{shown}: {old} -> {new}"


def same_letters(one: str, other: str) -> int:
    """Return how many letters two texts begin with in common."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(one), len(other)))


@cache
def functions(module: str) -> dict[str, str]:
    """Return the source of mutmut's copies of the functions of a module, without their names."""
    path = COPIES / f"{module.replace('.', '/')}.py"
    return {
        node.name: ast.unparse(node).replace(node.name, "", 1)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name
    }


def explained() -> set[str]:
    """Return the changes that tests/mutants.txt gives a reason for."""
    lines = REASONS.read_text("utf-8").splitlines() if REASONS.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def report(found: dict[str, str]) -> Iterator[str]:
    """Yield a line a module, then the survivors without a reason."""
    modules: dict[str, Counter[str]] = {}
    for name, status in found.items():
        modules.setdefault(name.rpartition(".")[0], Counter())[status] += 1
    yield "mutants refused  killed survived"
    for module, counts in sorted(modules.items()):
        untried = f"   ({counts['untried']} not tried yet)" if counts["untried"] else ""
        yield (
            f"{counts.total():>7} {counts['refused']:>7} {counts['killed']:>7}"
            f" {counts['survived']:>8}  {module}{untried}"
        )
    yield ""


def main() -> None:
    """Run the mutants and print the survivors."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args()
    modules = [f"{PACKAGE}.{m.removeprefix(f'{PACKAGE}.')}" for m in options.modules]
    if options.again:
        run(name for name, status in results(modules).items() if status == "survived")
    else:
        run(f"{module}.*" for module in modules)
    found = results(modules)
    print("\n".join(report(found)))
    counts = Counter(found.values())
    known = explained()
    survivors = sorted(change(name) for name, status in found.items() if status == "survived")
    open_ones = [survivor for survivor in survivors if survivor not in known]
    print("\n".join(["Survivors without a reason:", *open_ones] if open_ones else []))
    tested = counts["killed"] + counts["survived"]
    share = len(open_ones) / tested if tested else 1.0
    print(
        f"\n{len(found)} mutants, {counts['refused']} refused by mypy, {counts['killed']} killed"
        f" by tests, {len(survivors) - len(open_ones)} survived with a reason in {REASONS},"
        f" {len(open_ones)} without ({share:.1%} of those tested; {ALLOWED:.0%} are allowed)"
    )
    raise SystemExit(share > ALLOWED or bool(counts["untried"]))


if __name__ == "__main__":
    main()
