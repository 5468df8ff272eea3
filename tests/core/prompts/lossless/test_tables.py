"""JSON records as a table, and back to the same value."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.prompts import RequestOptimizer, TokenCounter
from llm_optimizers.prompts.lossless import from_table, shorten, to_table
from llm_optimizers.types import ChatRequest, Message, ToolCall

TABLES = frozenset({"tables"})
RECORDS = [
    {"id": n, "name": f"Person {n}", "city": "Lisbon", "age": 20 + n, "paid": n % 2 == 0}
    for n in range(30)
]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4, unique=True),
    st.data(),
    st.integers(2, 5),
)
def test_a_table_reads_back_as_the_same_value(
    keys: list[str], data: st.DataObject, rows: int
) -> None:
    records = [{key: data.draw(scalars) for key in keys} for _ in range(rows)]
    table = to_table(json.dumps(records, ensure_ascii=data.draw(st.booleans())))
    if table is not None:
        assert repr(from_table(table)) == repr(records)
    elif not any(
        isinstance(v, float) and not math.isfinite(v) for r in records for v in r.values()
    ):
        assert any(set(key) & set('|\n\r\t\\"') for key in keys) or any(
            "\ud800" <= each <= "\udfff" for each in json.dumps(records, ensure_ascii=False)
        )


def test_numbers_stay_as_they_are_written() -> None:
    text = f'[{{"n": 1.10, "m": -0}}, {{"n": 1e400, "m": {"9" * 5_000}}}]'
    assert to_table(text) == f"n|m\n1.10|-0\n1e400|{'9' * 5_000}"


def test_strings_that_could_be_other_values_keep_their_quotes() -> None:
    cells = [
        "null",
        "true",
        "NaN",
        "7",
        "-1",
        "",
        " x",
        "x ",
        "a|b",
        'a"b',
        "a\\b",
        "a\nb",
        "\x85x",
    ]
    records: list[dict[str, Any]] = [{"k": cell, "l": None} for cell in cells]
    table = to_table(json.dumps(records))
    assert table is not None
    assert from_table(table) == records
    assert table.split("\n")[1:3] == ['"null"|null', '"true"|null']


@pytest.mark.parametrize(
    "text",
    [
        '[{"a":1},{"b":2}]', '[{"a":[1]},{"a":[2]}]', '[{"a":{}},{"a":{}}]', '[{"a":1}]', "[]",
        "{", "[{},{}]", "7", '[{"a":1,"b":2},{"b":1,"a":2}]', '[{"a":1,"a":2},{"a":1,"a":2}]',
        '[{"a|b":1},{"a|b":2}]', '[{"a":NaN},{"a":1}]', r'[{"a":"\ud800"},{"a":"x"}]', "[1,[2]]",
    ],
)  # fmt: skip
def test_other_data_makes_no_table(text: str) -> None:
    assert to_table(text) is None
    assert shorten(text, passes=TABLES) == text


@pytest.mark.parametrize(
    "text", ["a|b\n1", "a\n1|2", "a\nNaN|", 'a\n"open', "a|b\n1|[\n", 'a\n1,"b":2']
)
def test_a_text_that_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_table(text)


def test_tables_halve_uniform_records_in_tool_messages_and_prompts() -> None:
    counter = TokenCounter()
    written = json.dumps(RECORDS, indent=2)
    call = ToolCall(id="c", name="people", arguments="{}")
    messages = (
        Message(role="user", content=f"These are all of them:\n\n{written}\n\nWho has paid?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=written, tool_call_id="c"),
    )
    optimizer = RequestOptimizer(passes=TABLES, provider_cache=False)
    sent = optimizer.optimize(ChatRequest(model="gpt-4o", messages=messages)).request.messages
    table = to_table(written)
    assert table is not None
    assert sent[0].text == f"These are all of them:\n\n{table}\n\nWho has paid?"
    assert sent[2].text == table
    assert from_table(sent[2].text) == RECORDS
    assert counter.count(table, "gpt-4o").tokens < counter.count(written, "gpt-4o").tokens / 2


def test_a_table_that_is_hardly_shorter_is_not_worth_it() -> None:
    assert shorten('[{"a":1},{"a":2}]', passes=TABLES) == "a\n1\n2"
    assert shorten('[{"a":"1"},{"a":"|"}]', passes=TABLES) == 'a\n"1"\n"\\u007c"'
    few = '[{"a":"||"},{"a":"||"}]'
    assert to_table(few) is not None
    assert shorten(few, passes=TABLES) == few
