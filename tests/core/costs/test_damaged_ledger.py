"""Damaged records and rows: none is lost, none stops a report, and an unknown cost is not free."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import CallRecord, Ledger, Saving, Summary, Usage
from llm_optimizers.errors import ConfigurationError

AT = datetime(2026, 1, 1, tzinfo=UTC)
NO_AMOUNTS = ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "1e999999", "-1e999999", "1e-999999"]


def record(name: str = "1", **changes: Any) -> CallRecord:
    fields: dict[str, Any] = {
        "id": name,
        "time": AT,
        "model": "m",
        "usage": Usage(input_tokens=1),
        "cost": Decimal(1),
        "baseline_model": "m",
        "baseline_cost": Decimal(2),
    }
    return CallRecord(**{**fields, **changes})


def summary_of(*records: CallRecord) -> Summary:
    with Ledger() as ledger:
        for each in records:
            ledger.record(each)
        assert ledger.dropped == 0
        return ledger.summary()


def ledger_with(path: Any, **columns: Any) -> None:
    """Write two calls and change these columns of the second, whatever their constraints."""
    with Ledger(path) as ledger:
        ledger.record(record("1"))
        ledger.record(record("2", savings=(Saving(strategy="routing", amount=Decimal(1)),)))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '')")
    connection.commit()
    connection.close()
    connection = sqlite3.connect(path)
    for name, value in columns.items():
        connection.execute(f"UPDATE calls SET {name} = ? WHERE id = '2'", (value,))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("amount", NO_AMOUNTS)
@pytest.mark.parametrize("field", ["cost", "baseline_cost"])
def test_what_is_no_amount_is_unknown_and_not_free(amount: str, field: str) -> None:
    found = summary_of(record("1"), record("2", **{field: Decimal(amount)}))
    assert (found.requests, found.uncompared) == (2, 1)
    assert found.unpriced == (field == "cost")
    assert found.cost == (1 if field == "cost" else 2)
    assert found.damaged == 0, "it was repaired before it was written"
    assert "NaN" not in json.dumps(found.as_dict())
    assert len(str(found)) < 2_000


def test_a_saving_that_is_no_amount_leaves_the_call_out_of_the_comparison() -> None:
    saving = Saving(strategy="routing", amount=Decimal("1e999999"))
    found = summary_of(record(savings=(saving,)))
    assert (found.cost, found.uncompared, dict(found.by_strategy)) == (1, 1, {})


def test_an_amount_of_too_many_digits_is_rounded() -> None:
    assert summary_of(record(cost=Decimal("0." + "3" * 50_000))).cost == Decimal("0." + "3" * 60)


@pytest.mark.parametrize("count", [-1, 2**63, 10**40, 1.5, True, "7", None])
def test_a_count_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(ConfigurationError, match="input_tokens"):
        Usage(input_tokens=count)


@pytest.mark.parametrize("count", [-1, 2**63, 10**40, 1.5, "7"])
def test_a_report_of_such_counts_says_nothing(count: Any) -> None:
    assert Usage.read({"prompt_tokens": count, "completion_tokens": 1}) is None


def test_the_largest_counts_can_be_added_up() -> None:
    most = Usage(input_tokens=2**63 - 1)
    assert summary_of(record("1", usage=most), record("2", usage=most)).requests == 2


@pytest.mark.parametrize(
    "tags",
    [
        {"user": "\ud800"},
        {"\x1b[2J": "\u202e"},
        {"user": "x" * 1_000_000},
        {"": ""},
    ],
)
def test_no_record_is_lost_for_a_bad_tag(tags: Any) -> None:
    found = summary_of(record(tags=tags))
    assert (found.requests, found.cost, found.damaged) == (1, 1, 0)


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_no_record_is_lost_for_its_names(name: str, tags: dict[str, str]) -> None:
    found = summary_of(record(name, model=name, provider=name, error=name, tags=tags))
    assert (found.requests, found.damaged) == (1, 0)


@pytest.mark.parametrize("latency", [float("nan"), float("inf"), -1.0])
def test_a_latency_that_cannot_be_is_unknown(latency: Any) -> None:
    with Ledger() as ledger:
        ledger.record(record(latency_s=latency))
        (kept,) = ledger.records()
    assert kept.latency_s is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[("cost", amount) for amount in [*NO_AMOUNTS, "a lot", "", b"1", "9" * 100_000]],
        *[("baseline_cost", amount) for amount in ["NaN", "a lot", b"\xff"]],
        *[("input_tokens", count) for count in ["many", -1, None, 1.5, b"1", 1e300]],
        *[("tags", text) for text in ["{", "[1]", "null", None, b"\xff", '{"a": 1}', "[" * 9_999]],
        *[("savings", text) for text in ["{", "3", '[["a"]]', '[["a","NaN","measured"]]', None]],
        *[("baseline_usage", text) for text in ["{", "[]", '{"x": 1}', b"\xff"]],
        *[(name, value) for name in ("model", "tier", "status") for value in (None, b"\xff")],
        *[("latency_s", value) for value in ("soon", b"1", float("inf"))],
        ("id", None),
        ("id", b"\xff"),
    ],
)
def test_a_damaged_row_counts_as_far_as_it_can_be_read(
    tmp_path: Any, column: str, value: object
) -> None:
    ledger_with(tmp_path / "l.db", **{column: value})
    with Ledger(tmp_path / "l.db") as ledger:
        found = ledger.summary()
    assert (found.requests, found.damaged) == (2, 1)
    assert found.cost == (1 if column == "cost" else 2)
    assert found.unpriced == (column == "cost")
    assert "Damaged rows, counted as far as they can be read  1" in str(found)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["damaged"] == 1


@pytest.mark.parametrize("time", ["yesterday", None, 2**62, b"1", float("inf")])
def test_a_row_without_a_time_is_counted_as_damaged_only(tmp_path: Any, time: object) -> None:
    ledger_with(tmp_path / "l.db", time=time)
    with Ledger(tmp_path / "l.db") as ledger:
        found = ledger.summary()
        assert len(list(ledger.records())) == 1
    assert (found.requests, found.damaged, found.cost) == (1, 1, 1)


@pytest.mark.parametrize(
    ("column", "value"), [("payload", "{"), ("payload", "[]"), ("payload", b"\xff"), ("time", "x")]
)
def test_a_damaged_note_is_left_out(tmp_path: Any, column: str, value: object) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.note("kind", {"a": 1}, id="1")
        ledger.note("kind", {"a": 2}, id="2")
    with sqlite3.connect(tmp_path / "l.db") as connection:
        connection.execute(f"UPDATE notes SET {column} = ? WHERE id = '1'", (value,))
    connection.close()
    with Ledger(tmp_path / "l.db") as ledger:
        kept = [note.payload for note in ledger.notes("kind")]
    assert {"a": 2} in kept
    assert len(kept) == 1


def test_secrets_are_not_kept(tmp_path: Any) -> None:
    key = "sk-proj-abcdefgh12345678"
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(
            record(
                tags={"api_key": key, "note": f"uses {key}", "max_tokens": "5"},
                error=f"AuthenticationError: {key}",
            )
        )
        ledger.note("decision", {"headers": {"Authorization": "Bearer abc"}, "why": f"key {key}"})
        (kept,) = ledger.records()
        (note,) = ledger.notes("decision")
    assert kept.tags == {"note": "uses [removed]", "max_tokens": "5"}
    assert note.payload == {"headers": "[removed]", "why": "key [removed]"}
    assert key.encode() not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
