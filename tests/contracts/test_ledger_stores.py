"""What every ledger store must do: in memory, in a file, on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.costs import CallRecord, Saving, Usage
from llm_optimizers.costs.ledger.sqlite import SQLiteLedgerStore
from llm_optimizers.costs.ledger.store import LedgerStore
from llm_optimizers.costs.records import LedgerNote
from llm_optimizers.costs.tally import Tally
from llm_optimizers.errors import ConfigurationError

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
ALWAYS = 2**62
HOUR = timedelta(hours=1)
Make = Callable[[], LedgerStore]


@pytest.fixture(
    params=[
        "memory",
        "file",
        pytest.param("postgres", marks=[pytest.mark.loopback, pytest.mark.postgres]),
    ]
)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens stores of one place: a file or a database. One of memory has its own place."""
    opened: list[LedgerStore] = []

    def keep(store: LedgerStore) -> LedgerStore:
        opened.append(store)
        return store

    if request.param == "postgres":
        from llm_optimizers.costs.ledger.postgres import PostgresLedgerStore

        with request.getfixturevalue("postgres").database() as url:
            yield lambda: keep(PostgresLedgerStore(url))
            for store in opened:
                store.close()
        return
    path = tmp_path / "ledger.db" if request.param == "file" else None
    yield lambda: keep(SQLiteLedgerStore(path, wait=5))
    for store in opened:
        store.close()


@pytest.fixture
def shared(make: Make, request: pytest.FixtureRequest) -> Make:
    """As `make`, without memory, which no two stores share."""
    if "memory" in request.node.callspec.id:
        pytest.skip("no two stores share memory")
    return make


@pytest.fixture
def store(make: Make) -> LedgerStore:
    return make()


def call(name: str, **changes: Any) -> CallRecord:
    usual: dict[str, Any] = {
        "id": name,
        "time": AT,
        "model": "gpt-4o",
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost": Decimal("0.000075"),
        "baseline_model": "gpt-4o",
        "baseline_cost": Decimal("0.000075"),
    }
    return CallRecord(**(usual | changes))


def note(name: str, kind: str = "label", **changes: Any) -> LedgerNote:
    return replace(LedgerNote(id=name, time=AT, kind=kind, payload={"n": name}), **changes)


def micros(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def calls(store: LedgerStore, *, most: int = 1_000, **when: int) -> list[CallRecord]:
    """Every record of a store, read in pages."""
    found, seen = [], 0
    while True:
        where = {"since": -ALWAYS, "until": ALWAYS} | when
        page = store.calls(seen, most=most, **where)
        found += [each.value for each in page if each.value is not None]
        assert not any(each.damaged for each in page)
        if len(page) < most:
            return found
        seen = page[-1].seq


def ids(store: LedgerStore, **when: int) -> list[str]:
    return [record.id for record in calls(store, **when)]


def notes(store: LedgerStore, kind: str = "label", since: int = -ALWAYS) -> list[LedgerNote]:
    page = store.notes(0, kind=kind, since=since, most=1_000)
    return [each.value for each in page if each.value is not None]


FULL = call(
    "full",
    time=AT + timedelta(microseconds=1),
    provider="openai",
    tier="batch",
    usage=Usage(**{name: n for n, name in enumerate(Usage().as_dict(), 1)} | {"input_tokens": 99}),
    cost=Decimal("0.1000000000000000000000000000000001"),
    baseline_model="o1",
    baseline_cost=Decimal("123456789012345.000000000000000000001"),
    baseline_usage=Usage(input_tokens=2**62),
    savings=(Saving(strategy="routing", amount=Decimal("-1E-20"), basis="estimated"),),
    tags={"user": "Zoë '; DROP TABLE calls --", "": "\u2028 😀"},
    latency_s=0.1,
    status="error",
    estimated=True,
    error="TimeoutError",
    priced_by="provider",
    suspicious=True,
    held_out=True,
    hit_strategy="cache.exact",
    unpriced="no rate for audio",
    bucket=7,
    baseline_low=Decimal("0.01"),
    at_least=Decimal("1E-9"),
    kind="embedding",
)


def test_the_full_record_sets_every_field() -> None:
    """Every field has to reach the columns of every store."""
    optional = [each for each in fields(CallRecord) if each.default is not MISSING]
    assert [each.name for each in optional if getattr(FULL, each.name) == each.default] == []
    assert all(FULL.usage.as_dict().values())


@pytest.mark.parametrize(
    "record",
    [
        FULL,
        call("least", cost=None, baseline_cost=None, unpriced="no price is known"),
        call("hit", hit_strategy="cache.exact", usage=Usage(), cost=Decimal(0)),
        call("first", time=datetime(1, 1, 1, tzinfo=UTC)),
        call("last", time=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        call("1" * 1_000),
        call("text", model="a\nb\tc\\x00 ünï", tags={"a": '{"b": [1]}'}),
    ],
    ids=lambda record: record.id[:10],
)
def test_a_record_is_read_as_it_was_written(store: LedgerStore, record: CallRecord) -> None:
    store.write([record], wait=5)
    (found,) = calls(store)
    assert replace(found, id="") == replace(record, id="")
    assert found.id[:600] == record.id[:600]


@pytest.mark.parametrize("odd", ["\0", "a\0b", "\ud83d", "é" * 5_000, "\x1b[2J", "'\"\\"])
def test_no_text_is_refused(store: LedgerStore, odd: str) -> None:
    record = call(odd, model=odd, provider=odd, tags={odd: odd}, error=odd, hit_strategy=odd)
    payload: Any = {odd: [odd, {"deep": odd}]}
    store.write([record, note(f"a{odd}", f"k{odd}", payload=payload), record], wait=5)
    assert len(calls(store)) == 1
    (found,) = notes(store, f"k{odd}")
    assert found.payload == payload


def test_entries_are_read_in_the_order_written(store: LedgerStore) -> None:
    names = [str(n * 7 % 10) for n in range(10)]
    store.write([call(n, time=AT - int(n) * HOUR) for n in names], wait=5)
    store.write([call("later", time=AT - 99 * HOUR)], wait=5)
    assert ids(store, most=3) == [*names, "later"]
    assert [each.seq for each in store.calls(0, since=-ALWAYS, until=ALWAYS, most=99)] == sorted(
        each.seq for each in store.calls(0, since=-ALWAYS, until=ALWAYS, most=99)
    )


def test_an_id_is_stored_once(store: LedgerStore) -> None:
    store.write([call("1"), call("1", model="other"), call("2")], wait=5)
    store.write([call("2", model="other"), call("3")], wait=5)
    assert [(each.id, each.model) for each in calls(store)] == [
        ("1", "gpt-4o"),
        ("2", "gpt-4o"),
        ("3", "gpt-4o"),
    ]


def test_the_framework_s_record_of_a_hit_replaces_the_cache_s_in_its_place(
    store: LedgerStore,
) -> None:
    own = call("hit", hit_strategy="cache.exact", usage=Usage(), cost=Decimal(0))
    fuller = replace(own, latency_s=0.5, tags={"user": "u1"})
    store.write([own, call("2")], wait=5)
    store.write([fuller], wait=5)
    store.write([own, replace(fuller, latency_s=0.7), call("hit", latency_s=1.0)], wait=5)
    assert calls(store) == [fuller, call("2")]


def test_one_group_is_written_whole_or_not_at_all(store: LedgerStore) -> None:
    broken = call("broken")
    object.__setattr__(broken, "time", "no time")
    with pytest.raises(ConfigurationError):
        store.write([call("1"), broken, note("1")], wait=5)
    store.write([call("2")], wait=5)
    assert ids(store) == ["2"]
    assert notes(store) == []


def test_times_are_from_since_until_before_until(store: LedgerStore) -> None:
    store.write([call(str(n), time=AT + n * HOUR) for n in range(4)], wait=5)
    found = ids(store, since=micros(AT + HOUR), until=micros(AT + 3 * HOUR))
    assert found == ["1", "2"]
    store.write([note(str(n), time=AT + n * HOUR) for n in range(3)], wait=5)
    assert [each.id for each in notes(store, since=micros(AT + HOUR))] == ["1", "2"]


def test_notes_are_stored_once_and_read_by_kind(store: LedgerStore) -> None:
    second = note("1", payload={"other": True})
    store.write([note("1"), second, note("2", "arm"), note("3")], wait=5)
    store.write([second, call("1")], wait=5)
    assert notes(store) == [note("1"), note("3")]
    assert notes(store, "arm") == [note("2", "arm")]
    assert notes(store, "none") == []


def test_a_reader_sees_what_another_store_has_written(shared: Make) -> None:
    one, two = shared(), shared()
    one.write([call("1")], wait=5)
    two.write([call("2"), call("1")], wait=5)
    assert ids(one) == ids(two) == ["1", "2"]


def test_it_is_opened_again_after_it_was_closed(shared: Make) -> None:
    store = shared()
    store.open()
    store.write([call("1")], wait=5)
    store.close()
    store.close()
    store.write([call("2")], wait=5)
    assert ids(store) == ["1", "2"]


def test_pages_miss_nothing_that_is_written_meanwhile(shared: Make) -> None:
    """A reader goes on after the last number it saw; a smaller one must not appear later."""
    done = threading.Event()

    def write(name: str) -> None:
        store = shared()
        for n in range(30):
            store.write([call(f"{name} {n} {i}") for i in range(5)], wait=30)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    reader, seen, last = shared(), [], 0
    for thread in threads:
        thread.start()
    while not done.is_set():
        if not any(thread.is_alive() for thread in threads):
            done.set()  # one more page after the last write
        while page := reader.calls(last, since=-ALWAYS, until=ALWAYS, most=7):
            seen += [each.value.id for each in page if each.value is not None]
            last = page[-1].seq
    assert sorted(seen) == sorted(ids(reader))
    assert len(seen) == 4 * 30 * 5


def test_64_threads_lose_and_double_nothing(store: LedgerStore) -> None:
    def write(thread: int) -> None:
        for n in range(2):
            store.write([call(f"{thread} {n}"), call(f"all {n}"), note(f"{thread} {n}")], wait=60)
            store.calls(0, since=-ALWAYS, until=ALWAYS, most=5)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids(store)) == len(set(ids(store))) == 64 * 2 + 2
    assert len(notes(store)) == 64 * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_parent_and_child_go_on_after_a_fork(shared: Make) -> None:
    store = shared()
    store.write([call("before")], wait=5)
    context = multiprocessing.get_context("fork")

    def child() -> None:
        store.write([call("child")], wait=5)
        store.close()

    process = context.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    store.write([call("parent")], wait=5)
    assert ids(store) == ["before", "child", "parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_is_forked_while_threads_write(shared: Make) -> None:
    store, ended = shared(), threading.Event()

    def write(thread: int) -> None:
        n = 0
        while not ended.is_set():
            store.write([call(f"{thread} {n}")], wait=30)
            n += 1

    def child(number: int) -> None:
        store.write([call(f"child {number}")], wait=30)
        os._exit(0)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child, args=(n,)) for n in range(4)]
    for each in children:
        each.start()
        time.sleep(0.01)
    for each in children:
        each.join(60)
    ended.set()
    for thread in threads:
        thread.join()
    assert [each.exitcode for each in children] == [0] * 4
    assert {f"child {n}" for n in range(4)} < set(ids(store))


def one_of_many(number: int) -> CallRecord:
    """A call whose kind, time and names depend on a number."""
    known = number % 7 != 0
    return call(
        str(number),
        time=AT + number * timedelta(minutes=7, microseconds=number),
        model=f"m{number % 3}",
        usage=Usage(input_tokens=2**62 if number % 40 == 0 else number, output_tokens=number % 5),
        cost=Decimal(number) / 10**9 if known else None,
        unpriced=None if known else f"reason {number % 2}",
        baseline_cost=Decimal(number * 3) / 10**9 if number % 5 else None,
        savings=(Saving(strategy="routing", amount=Decimal(number) / 10**10),),
        hit_strategy="cache.exact" if number % 6 == 0 else None,
        tags={"user": f"u{number % 4}", "a=b": "\0'"} if number % 2 else {},
        status="error" if number % 9 == 0 else "ok",
        estimated=number % 8 == 0,
        suspicious=number % 40 == 0,
        held_out=number % 10 == 0,
        bucket=number % 40,
        priced_by="list" if known else None,
    )


MANY = [one_of_many(number) for number in range(150)]


@pytest.mark.parametrize("since", [None, AT, AT + timedelta(minutes=100), AT + 99 * HOUR])
@pytest.mark.parametrize("until", [None, AT + timedelta(minutes=130), AT + 5 * HOUR])
def test_totals_are_the_sum_of_the_calls_to_the_last_digit(
    store: LedgerStore, since: datetime | None, until: datetime | None
) -> None:
    for start in range(0, len(MANY), 40):
        store.write([*MANY[start : start + 40], MANY[0], note(str(start))], wait=5)
    first = -ALWAYS if since is None else micros(since)
    last = ALWAYS if until is None else micros(until)
    for _ in range(2):  # those of whole hours may be kept by now
        found = store.totals(since=first, until=last)
        page = store.calls(0, since=first, until=last, most=1_000)
        expected = Tally().add_rows((each.value, each.damaged) for each in page)
        assert found.summary() == expected.summary()
    assert store.check(repair=False) == []


def test_a_replaced_hit_is_taken_out_of_the_totals(store: LedgerStore) -> None:
    own = call("hit", hit_strategy="cache.exact", usage=Usage(), cost=Decimal(0))
    fuller = replace(own, latency_s=0.5, tags={"user": "u1"}, model="other", time=AT + 3 * HOUR)
    store.write([own, call("2")], wait=5)
    store.totals(since=-ALWAYS, until=ALWAYS)
    store.write([fuller, own], wait=5)
    expected = Tally().add_rows([(fuller, False), (call("2"), False)])
    assert store.totals(since=-ALWAYS, until=ALWAYS).summary() == expected.summary()
    assert store.check(repair=True) == []


def test_two_writers_keep_one_sum(shared: Make) -> None:
    def write(name: str) -> None:
        store = shared()
        for n in range(10):
            store.write([call(f"{name} {n}"), call(f"both {n}")], wait=30)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared().totals(since=-ALWAYS, until=ALWAYS).total.calls == 40
    assert shared().check(repair=False) == []


def pruned(store: LedgerStore, before: datetime) -> int:
    deleted = 0
    while more := store.prune(micros(before), most=2):
        deleted += more
    return deleted


def test_pruning_deletes_calls_and_keeps_their_sums(store: LedgerStore) -> None:
    store.write([*MANY, note("old")], wait=5)
    before = store.totals(since=-ALWAYS, until=ALWAYS).summary()
    old = [record for record in MANY if record.time < AT + 5 * HOUR]
    assert pruned(store, AT + 5 * HOUR + timedelta(minutes=59)) == len(old)
    assert ids(store) == [record.id for record in MANY if record not in old]
    assert store.totals(since=-ALWAYS, until=ALWAYS).summary() == before
    assert len(notes(store)) == 1
    assert pruned(store, AT + 5 * HOUR) == 0
    assert store.check(repair=True) == []
    assert store.totals(since=-ALWAYS, until=ALWAYS).summary() == before


def test_a_call_that_comes_late_for_a_pruned_hour_is_added(store: LedgerStore) -> None:
    store.write([call("1"), call("2")], wait=5)
    pruned(store, AT + HOUR)
    store.write([call("late")], wait=5)
    assert ids(store) == ["late"]
    assert store.totals(since=-ALWAYS, until=ALWAYS).total.calls == 3
    assert pruned(store, AT + HOUR) == 1
    assert store.totals(since=-ALWAYS, until=ALWAYS).total.calls == 3
