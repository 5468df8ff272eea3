"""The examples of docs/events.md run and print what they say, and its table has every event."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_optimizers import events

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/events.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_it_says(number: int) -> None:
    code = EXAMPLES[number]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    said = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert ran.stdout.splitlines() == said


def test_the_table_has_every_event_and_its_fields() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", PAGE, re.MULTILINE))
    kinds = [getattr(events, name) for name in events.__all__]
    kinds = [each for each in kinds if isinstance(each, type) and issubclass(each, events.Event)]
    expected = {
        each.__name__: [name for name in each.__dataclass_fields__ if name not in shared(each)]
        for each in kinds
        if each is not events.Event
    }
    assert {name: re.findall(r"`(\w+)`", fields) for name, fields in rows.items()} == expected


def shared(kind: type[events.Event]) -> set[str]:
    """Return the fields that a kind has from the one above it."""
    return {name for above in kind.__mro__[1:-1] for name in above.__dataclass_fields__}
