"""What docs/attribution.md says: its examples run, and its table has every alias."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llm_optimizers.costs.aliases import ALIASES, rank_of
from support.fakes import StreamingFake

PAGE = (Path(__file__).parents[2] / "docs" / "attribution.md").read_text("utf-8")


def test_the_examples_run_from_top_to_bottom() -> None:
    examples = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(examples) > 3
    names: dict[str, Any] = {"model": StreamingFake()}
    for example in examples:
        exec(compile(example, "docs/attribution.md", "exec"), names)


def test_the_table_has_every_alias_in_its_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`.*`) \|$", PAGE, re.MULTILINE)
    found = {name: re.findall(r"`([^`]+)`", cell) for name, cell in rows}
    read = {name: aliases.split()[1:] for name, aliases in ALIASES.items() if name != "run"}
    assert found == read


def test_no_alias_stands_for_two_names() -> None:
    for name, aliases in ALIASES.items():
        places = [rank_of(alias) for alias in aliases.split()]
        assert {place and place[0] for place in places} == {name}
        assert len({place and place[1] for place in places}) == len(places)
