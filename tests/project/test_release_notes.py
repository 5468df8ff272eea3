"""A version's notes are its section of the changelog."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/release_notes.py"))
CHANGELOG = """# Changelog

## [Unreleased]

## [1.1.0] - 2026-02-01

### Added

- Something.

## [1.0.0] - 2026-01-01

- The first.
"""


def test_the_version_in_pyproject_has_a_section() -> None:
    assert SCRIPT["notes"]((ROOT / "CHANGELOG.md").read_text(), SCRIPT["version"]())


def test_a_section_ends_where_the_next_begins() -> None:
    assert SCRIPT["notes"](CHANGELOG, "1.1.0") == "### Added\n\n- Something."
    assert SCRIPT["notes"](CHANGELOG, "1.0.0") == "- The first."


@pytest.mark.parametrize("wanted", ["1.0", "Unreleased", "2.0.0"])
def test_a_version_without_notes_is_an_error(wanted: str) -> None:
    with pytest.raises(LookupError, match="write it first"):
        SCRIPT["notes"](CHANGELOG, wanted)
