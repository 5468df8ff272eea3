"""An outage is announced when it begins and when it ends, and fills no log."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import CallRecord, Ledger, Usage
from llm_optimizers.errors import BusyError, StoreError
from llm_optimizers.events import (
    Event,
    ModelUnpriced,
    RecordsLost,
    SampleBought,
    StoreFailed,
    StoreRecovered,
    StrategyReturned,
    StrategyWithdrawn,
    VerdictGiven,
    subscribe,
)
from llm_optimizers.evidence import SampleStore, shadow
from llm_optimizers.failures import store_outage
from llm_optimizers.types import ChatRequest, Message
from support.waiting import eventually


@contextmanager
def events(*kinds: type[Event]) -> Iterator[list[Any]]:
    heard: list[Any] = []
    with subscribe(heard.append, *kinds):
        yield heard


def outage(clock: Any = lambda: 0.0) -> Any:
    return store_outage("tests.outage", "box", failed="down", recovered="up", clock=clock)


def kinds(heard: list[Event]) -> list[str]:
    return [type(each).__name__ for each in heard]


def request_for(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model="m")


def test_it_is_announced_once_at_each_end(caplog: pytest.LogCaptureFixture) -> None:
    box = outage()
    with events(StoreFailed, StoreRecovered) as heard:
        box.worked()
        for _ in range(3):
            box.failed(StoreError("no room"))
        for _ in range(3):
            box.worked()
    assert kinds(heard) == ["StoreFailed", "StoreRecovered"]
    assert (heard[0].store, heard[0].reason) == ("box", "no room")
    assert caplog.messages == ["down: no room", "up"]


def test_what_fails_every_second_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    box = outage(lambda: now[0])
    with events(StoreFailed, StoreRecovered) as heard:
        for _ in range(150):
            box.failed(OSError("a prompt"))
            box.worked()
            now[0] += 1.0
    assert len(heard) == 300, "who counts hears all"
    assert caplog.messages == ["down: OSError", "up"] * 3
    assert sum(not each.repeated for each in heard) == 6


def test_what_has_parts_works_again_once_all_of_them_do() -> None:
    box = outage()
    with events(StoreFailed, StoreRecovered) as heard:
        box.failed(OSError(), "writing")
        box.worked("reading")
        box.failed(OSError(), "reading")
        box.worked("writing")
        assert kinds(heard) == ["StoreFailed"]
        box.worked("reading")
    assert kinds(heard) == ["StoreFailed", "StoreRecovered"]


def test_threads_announce_it_once() -> None:
    box = outage()
    with events(StoreFailed, StoreRecovered) as heard:
        for act in (lambda: box.failed(OSError()), box.worked):
            threads = [threading.Thread(target=act) for _ in range(64)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert kinds(heard) == ["StoreFailed", "StoreRecovered"]


def test_a_caches_file_that_breaks_and_works_again_is_announced(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1_000.0]
    cache: ResponseCache[Any] = ResponseCache(
        path=tmp_path / "cache.sqlite", semantic=False, clock=lambda: now[0]
    )
    real = sqlite3.connect

    def broken(*_: Any, **__: Any) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    with events(StoreFailed, StoreRecovered) as heard:
        monkeypatch.setattr(sqlite3, "connect", broken)
        for number in range(3):
            assert cache.answer(request_for(f"{number}"), lambda: "live").value == "live"
        assert kinds(heard) == ["StoreFailed"]
        monkeypatch.setattr(sqlite3, "connect", real)
        now[0] += 120.0
        for number in range(2):
            assert cache.answer(request_for(f"{number}"), lambda: "live").value == "live"
    assert kinds(heard) == ["StoreFailed", "StoreRecovered"]
    assert heard[0].component == "llm_optimizers.caching"
    assert len(caplog.messages) == 2


def test_a_cache_without_its_embedder_matches_exactly_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Embeddings:
        down = False

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            if self.down:
                raise ConnectionError("the words of a prompt")
            return [[1.0, len(text)] for text in texts]

    now, embeddings = [1_000.0], Embeddings()
    cache: ResponseCache[Any] = ResponseCache(embeddings=embeddings, clock=lambda: now[0])
    with events(StrategyWithdrawn, StrategyReturned) as heard:
        for down in (False, True, True, False, False):
            embeddings.down = down
            now[0] += 120.0
            cache.answer(request_for(f"Where is parcel {now[0]}?"), lambda: "there")
    assert kinds(heard) == ["StrategyWithdrawn", "StrategyReturned"]
    assert {each.strategy for each in heard} == {"cache.semantic"}
    assert heard[0].reason == "ConnectionError"
    assert len(caplog.messages) == 2


def record(id: str, **fields: Any) -> CallRecord:  # noqa: A002 - as in the record
    usage = Usage(input_tokens=5, output_tokens=5)
    known = {"cost": None, "baseline_model": "m", "baseline_cost": None}
    return CallRecord(
        **{"id": id, "time": datetime.now(UTC), "model": "m", "usage": usage, **known, **fields}
    )


def test_a_ledger_that_fails_loses_counts_and_recovers(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    path = folder / "costs.sqlite"
    with events(StoreFailed, StoreRecovered, RecordsLost) as heard, Ledger(path) as ledger:
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE calls RENAME TO away")
        ledger.record(record("1", cost=Decimal(0)))
        eventually(lambda: "StoreFailed" in kinds(heard))
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE away RENAME TO calls")
        other.close()
        eventually(lambda: "StoreRecovered" in kinds(heard))
        assert [each.id for each in ledger.records()] == ["1"]
        ledger.record("no record")  # type: ignore[arg-type]
        ledger.record("no record")  # type: ignore[arg-type]
    assert kinds(heard) == ["StoreFailed", "StoreRecovered", "RecordsLost", "RecordsLost"]
    assert sum(each.count for each in heard[2:]) == ledger.dropped == 2
    assert caplog.text.count("no such table") == 1
    assert caplog.text.count("can be written again") == 1
    assert caplog.text.count("a record cannot be written") == 1


def test_a_model_without_a_price_is_announced_once_a_ledger(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with events(ModelUnpriced) as heard, Ledger() as ledger:
        threads = [
            threading.Thread(target=ledger.record, args=(record(f"{n}", model=f"m{n % 2}"),))
            for n in range(32)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ledger.record(record("priced", cost=Decimal(1), model="m3"))
        ledger.record(record("hosted", model="m0", provider="azure", unpriced="no batch price"))
    assert sorted((each.model, each.provider) for each in heard[:2]) == [("m0", None), ("m1", None)]
    (last,) = heard[2:]
    assert (last.provider, last.reason) == ("azure", "no batch price")
    assert len(caplog.messages) == 3


def test_samples_that_are_labelled_are_bought_and_judged() -> None:
    def answer(model: str, prompt: str) -> str:
        if "bad" in prompt:
            raise TimeoutError
        return f"{model}: {prompt}"

    traffic = [("one", ""), ("bad", ""), ("two", "")]
    with events(SampleBought, VerdictGiven) as heard:
        labels = list(shadow(traffic, ["a", "b"], answer=answer, grade=lambda *_: 0.5))
    assert len(labels) == 2
    assert [each.model for each in heard if isinstance(each, SampleBought)] == ["a", "b"] * 2
    verdicts = [each for each in heard if isinstance(each, VerdictGiven)]
    assert [(v.model, v.score, v.accepted) for v in verdicts] == [
        ("a", 0.5, None),
        ("b", 0.5, None),
    ] * 2


def test_a_sample_file_that_fails_and_works_again_is_announced(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, real = [1_000.0], sqlite3.connect

    def broken(*_: Any, **__: Any) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    store = SampleStore(tmp_path / "samples.sqlite", rate=1, clock=lambda: now[0])
    with events(StoreFailed, StoreRecovered) as heard:
        monkeypatch.setattr(sqlite3, "connect", broken)
        store.offer("What is a knot?")
        monkeypatch.setattr(sqlite3, "connect", real)
        now[0] += 120.0
        assert store.offer("What is a knot?")
        store.close()
    assert kinds(heard) == ["StoreFailed", "StoreRecovered"]


def test_a_store_in_use_by_another_has_failed_once_that_lasts() -> None:
    now = [0.0]
    outage = store_outage(
        "tests", "jobs", failed="it failed", recovered="it works", busy_s=5.0, clock=lambda: now[0]
    )
    with events(StoreFailed, StoreRecovered) as heard:
        for now[0] in (0.0, 4.0):
            outage.failed(BusyError("locked"))
        outage.worked()
        for now[0] in (10.0, 14.0):
            outage.failed(BusyError("locked"))
        assert heard == []
        now[0] = 15.0
        outage.failed(BusyError("locked"))
        outage.worked()
        outage.failed(StoreError("damaged"))
    assert kinds(heard) == ["StoreFailed", "StoreRecovered", "StoreFailed"]
