"""Every provider's answer is billed as it is by hand, in both frameworks, and the page says so."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from support.provider_bills import ROWS
from support.provider_bills.row import Row
from support.provider_bills.running import Seen, seen

pytestmark = [pytest.mark.providers, pytest.mark.loopback]

ROOT = Path(__file__).parents[3]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/bills_table.py"))
PAGE = (ROOT / "docs/provider-bills.md").read_text(encoding="utf-8")
RUNS = [
    pytest.param(row, name, id=f"{row}-{name}")
    for row in ROWS
    for name, made in (("langchain", row.langchain), ("llama-index", row.llama_index))
    if made is not None
]


@pytest.fixture(scope="module")
def found() -> dict[str, Seen]:
    return {row.name: seen(row) for row in ROWS}


@pytest.mark.parametrize(("row", "framework"), RUNS)
def test_our_bill_is_the_one_by_hand(found: dict[str, Seen], row: Row, framework: str) -> None:
    record, dollars = found[row.name].records[framework], row.bill(framework)
    assert record.cost == dollars
    assert record.suspicious == row.suspicious
    assert record.priced_by == (None if dollars is None else row.priced_by)
    assert bool(record.unpriced) == (dollars is None)


def test_forty_answers_are_priced() -> None:
    assert len([row for row in ROWS if row.dollars is not None]) >= 40


def test_the_page_has_the_table_of_these_rows(found: dict[str, Seen]) -> None:
    written = SCRIPT["with_table"](PAGE, found.values())
    assert written == PAGE, "run `python scripts/bills_table.py`"


def test_a_page_without_marks_is_an_error() -> None:
    with pytest.raises(LookupError, match="bills"):
        SCRIPT["with_table"]("# A page", ())
