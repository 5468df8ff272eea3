"""Write the table in docs/provider-bills.md: every row's call is made against a local server."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/provider-bills.md"
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "integrations", "")]
BEGIN, END = "<!-- bills -->\n", "<!-- /bills -->"


def with_table(page: str, found: Iterable[Any]) -> str:
    """Return the page with the table of what was found between its marks.

    Raises:
        LookupError: the page lacks the marks.
    """
    from support.provider_bills.running import table

    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise LookupError(f"{PAGE} has no {BEGIN.strip()} … {END}: put both lines there")
    written = f"{BEGIN}\n{table(found)}\n\n{END}"
    return pattern.sub(lambda _: written, page)


def main() -> None:
    """Make the calls, and write the page."""
    from support.provider_bills import ROWS
    from support.provider_bills.running import seen

    written = with_table(PAGE.read_text(encoding="utf-8"), [seen(row) for row in ROWS])
    PAGE.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
