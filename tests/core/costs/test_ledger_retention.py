"""A ledger that keeps so many days: old calls go, their sums stay, and records are written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from llm_optimizers.costs import CallRecord, Ledger, Usage
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.events import Notice, subscribe
from support.waiting import eventually

NOW = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def call(name: str, time: datetime) -> CallRecord:
    return CallRecord(
        id=name,
        time=time,
        model="gpt-4o",
        usage=Usage(input_tokens=1),
        cost=Decimal(1),
        baseline_model="gpt-4o",
        baseline_cost=Decimal(1),
    )


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now.timestamp()


def written(ledger: Ledger, name: str, time: datetime) -> None:
    ledger.record(call(name, time))
    ledger.flush()


def left(ledger: Ledger, clock: Clock) -> Callable[[], set[str]]:
    """The ids of what is left, not counting calls that make the thread go on."""

    def look() -> set[str]:
        written(ledger, f"tick {threading.get_native_id()} {clock()} {id(object())}", clock.now)
        return {each.id for each in ledger.records() if not each.id.startswith("tick")}

    return look


def test_old_calls_are_deleted_once_a_day_and_their_sums_stay(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "ledger.db"
    with Ledger(path, clock=clock) as ledger:
        for days in range(12):
            ledger.record(call(str(days), NOW - days * DAY))
        ledger.note("label", {})
    with Ledger(path, keep_days=7, clock=clock) as ledger:
        looked = left(ledger, clock)
        eventually(lambda: looked() == set(map(str, range(8))))
        for _ in range(2):
            looked()  # so that it has found nothing more to delete
        clock.now += timedelta(hours=23)
        assert len(looked()) == 8
        clock.now += timedelta(hours=2)
        eventually(lambda: looked() == set(map(str, range(7))))
        assert ledger.summary(until=NOW - timedelta(minutes=30)).cost == 11
        assert len(list(ledger.notes("label"))) == 1


def test_without_it_everything_is_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        written(ledger, "old", datetime(1999, 1, 1, tzinfo=UTC))
        written(ledger, "new", NOW)
        assert len(list(ledger.records())) == 2


def test_what_cannot_be_deleted_is_said_once_and_records_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_optimizers.costs.ledger.sqlite import SQLiteLedgerStore

    def broken(*_: object, **__: object) -> int:
        raise RuntimeError("no luck")

    monkeypatch.setattr(SQLiteLedgerStore, "prune", broken)
    clock, said = Clock(), list[Notice]()
    with (
        subscribe(said.append, Notice),
        Ledger(tmp_path / "ledger.db", keep_days=1, clock=clock) as ledger,
    ):
        written(ledger, "old", NOW - 9 * DAY)
        looked = left(ledger, clock)
        eventually(lambda: looked() and said)
        for _ in range(3):
            clock.now += 2 * DAY
            assert looked() == {"old"}
    assert "old calls of the cost ledger" in said[0].message
    assert [notice.repeated for notice in said[:2]] in ([False], [False, True])


@pytest.mark.parametrize("days", [0, -1, "7", float("nan"), float("inf"), True, 10**9])
def test_what_is_no_number_of_days_is_refused(days: object) -> None:
    with pytest.raises(ConfigurationError, match="`keep_days`"):
        Ledger(keep_days=days)  # type: ignore[arg-type]
