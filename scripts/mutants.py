"""Mutation test: change the deciding modules bit by bit and list the changes no test notices.

mutmut (https://mutmut.readthedocs.io) makes the changes and runs the tests; `[tool.mutmut]` in
pyproject.toml names the modules. A survivor that does no harm is entered, with the reason, in
tests/mutants.txt. Exits with 1 if more than 10 % of all mutants survive without a reason.

usage: python scripts/mutants.py [NAME ...]    (names or patterns as for `mutmut run`)
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

REASONS = Path("tests/mutants.txt")
ALLOWED = 0.10
KILLED = {"killed", "timeout", "segfault", "caught by type check"}


def mutmut(*arguments: str) -> str:
    """Run mutmut and return what it prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode and arguments[0] != "run":
        raise SystemExit(run.stdout + run.stderr)
    if run.returncode and not Path("mutants").exists():
        raise SystemExit(run.stdout[-2_000:] + run.stderr)
    return run.stdout


def change(name: str) -> str:
    """Return a mutant as `module.function: old line -> new line`, stable while the code is."""
    lines = mutmut("show", name).splitlines()
    old = [x[1:].strip() for x in lines if x.startswith("-") and not x.startswith("---")]
    new = [x[1:].strip() for x in lines if x.startswith("+") and not x.startswith("+++")]
    function = re.sub(r"__mutmut_\d+$", "", name)
    return f"{function}: {' '.join(old)} -> {' '.join(new)}"


def explained() -> set[str]:
    """Return the changes that tests/mutants.txt gives a reason for."""
    text = REASONS.read_text("utf-8") if REASONS.exists() else ""
    return {line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"}


def main() -> None:
    """Run the mutants and print the survivors."""
    mutmut("run", *sys.argv[1:])
    results = re.findall(r"^\s*(\S+): (.+)$", mutmut("results", "--all", "true"), re.MULTILINE)
    modules: dict[str, Counter[str]] = {}
    survivors = []
    for name, status in results:
        if status == "not checked":
            continue
        killed = status in KILLED
        module = name.rpartition(".")[0]
        modules.setdefault(module, Counter())["killed" if killed else "survived"] += 1
        if not killed:
            survivors.append((change(name), status))
    known = explained()
    open_ones = sorted(f"{text}   [{status}]" for text, status in survivors if text not in known)
    for module, counts in sorted(modules.items()):
        print(f"{counts.total():>5} mutants, {counts['survived']:>3} survived  {module}")
    print("\nSurvivors without a reason:" if open_ones else "\nNo survivor without a reason.")
    for text in open_ones:
        print(f"  {text}")
    total = sum(counts.total() for counts in modules.values())
    share = len(open_ones) / total if total else 0.0
    print(
        f"\n{total} mutants, {len(survivors)} survived, {len(open_ones)} of them without a reason"
        f" in {REASONS} ({share:.1%}; at most {ALLOWED:.0%} are allowed)"
    )
    raise SystemExit(share > ALLOWED)


if __name__ == "__main__":
    main()
