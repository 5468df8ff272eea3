"""The tables in docs/wrappers.md are those of the contract suites."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/wrapper_tables.py"))
PAGE = (ROOT / "docs/wrappers.md").read_text(encoding="utf-8")


def test_the_page_has_the_tables_that_the_suites_check() -> None:
    assert SCRIPT["with_tables"](PAGE) == PAGE, "run `python scripts/wrapper_tables.py`"


def test_old_tables_are_replaced() -> None:
    old = PAGE.replace("| same |", "| 99 |")
    assert old != PAGE
    assert SCRIPT["with_tables"](old) == PAGE


def test_a_page_without_marks_is_an_error() -> None:
    with pytest.raises(LookupError, match="langchain"):
        SCRIPT["with_tables"]("# A page")
