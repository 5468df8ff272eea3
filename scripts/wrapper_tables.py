"""Write the tables in docs/wrappers.md from the differences that the contract suites check."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/wrappers.md"
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "integrations", "")]

FRAMEWORKS = sorted(
    each.parent.name for each in (ROOT / "tests/support/like_the_model").glob("*/__init__.py")
)


def with_tables(page: str) -> str:
    """Return the page with today's table of each framework between its marks.

    Raises:
        LookupError: the page lacks the marks of a table.
    """
    for name in FRAMEWORKS:
        suite = import_module(f"support.like_the_model.{name}")
        mark = name.replace("_", "-")
        begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(page):
            raise LookupError(f"{PAGE} has no {begin.strip()} … {end}: put both lines there")
        written = f"{begin}\n{suite.table_of_differences().strip()}\n\n{end}"
        page = pattern.sub(lambda _, written=written: written, page)
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
