"""What a hit is marked with: the usage and cost of the call that gave the answer."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.caching import Cacheability, ResponseCache
from llm_optimizers.caching.answers import Hit, JSONCodec, mark_of, reported_by_mark, served_by_mark
from llm_optimizers.costs import Usage
from llm_optimizers.types import ChatRequest, Message

REQUEST = ChatRequest(messages=(Message(role="user", content="How do I return boots?"),))
USED = Usage(input_tokens=7, output_tokens=3)
HIT: Hit[str] = Hit(
    value="answer", tier="exact", score=1.0, key="k", model="gpt-4o", usage=USED, age=1.0
)


class Reporting(JSONCodec):
    """A codec whose answers came with this usage and cost."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def cacheability(self, value: Any) -> Cacheability:
        return replace(super().cacheability(value), **self.known)


@pytest.mark.parametrize("usage", [USED, None])
@pytest.mark.parametrize("cost", [Decimal("0.00001234"), None])
@pytest.mark.parametrize("estimated", [True, False])
def test_a_mark_and_a_file_keep_usage_and_cost(
    tmp_path: Path, usage: Usage | None, cost: Decimal | None, *, estimated: bool
) -> None:
    codec = Reporting(usage=usage, cost=cost, estimated=estimated)
    path = tmp_path / "answers.sqlite"
    for cache in (ResponseCache(codec=codec), ResponseCache(codec=codec, path=path)):
        cache.update(REQUEST, "answer")
        hit = cache.lookup(REQUEST)
        assert hit is not None
        assert (hit.usage, hit.cost, hit.estimated) == (usage, cost, estimated)
        mark = json.loads(json.dumps(mark_of(hit)))
        for known in (reported_by_mark(mark), served_by_mark(mark)):
            assert (known.usage, known.cost, known.estimated) == (usage, cost, estimated)


def test_a_mark_of_an_earlier_release_has_no_cost() -> None:
    mark = mark_of(HIT)
    del mark["cost"], mark["estimated"]
    assert reported_by_mark(mark).cost is None
    for cost in ("NaN", "-1", "1e99", "x", [], None):
        assert served_by_mark({**mark, "cost": cost}).cost is None


@pytest.mark.parametrize("cost", ['"NaN"', '"-1"', '"x"', "7", "[]"])
def test_an_entry_whose_cost_was_edited_is_dropped(tmp_path: Path, cost: str) -> None:
    path = tmp_path / "answers.sqlite"
    cache = ResponseCache(codec=Reporting(usage=USED, cost=Decimal(1)), path=path)
    cache.update(REQUEST, "answer")
    with closing(sqlite3.connect(path)) as file, file:
        changed = "UPDATE entries SET usage = replace(usage, '\"1\"', ?)"
        assert file.execute(changed, (cost,)).rowcount == 1
    assert cache.lookup(REQUEST) is None
    assert len(cache) == 0
