"""Print a version's section of the changelog, as the text of its release.

python scripts/release_notes.py           # the version in pyproject.toml
python scripts/release_notes.py 0.1.0
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def version() -> str:
    """The version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def notes(changelog: str, wanted: str) -> str:
    """What stands under `## [wanted]`.

    Raises:
        LookupError: the changelog has no such section, or nothing in it.
    """
    sections = changelog.split("\n## ")[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if heading.startswith(f"[{wanted}]") and text.strip():
            return text.strip()
    raise LookupError(f"CHANGELOG.md has no section `## [{wanted}] - date`: write it first")


if __name__ == "__main__":
    try:
        print(notes((ROOT / "CHANGELOG.md").read_text(), (sys.argv[1:] or [version()])[0]))
    except LookupError as error:
        raise SystemExit(str(error)) from None
