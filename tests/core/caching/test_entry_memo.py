"""What a cache remembers of its entries never serves another answer than a cache without it."""

from __future__ import annotations

import copy
import json
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from llm_optimizers.caching import Cacheability, ResponseCache
from llm_optimizers.caching.answers.ids import ServedIds
from llm_optimizers.caching.keys import CacheKey
from llm_optimizers.caching.memo import EntryMemo
from llm_optimizers.tenancy import tenant
from llm_optimizers.types import ChatRequest, Message

TENANTS = ("north", "south")
QUESTIONS = (
    "How do I return worn boots?",
    "how do I return worn boots",
    "How can I return worn boots?",
    "Where is my parcel?",
    "5",
)
SYSTEMS = ("Be brief.", "Be kind.")
TTL = 100.0


class PlainCodec:
    """Answers as JSON; each is read from its text every time."""

    def encode(self, value: Any) -> str:
        return json.dumps(value)

    def decode(self, payload: str) -> Any:
        return json.loads(payload)

    def cacheability(self, value: Any) -> Cacheability:
        return Cacheability()


class RememberedCodec(PlainCodec):
    """The same answers, for a cache that remembers what it has read."""

    def decode_with_ids(self, payload: str, ids: ServedIds) -> Any:
        return self.reader(payload, ids)()

    def reader(self, payload: str, ids: ServedIds) -> Callable[[], Any]:
        return partial(copy.deepcopy, json.loads(payload))


def request_for(system: str, question: str) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="system", content=system), Message(role="user", content=question))
    )


class TwoCaches(RuleBasedStateMachine):
    """The same steps on a cache that remembers and on one that does not.

    Each has a second cache on its file, as another process has.
    """

    path: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.folder = TemporaryDirectory()
        self.stored = 0
        self.pairs = [(self._open(RememberedCodec(), "a"), self._open(PlainCodec(), "b"))]
        if self.path is not None:
            self.pairs.append((self._open(RememberedCodec(), "a"), self._open(PlainCodec(), "b")))

    def _open(self, codec: PlainCodec, name: str) -> ResponseCache[Any]:
        path = None if self.path is None else Path(self.folder.name, name + self.path)
        return ResponseCache(codec=codec, path=path, max_entries=3, ttl=TTL, clock=lambda: self.now)

    def teardown(self) -> None:
        for pair in self.pairs:
            for cache in pair:
                cache.close()
        self.folder.cleanup()

    def _key(self, cache: ResponseCache[Any], owner: str, system: str, question: str) -> CacheKey:
        """Return the key as an adapter does that knows calls by their texts."""
        with tenant(owner):
            label = cache.tenant()
        assert label is not None
        return cache.remembered_key(
            (label, system, question),
            lambda: cache.key_within(label, request_for(system, question)),
            characters=len(system) + len(question),
        )

    @rule(
        at=st.integers(0, 1),
        owner=st.sampled_from(TENANTS),
        system=st.sampled_from(SYSTEMS),
        question=st.sampled_from(QUESTIONS),
    )
    def store(self, at: int, owner: str, system: str, question: str) -> None:
        self.stored += 1
        answer = {"of": [owner, system], "asked": question, "number": self.stored}
        for cache in self.pairs[at % len(self.pairs)]:
            cache.update(self._key(cache, owner, system, question), answer)

    @rule(
        at=st.integers(0, 1),
        owner=st.sampled_from(TENANTS),
        system=st.sampled_from(SYSTEMS),
        question=st.sampled_from(QUESTIONS),
    )
    def look_up(self, at: int, owner: str, system: str, question: str) -> None:
        remembers, reads = self.pairs[at % len(self.pairs)]
        request = request_for(system, question)
        with tenant(owner):
            expected = reads.lookup(request)
            plain = remembers.lookup(request)
        found = remembers.lookup(self._key(remembers, owner, system, question))
        reads.lookup(self._key(reads, owner, system, question))  # the same number of hits
        assert plain == expected
        assert found == expected
        if found is not None:
            assert found.value["of"] == [owner, system]
            found.value["of"][0] = "changed by who was served"
            found.value.clear()

    @rule(seconds=st.sampled_from([1.0, TTL / 2, TTL + 1]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(at=st.integers(0, 1), owner=st.sampled_from([None, *TENANTS]))
    def clear(self, at: int, owner: str | None) -> None:
        for cache in self.pairs[at % len(self.pairs)]:
            cache.clear(owner)

    @precondition(lambda self: self.path is not None)
    @rule(at=st.integers(0, 1))
    def close(self, at: int) -> None:
        for cache in self.pairs[at % len(self.pairs)]:
            cache.close()


class TwoFiles(TwoCaches):
    """The same with caches on files."""

    path = ".sqlite"


TestInMemory = TwoCaches.TestCase
TestInMemory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOnFiles = TwoFiles.TestCase
TestOnFiles.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_entries_are_replaced_while_others_read_them() -> None:
    cache: ResponseCache[Any] = ResponseCache(
        codec=RememberedCodec(), max_entries=2, semantic=False
    )
    errors: list[object] = []

    def use(owner: str, start: int) -> None:
        for number in range(start, start + 250):
            question = f"What is {number % 4}?"
            with tenant(owner):
                cache.update(request_for("Be brief.", question), {"of": [owner, question]})
                hit = cache.lookup(request_for("Be brief.", question))
            if hit is not None and hit.value != {"of": [owner, question]}:
                errors.append(hit)
            if hit is not None:
                hit.value["of"].append("changed by who was served")
            if number % 50 == 0:
                cache.clear(owner)

    threads = [
        threading.Thread(target=use, args=(owner, start)) for owner in TENANTS for start in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert cache.stats.troubles == {}


def test_another_process_replaces_an_entry(tmp_path: Path) -> None:
    request = request_for("Be brief.", QUESTIONS[0])
    ours: ResponseCache[Any] = ResponseCache(codec=RememberedCodec(), path=tmp_path / "a.sqlite")
    theirs: ResponseCache[Any] = ResponseCache(codec=RememberedCodec(), path=tmp_path / "a.sqlite")
    for number in range(3):
        theirs.update(request, number)
        for cache in (ours, theirs):
            hit = cache.lookup(request)
            assert hit is not None
            assert hit.value == number
    theirs.clear()
    assert ours.lookup(request) is None


def test_a_memo_forgets_what_belongs_to_an_entry_only() -> None:
    memo = EntryMemo()
    made: list[str] = []

    def value(text: str) -> str:
        made.append(text)
        return text

    for key, owner in (("a", "one"), ("b", "one"), ("c", "two")):
        assert memo.get(key, partial(value, key), owner=owner, characters=1) == key
    memo.forget("one")
    for key, owner in (("a", "one"), ("b", "one"), ("c", "two")):
        assert memo.get(key, partial(value, key), owner=owner, characters=1) == key
    assert made == ["a", "b", "c", "a", "b"]
    memo.clear()
    assert memo.get("c", partial(value, "c"), owner="two", characters=1) == "c"
    assert made[-1] == "c"
