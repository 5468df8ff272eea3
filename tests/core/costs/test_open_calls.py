"""What has begun is recorded exactly once: by its end, or as given up."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.open_calls import OpenCalls
from support.waiting import aeventually, collecting_nothing


class Thing:
    """What a framework holds while a call runs."""


class Given:
    """Open calls that note what was given up."""

    def __init__(self, ledger: Ledger | None = None, most: int = 100) -> None:
        self.up: list[tuple[str, bool]] = []
        self.calls: OpenCalls[str] = OpenCalls(self._note, ledger, most=most)

    def _note(self, call: str, *, cancelled: bool) -> None:
        self.up.append((call, cancelled))


def call_of(name: str) -> Call:
    return Call(id=name, time=datetime.now(UTC), asked="gpt-4o")


class TestEnds:
    def test_of_several_with_one_key_the_last_ends_first(self) -> None:
        given = Given()
        for name in ("outer", "inner"):
            given.calls.begin("span", name)
        assert given.calls.find("span") == "inner"
        assert given.calls.all_of(["span", "other"]) == ["outer", "inner"]
        assert [given.calls.end("span") for _ in range(3)] == ["inner", "outer", None]
        assert len(given.calls) == 0

    def test_a_call_that_was_given_up_has_no_end(self) -> None:
        given = Given()
        given.calls.begin("a", "a")
        given.calls.end_all()
        assert given.calls.end("a") is None
        given.calls.end_all()
        assert given.up == [("a", False)]

    def test_beyond_a_limit_the_oldest_is_given_up(self) -> None:
        given = Given(most=3)
        for number in range(1_000):
            given.calls.begin(number, str(number))
            assert len(given.calls) <= 3
        assert given.up == [(str(number), False) for number in range(997)]

    def test_many_threads_record_each_call_once(self) -> None:
        given, ended = Given(most=10_000), list[str]()

        def work(thread: int) -> None:
            for number in range(200):
                name, thing = f"{thread}-{number}", Thing()
                given.calls.begin(name, name)
                given.calls.watch(name, thing)
                if number % 2:
                    found = given.calls.end(name)
                    ended.extend([found] if found is not None else [])
                del thing

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        given.calls.settle()
        assert len(ended) == 1_600
        assert sorted([*ended, *(name for name, _ in given.up)]) == sorted(
            f"{thread}-{number}" for thread in range(16) for number in range(200)
        )


class TestLost:
    def test_a_freed_object_gives_its_call_up_once(self) -> None:
        given, things = Given(), [Thing(), Thing()]
        given.calls.begin("a", "first")
        given.calls.watch("a", things[0])
        given.calls.watch("a", things[1])
        given.calls.begin("a", "second")
        with collecting_nothing():
            things.clear()
            given.calls.settle()
        assert given.up == [("first", True)]
        assert given.calls.end("a") == "second"

    def test_an_ended_call_is_not_given_up(self) -> None:
        given, thing = Given(), Thing()
        given.calls.begin("a", "a")
        given.calls.watch("a", thing)
        given.calls.end("a")
        given.calls.begin("a", "another")
        del thing
        given.calls.settle()
        assert given.up == []

    async def test_in_an_event_loop_it_is_recorded_without_being_asked(self) -> None:
        given, thing = Given(), Thing()
        given.calls.begin("a", "a")
        given.calls.watch("a", thing)
        del thing
        await aeventually(lambda: given.up)
        assert given.up == [("a", True)]

    async def test_an_event_loop_does_not_wait_for_a_thread_that_records(self) -> None:
        began, go_on, names = threading.Event(), threading.Event(), list[str]()

        def give_up(call: str, *, cancelled: bool) -> None:
            if call == "slow":
                began.set()
                assert go_on.wait(30)
            names.append(call)

        calls, things = OpenCalls(give_up), {"slow": Thing(), "other": Thing()}
        for name, thing in things.items():
            calls.begin(name, name)
            calls.watch(name, thing)
        del thing

        def read() -> None:
            del things["slow"]
            calls.settle()

        reading = asyncio.create_task(asyncio.to_thread(read))
        await aeventually(began.is_set)
        del things["other"]
        calls.begin("another", "another")
        await asyncio.sleep(0)
        go_on.set()
        await aeventually(lambda: names == ["slow", "other"])
        await reading

    def test_a_failing_record_loses_no_other(self, caplog: pytest.LogCaptureFixture) -> None:
        names: list[str] = []

        def give_up(call: str, *, cancelled: bool) -> None:
            names.append(call)
            raise ValueError(f"the prompt of {call}")

        calls = OpenCalls(give_up)
        for name in ("a", "b"):
            calls.begin(name, name)
        calls.end_all()
        assert names == ["a", "b"]
        assert "ValueError" in caplog.text
        assert "prompt" not in caplog.text

    def test_nothing_of_a_call_stays(self) -> None:
        calls: OpenCalls[Thing] = OpenCalls(lambda call, *, cancelled: None)
        alive = []
        for number in range(1_000):
            call, thing = Thing(), Thing()
            alive += [weakref.ref(call), weakref.ref(thing)]
            calls.begin(number, call)
            calls.watch(number, thing)
            if number % 2:
                calls.end(number)
        del call, thing
        calls.settle()
        assert not any(ref() is not None for ref in alive)
        assert len(calls) == 0


class TestLedgers:
    def test_what_was_given_up_is_there_when_the_ledger_is_read(self) -> None:
        ledger, thing = Ledger(), Thing()
        calls: OpenCalls[Call] = OpenCalls(lambda call, *, cancelled: call.account(ledger), ledger)
        calls.begin("a", call_of("a"))
        calls.watch("a", thing)
        assert not list(ledger.records())
        del thing
        assert [record.id for record in ledger.records()] == ["a"]

    def test_what_is_in_flight_when_the_ledger_is_closed_is_in_it(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path / "costs.sqlite")
        calls: OpenCalls[Call] = OpenCalls(lambda call, *, cancelled: call.account(ledger), ledger)
        calls.begin("a", call_of("a"))
        ledger.close()
        assert calls.end("a") is None
        with Ledger(tmp_path / "costs.sqlite") as again:
            assert [record.id for record in again.records()] == ["a"]
        assert ledger.dropped == 0

    def test_tokens_are_counted_off_the_event_loop(self) -> None:
        ledger, threads = Ledger(), dict[str, int]()
        calls: OpenCalls[Call] = OpenCalls(lambda call, *, cancelled: None, ledger)

        def account(name: str) -> None:
            def counted() -> Usage:
                threads[name] = threading.get_ident()
                return Usage(input_tokens=5)

            calls.account(call_of(name), counted)

        async def in_a_loop() -> None:
            account("in a loop")

        asyncio.run(in_a_loop())
        account("outside")
        assert [record.usage.input_tokens for record in ledger.records()] == [5, 5]
        here = threading.get_ident()
        assert threads["outside"] == here != threads["in a loop"]

    def test_a_call_is_recorded_when_its_handler_is_gone(self) -> None:
        ledger, thing = Ledger(), Thing()
        calls: OpenCalls[Call] | None = OpenCalls(
            lambda call, *, cancelled: call.account(ledger), ledger
        )
        assert calls is not None
        calls.begin("a", call_of("a"))
        calls.watch("a", thing)
        del calls
        gc.collect()
        del thing
        assert [record.id for record in ledger.records()] == ["a"]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_process_leaves_its_parents_calls_to_it(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path / "costs.sqlite")
        calls: OpenCalls[Call] = OpenCalls(lambda call, *, cancelled: call.account(ledger), ledger)
        calls.begin("a", call_of("a"))
        child = os.fork()
        if child == 0:
            calls.end_all()
            os._exit(len(list(ledger.records())))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert calls.end("a") is not None
