"""A ledger on PostgreSQL: trouble at the server, and nothing of others is touched."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import CallRecord, Ledger, Usage
from llm_optimizers.costs.ledger.postgres import PostgresLedgerStore
from llm_optimizers.errors import BusyError, ConfigurationError, SchemaError, StoreError
from support.postgres_server import PASSWORD, PostgresProcess
from support.waiting import eventually

pytestmark = [pytest.mark.loopback, pytest.mark.postgres]
EVER = 2**62


@pytest.fixture
def url(postgres: PostgresProcess) -> Iterator[str]:
    with postgres.database() as found:
        yield found


@pytest.fixture
def sql(url: str, postgres: PostgresProcess) -> Callable[[str], str]:
    name = url.rpartition("/")[2]
    return lambda statement: postgres.sql(statement, name)


@pytest.fixture
def make(url: str) -> Iterator[Callable[..., PostgresLedgerStore]]:
    opened: list[PostgresLedgerStore] = []

    def make(query: str = "", **options: Any) -> PostgresLedgerStore:
        opened.append(PostgresLedgerStore(url + query, **options))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def call(name: str, **changes: Any) -> CallRecord:
    usual: dict[str, Any] = {
        "id": name,
        "time": datetime(2026, 11, 1, tzinfo=UTC),
        "model": "gpt-4o",
        "usage": Usage(input_tokens=10),
        "cost": Decimal("0.1"),
        "baseline_model": "gpt-4o",
        "baseline_cost": Decimal("0.1"),
    }
    return CallRecord(**(usual | changes))


def ids(store: PostgresLedgerStore, after: int = 0) -> list[str]:
    page = store.calls(after, since=-EVER, until=EVER, most=1_000)
    return [each.value.id for each in page if each.value is not None]


def test_a_row_that_is_committed_late_is_not_before_what_was_read(make, sql):
    """An identity column gives the late row the smaller number; readers go on after the last."""
    make().open()
    sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$;"
        "CREATE TRIGGER slow BEFORE INSERT ON llm_optimizers.calls FOR EACH ROW "
        "WHEN (NEW.id = 'slow') EXECUTE FUNCTION slow()"
    )
    slow = threading.Thread(target=make().write, args=([call("slow")],), kwargs={"wait": 5})
    slow.start()
    eventually(
        lambda: sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"
    )
    fast = make()
    with pytest.raises(BusyError, match="another writer"):
        fast.write([call("not now")], wait=0.01)
    fast.write([call("fast")], wait=5)
    seen = ids(fast)
    slow.join()
    assert seen == ids(fast) == ["slow", "fast"]


def test_a_server_that_was_started_again_is_used_again(make, postgres):
    store = make()
    store.write([call("1")], wait=5)
    postgres.stop()
    postgres.start()
    store.write([call("2")], wait=5)
    postgres.stop()
    try:
        with pytest.raises(StoreError, match=r"cannot be reached.*is it up"):
            store.write([call("3")], wait=5)
        with pytest.raises(StoreError, match="cannot be reached"):
            ids(store)
    finally:
        postgres.start()
    store.write([call("3")], wait=5)
    assert ids(store) == ["1", "2", "3"]


def test_a_server_that_hangs_is_given_up(make, postgres):
    store = make(seconds=0.5)
    store.write([call("1")], wait=5)
    postgres.pause()
    try:
        with pytest.raises(StoreError, match=r"did not answer within 0\.5 s"):
            store.write([call("2")], wait=5)
    finally:
        postgres.resume()
    store.write([call("2"), call("3")], wait=5)
    assert ids(store) == ["1", "2", "3"]


def test_no_free_connection_is_trouble_that_passes(make, postgres, sql, url):
    store = make()
    store.open()
    store.close()
    role = f"few_{url[-8:]}"
    postgres.sql(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0 PASSWORD '{PASSWORD}'")
    other = PostgresLedgerStore(url.replace("//postgres:", f"//{role}:"))
    with pytest.raises(StoreError, match="too many connections"):
        other.write([call("1")], wait=5)
    postgres.sql(f"ALTER ROLE {role} CONNECTION LIMIT 5")
    with pytest.raises(StoreError, match=r"permission denied.*let its user"):
        other.write([call("1")], wait=5)
    sql(
        f"GRANT USAGE ON SCHEMA llm_optimizers TO {role};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA llm_optimizers TO {role}"
    )
    other.write([call("1")], wait=5)
    assert ids(other) == ["1"]
    other.close()
    sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_many_processes_create_the_tables_at_once(url):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(6)

    def work(number: int) -> None:
        store = PostgresLedgerStore(url)
        start.wait()
        store.write([call(str(number)), call("all")], wait=10)
        store.close()

    workers = [context.Process(target=work, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 6
    store = PostgresLedgerStore(url)
    assert sorted(ids(store)) == [*map(str, range(6)), "all"]
    store.close()


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE theirs.calls (id int)",
        "CREATE TABLE theirs.ledger_version (id int)",
        "CREATE TABLE theirs.ledger_version (kind text, version int)",
        "CREATE TABLE theirs.ledger_version (kind text, version int);"
        "INSERT INTO theirs.ledger_version VALUES ('another', 1)",
    ],
)
def test_another_program_s_tables_are_not_touched(make, sql, theirs):
    sql(f"CREATE SCHEMA theirs; {theirs}")
    tables = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema "
    before = sql(f"{tables} IN ('theirs', 'llm_optimizers')")
    with pytest.raises(SchemaError, match=r"tables of something else.*\?schema=NAME"):
        make("?schema=theirs").write([call("1")], wait=5)
    assert sql(f"{tables} IN ('theirs', 'llm_optimizers')") == before


def test_a_ledger_of_a_later_version_is_not_touched(make, sql):
    store = make()
    store.write([call("1")], wait=5)
    sql("UPDATE llm_optimizers.ledger_version SET version = 999")
    with pytest.raises(SchemaError, match=r"of version 999 .*upgrade llm-optimizers"):
        make().write([call("2")], wait=5)
    assert sql("SELECT id FROM llm_optimizers.calls") == "1"


def machine(url: str, name: str, start: Any) -> None:
    with Ledger(url=url) as ledger:
        start.wait()
        for number in range(300):
            ledger.record(call(f"{name} {number}"))
            ledger.record(call(f"both {number}"))
        ledger.note("label", {}, id=f"note {name}")


def test_machines_write_to_one_ledger_at_once(url):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)
    machines = [context.Process(target=machine, args=(url, name, start)) for name in "ab"]
    for each in machines:
        each.start()
    machine(url, "c", start)
    for each in machines:
        each.join()
        assert each.exitcode == 0
    with Ledger(url=url) as ledger:
        found = [record.id for record in ledger.records()]
        assert len(found) == len(set(found)) == 4 * 300
        assert ledger.summary().requests == 4 * 300
        assert len(list(ledger.notes("label"))) == 3


def test_records_wait_while_the_server_is_away(url, postgres):
    with Ledger(url=url) as ledger:
        ledger.record(call("1"))
        ledger.flush()
        postgres.stop()
        try:
            ledger.record(call("2"))
            with pytest.raises(StoreError, match="cannot be reached"):
                ledger.summary()
            ledger.record(call("3"))
        finally:
            postgres.start()
        eventually(lambda: written(ledger) == ["1", "2", "3"])
        assert ledger.dropped == 0


def written(ledger: Ledger) -> list[str]:
    try:
        return [record.id for record in ledger.records()]
    except StoreError:
        return []


def test_a_server_that_is_away_at_the_start_gets_the_records_later(url, postgres):
    postgres.stop()
    try:
        ledger = Ledger(url=url)
        ledger.record(call("1"))
    finally:
        postgres.start()
    with ledger:
        eventually(lambda: written(ledger) == ["1"])


def test_a_forked_child_records_on_its_own_connection(url):
    with Ledger(url=url) as ledger:
        ledger.record(call("before"))

        def child() -> None:
            ledger.record(call("child"))
            ledger.close()

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0
        ledger.record(call("parent"))
        assert written(ledger) == ["before", "child", "parent"]


def test_a_pickled_ledger_opens_the_server_again(url):
    with Ledger(url=url) as ledger, pickle.loads(pickle.dumps(ledger)) as copy:
        copy.record(call("1"))
        copy.flush()
        assert written(ledger) == ["1"]


def test_two_schemas_are_two_ledgers(make):
    one, two = make("?schema=one"), make("?schema=two")
    one.write([call("1")], wait=5)
    two.write([call("2")], wait=5)
    assert (ids(one), ids(two)) == (["1"], ["2"])


def test_removed_tables_are_made_again(make, sql):
    store = make()
    store.write([call("1")], wait=5)
    sql("DROP SCHEMA llm_optimizers CASCADE")
    assert ids(store) == []
    sql("DROP SCHEMA llm_optimizers CASCADE")
    store.write([call("2")], wait=5)
    assert ids(store) == ["2"]


def test_a_refused_entry_is_the_entry_s_fault_and_no_value_is_shown(make, sql):
    store = make()
    store.open()
    sql("ALTER TABLE llm_optimizers.calls ADD CHECK (model <> 'secret model')")
    with pytest.raises(ValueError, match="refuses an entry") as caught:
        store.write([call("1"), call("2", model="secret model")], wait=5)
    assert not isinstance(caught.value, StoreError)
    assert "secret model" not in str(caught.value)
    assert ids(store) == []


def test_a_full_disk_is_trouble_of_the_store(make, sql):
    """Simulated: a real one would need a file system of its own."""
    store = make()
    store.open()
    sql(
        "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE SQLSTATE '53100' USING MESSAGE = 'could not extend file'; END $$;"
        'CREATE TRIGGER "full" BEFORE INSERT ON llm_optimizers.calls EXECUTE FUNCTION full()'
    )
    with pytest.raises(StoreError, match="make room on its disk"):
        store.write([call("1")], wait=5)
    sql('DROP TRIGGER "full" ON llm_optimizers.calls')
    store.write([call("1")], wait=5)
    assert ids(store) == ["1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace(PASSWORD, f"{PASSWORD}-wrong"),
        lambda url: f"{url}_missing",
        lambda url: url.replace("//postgres", "//nobody"),
        lambda url: url.replace(PASSWORD, f"{PASSWORD}@x"),
        lambda url: url.replace(PASSWORD, f"{PASSWORD}/x"),
        lambda url: url.replace(PASSWORD, f"{PASSWORD}#x"),
        lambda url: url.replace("127.0.0.1", "[::1"),
        lambda url: f"{url}?sslmode=sometimes",
        lambda url: f"{url}?unknown=1",
        lambda url: f"{url}?schema=Bad;",
        lambda url: f"{url}?schema=pg_catalog",
        lambda url: url.replace("postgresql", "mysql"),
        lambda url: url.replace("postgresql://", ""),
    ],
)
def test_a_message_says_what_is_wrong_and_not_the_password(url, change):
    with pytest.raises((ConfigurationError, StoreError)) as caught:
        PostgresLedgerStore(change(url)).open()
    error: BaseException | None = caught.value
    assert len(str(error)) > 40
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__


@pytest.mark.parametrize("given", [None, b"postgresql://x", 5, ""])
def test_what_is_no_url_is_refused(given):
    with pytest.raises(ConfigurationError, match="`url`"):
        PostgresLedgerStore(given)


def test_without_the_extra_the_message_names_it():
    code = "import sys; sys.modules['psycopg'] = None\nimport llm_optimizers.costs.ledger.postgres"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'llm-optimizers[postgres]'" in done.stderr
