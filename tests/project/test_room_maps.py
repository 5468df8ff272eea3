"""A package's docstring that lists its files lists all of them, and none that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"(?<![\w/.*])(\w+(?:_\*)?)\.py\b")
INITS = sorted(
    path for top in ("llm_optimizers", "integrations") for path in (ROOT / top).rglob("__init__.py")
)


def listed_in(init: Path) -> set[str]:
    return set(NAME.findall(ast.get_docstring(ast.parse(init.read_text())) or ""))


MAPS = [init for init in INITS if listed_in(init)]


@pytest.mark.parametrize("init", MAPS, ids=[str(each.parent.relative_to(ROOT)) for each in MAPS])
def test_a_map_is_true(init: Path) -> None:
    listed = listed_in(init)
    groups = tuple(name.removesuffix("*") for name in listed if name.endswith("*"))
    files = {path.stem for path in init.parent.glob("*.py")} - {"__init__"}
    assert {name for name in files - listed if not name.startswith(groups or ("\0",))} == set()
    assert {name for name in listed - files if not name.endswith("*")} == set()


def test_the_large_rooms_have_a_map() -> None:
    mapped = {str(each.parent.relative_to(ROOT)) for each in MAPS}
    assert {f"llm_optimizers/{each}" for each in ("costs", "costs/ledger", "caching")} <= mapped
