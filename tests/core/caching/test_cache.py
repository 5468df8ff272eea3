"""`ResponseCache`: every method, broken files and embedders, many threads and event loops."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.caching import Cacheability, ResponseCache, fresh_answers, tenant
from llm_optimizers.caching.answers import JSONCodec
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest


def request_for(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest.from_openai({"messages": [{"role": "user", "content": text}], **fields})


CARD = request_for("How do I activate my new card?")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    made: list[ResponseCache[Any]] = []

    def maker(**settings: Any) -> ResponseCache[Any]:
        path = None if request.param == "memory" else tmp_path / "cache.sqlite"
        made.append(ResponseCache(path=path, **settings))
        return made[-1]

    yield maker
    for cache in made:
        cache.close()


def live() -> str:
    raise AssertionError("the model was called")


def test_exact_normalised_and_semantic_repeats_are_served(make: Callable[..., Any]) -> None:
    cache = make()
    cache.answer(CARD, lambda: "like this")
    tiers = [
        cache.answer(request_for(text), live).hit.tier
        for text in (
            "How do I activate my new card?",
            "how do i activate my new card",
            "How can I activate my new card?",
        )
    ]
    assert tiers == ["exact", "normalised", "semantic"]
    assert cache.stats.hits == {"exact": 1, "normalised": 1, "semantic": 1}
    assert cache.stats.hit_rate == 0.75


def test_look_alike_questions_and_other_scopes_are_not_served(make: Callable[..., Any]) -> None:
    cache = make()
    cache.update(request_for("How do I block card 1234?"), "so")
    for other in (
        request_for("How do I block card 1243?"),
        request_for("How do I unblock card 1234?"),
        request_for("How do I block card 1234?", temperature=1),
        request_for("How do I block card 1234?", model="other"),
    ):
        assert cache.lookup(other) is None


async def test_async_methods_serve_what_sync_methods_stored(
    make: Callable[..., Any],
) -> None:
    cache = make()

    async def call() -> str:
        return "like this"

    assert (await cache.aanswer(CARD, call)).hit is None
    assert cache.lookup(CARD).value == "like this"
    await cache.aupdate(request_for("Another one?"), "other")
    assert (await cache.alookup(request_for("another one"))).value == "other"


def test_an_empty_cache_is_true(make: Callable[..., Any]) -> None:
    cache = make()
    assert len(cache) == 0
    assert cache


def test_streams_are_stored_whole_or_not_at_all(make: Callable[..., Any]) -> None:
    cache = make()
    closed = []

    def call() -> Iterator[str]:
        try:
            yield from ("a", "b", "c")
        finally:
            closed.append(True)

    def stream() -> Iterator[str]:
        return cache.stream(CARD, call, list, lambda hit: iter(hit.value))

    left = stream()
    assert next(left) == "a"
    left.close()
    assert closed == [True]
    assert len(cache) == 0
    assert list(stream()) == ["a", "b", "c"]
    assert list(stream()) == ["a", "b", "c"]
    assert len(closed) == 2


async def test_async_streams_are_stored_whole_or_not_at_all(
    make: Callable[..., Any],
) -> None:
    cache = make()
    closed = []

    async def call() -> AsyncIterator[str]:
        try:
            for piece in "abc":
                yield piece
        finally:
            closed.append(True)

    async def replay(hit: Any) -> AsyncIterator[str]:
        for piece in hit.value:
            yield piece

    def stream() -> Any:
        return cache.astream(CARD, call, list, replay)

    left = stream()
    assert await anext(left) == "a"
    await left.aclose()
    assert closed == [True]
    assert len(cache) == 0
    assert [piece async for piece in stream()] == ["a", "b", "c"]
    assert [piece async for piece in stream()] == ["a", "b", "c"]
    assert len(closed) == 2


def test_a_stream_that_fails_midway_stores_nothing(make: Callable[..., Any]) -> None:
    cache = make()

    def call() -> Iterator[str]:
        yield "a"
        raise RuntimeError("connection lost")

    with pytest.raises(RuntimeError, match="connection lost"):
        list(cache.stream(CARD, call, list, lambda hit: iter(hit.value)))
    assert len(cache) == 0


def test_answers_expire_after_the_ttl(make: Callable[..., Any]) -> None:
    clock = Clock()
    cache = make(ttl=60, clock=clock)
    cache.update(CARD, "like this")
    clock.now += 59
    assert cache.lookup(CARD).age == 59
    clock.now += 1
    assert cache.lookup(CARD) is None
    assert len(cache) == 0


def test_a_served_value_is_a_copy(make: Callable[..., Any]) -> None:
    cache = make()
    cache.update(CARD, {"steps": [1]})
    cache.lookup(CARD).value["steps"].append(2)
    assert cache.lookup(CARD).value == {"steps": [1]}


def test_clearing_removes_the_vectors_too(make: Callable[..., Any]) -> None:
    cache = make()
    cache.answer(CARD, lambda: "old")
    cache.lookup(request_for("How can I activate my new card?"))
    cache.clear()
    assert cache.lookup(request_for("How can I activate my new card?")) is None
    cache.update(CARD, "new")
    assert cache.lookup(request_for("How can I activate my new card?")).value == "new"


def test_entries_on_disk_are_served_by_the_next_cache(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with closing(ResponseCache[str](path=path)) as cache:
        cache.update(CARD, "like this")
    with closing(ResponseCache[str](path=path)) as cache:
        served = cache.answer(request_for("How can I activate my new card?"), live)
        assert served.value == "like this"


@pytest.mark.parametrize("kind", ["text", "blocked", "foreign", "pages"])
def test_a_broken_file_causes_one_warning_and_live_calls(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.sqlite"
    if kind == "blocked":
        path = path / "of a folder that is a file"
        path.parent.write_text("")
    elif kind == "text":
        path.write_text("not a database\n" * 500)
    elif kind == "foreign":
        with closing(sqlite3.connect(path)) as theirs:
            theirs.execute("CREATE TABLE theirs (a)")
    else:
        with closing(ResponseCache[str](path=path)) as cache:
            cache.update(CARD, "x" * 10_000)
        path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 20_000)
    with closing(ResponseCache[str](path=path)) as cache:
        for number in range(3):
            assert cache.answer(CARD, lambda number=number: str(number)).value == str(number)
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


def test_a_locked_file_still_serves_its_entries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.sqlite"
    cache: ResponseCache[str] = ResponseCache(path=path)
    cache.update(CARD, "like this")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(3):
            assert cache.answer(request_for(f"Other {number}?"), lambda: "live").value == "live"
            assert cache.answer(CARD, live).value == "like this"
        other.execute("ROLLBACK")
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    cache.close()


def test_a_path_that_was_blocked_is_used_once_it_is_free(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "cache.sqlite"
    with closing(ResponseCache[str](path=path, clock=clock)) as cache:
        path.mkdir()
        cache.answer(CARD, lambda: "live")
        path.rmdir()
        clock.now += 120
        cache.answer(CARD, lambda: "live")
        assert cache.answer(CARD, live).value == "live"


class Embeddings:
    """Embeddings whose dimension and availability a test can change."""

    def __init__(self) -> None:
        self.calls = 0
        self.dimension = 2
        self.down = False

    def embed_query(self, text: str) -> list[float]:
        self.calls += 1
        if self.down:
            raise ConnectionError("embedding service")
        return [1.0] + [0.1] * (self.dimension - 1)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


@pytest.mark.parametrize("trouble", ["down", "dimension"])
async def test_a_failing_embedder_means_exact_matching_and_one_warning(
    trouble: str, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = Embeddings()
    cache = make(embeddings=embeddings)
    cache.update(request_for("Where is my parcel?"), "there")
    assert cache.lookup(request_for("Where is my parcel please?")).value == "there"
    setattr(embeddings, *(("down", True) if trouble == "down" else ("dimension", 3)))
    for number in range(3):
        asked = request_for(f"Is it number {number}?")
        assert cache.answer(asked, lambda: "live").value == "live"
        assert (await cache.alookup(asked)).tier == "exact"
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "exact matching only" in caplog.text


def test_a_failing_embedder_is_not_called_every_time() -> None:
    embeddings, clock = Embeddings(), Clock()
    embeddings.down = True
    cache: ResponseCache[str] = ResponseCache(embeddings=embeddings, clock=clock)
    for number in range(20):
        cache.answer(request_for(f"Question {number}?"), lambda: "live")
    assert embeddings.calls == 1
    embeddings.down = False
    clock.now += 61
    cache.answer(request_for("Where is my parcel?"), lambda: "there")
    assert cache.answer(request_for("Where is my parcel please?"), live).value == "there"


def test_caches_with_different_embedders_share_exact_answers_only(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with (
        closing(ResponseCache[str](path=path)) as bundled,
        closing(ResponseCache[str](path=path, embeddings=Embeddings())) as own,
    ):
        bundled.update(CARD, "like this")
        assert own.lookup(CARD) is not None
        assert own.lookup(request_for("How can I activate my new card?")) is None


def test_without_semantic_matching_only_the_same_text_is_served(make: Callable[..., Any]) -> None:
    cache = make(semantic=False)
    cache.update(CARD, "like this")
    assert cache.lookup(request_for("how do I activate my new card")).tier == "normalised"
    assert cache.lookup(request_for("How can I activate my new card?")) is None


def test_a_request_without_a_key_calls_the_model(caplog: pytest.LogCaptureFixture) -> None:
    cache: ResponseCache[str] = ResponseCache()
    odd = request_for("Hi", hook=object())
    for _ in range(2):
        assert cache.answer(odd, lambda: "live").value == "live"
    assert cache.lookup(odd) is None
    assert cache.stats.troubles["bypassed"] == 3
    assert len(caplog.records) == 1


class Unstorable(JSONCodec):
    def encode(self, value: Any) -> str:
        raise ValueError(f"cannot store {value}")


def test_why_an_answer_cannot_be_stored_is_logged_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache: ResponseCache[str] = ResponseCache(codec=Unstorable())
    cache.update(CARD, "the user's words")
    assert cache.stats.troubles == {"answer cannot be stored": 1}
    assert "ValueError" in caplog.text
    assert "the user's words" not in caplog.text


@pytest.mark.parametrize("choices", [1, 3])
async def test_a_stream_of_several_answers_is_neither_stored_nor_served(choices: int) -> None:
    cache: ResponseCache[str] = ResponseCache()
    asked = request_for("Hi", n=choices)
    made = []

    def call() -> Iterator[str]:
        made.append("sync")
        yield "live"

    async def acall() -> AsyncIterator[str]:
        made.append("async")
        yield "live"

    for _ in range(2):
        list(cache.stream(asked, call, "".join, lambda hit: iter([hit.value])))
        [_ async for _ in cache.astream(asked, acall, "".join, lambda hit: later(hit.value))]
    assert made == (["sync"] if choices == 1 else ["sync", "async"] * 2)
    assert len(cache) == (1 if choices == 1 else 0)
    assert cache.stats.troubles == ({} if choices == 1 else {"bypassed": 4})


async def later(value: str) -> AsyncIterator[str]:
    yield value


def test_a_stream_that_ends_after_a_fresh_answer_does_not_replace_it() -> None:
    cache: ResponseCache[str] = ResponseCache()
    held = cache.stream(CARD, lambda: iter(["old ", "words"]), "".join, lambda hit: iter(hit.value))
    assert next(held) == "old "
    with fresh_answers():
        cache.answer(CARD, lambda: "new words")
    assert list(held) == ["words"]
    found = cache.lookup(CARD)
    assert found is not None
    assert found.value == "new words"


def test_lone_surrogates_do_not_fail_a_call(make: Callable[..., Any]) -> None:
    cache = make()
    asked = request_for("What does \ud83d mean to you?")
    assert cache.answer(asked, lambda: "half \ud83d").value == "half \ud83d"
    assert cache.answer(asked, live).value == "half \ud83d"
    with tenant("half \ud83d"):
        assert cache.answer(asked, lambda: "live").value == "live"


def test_a_codec_with_the_former_method_works_and_warns_with_the_new_name() -> None:
    class FormerCodec:
        def encode(self, value: str) -> str:
            return value

        def decode(self, payload: str) -> str:
            return payload

        def traits(self, value: str) -> Cacheability:
            return Cacheability(empty=not value)

    with pytest.warns(DeprecationWarning, match="now called cacheability"):
        cache: ResponseCache[str] = ResponseCache(codec=FormerCodec())  # type: ignore[arg-type]
    cache.update(CARD, "like this")
    assert cache.lookup(CARD) is not None


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": 0.0},
        {"threshold": 1.1},
        {"threshold": float("nan")},
        {"ttl": 0},
        {"ttl": float("nan")},
        {"max_entries": 0},
        {"wait_timeout": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        ResponseCache(**settings)


@pytest.mark.slow
def test_64_threads_and_4_event_loops_get_the_right_answers(make: Callable[..., Any]) -> None:
    cache = make()
    start = threading.Barrier(68)
    questions = [f"What is the price of article {number}?" for number in range(6)]

    def expected(owner: str, text: str) -> str:
        return f"{owner}: {text}"

    def thread(number: int) -> list[tuple[str, str]]:
        start.wait(30)
        owner = "ann" if number % 2 else "bob"
        seen = []
        with tenant(owner):
            for step in range(6):
                text = questions[(number + step) % 6]
                answer = cache.answer(
                    request_for(text), lambda owner=owner, text=text: expected(owner, text)
                )
                seen.append((answer.value, expected(owner, text)))
        return seen

    async def task(number: int) -> list[tuple[str, str]]:
        owner = "ann" if number % 2 else "bob"
        seen = []
        with tenant(owner):
            for text in questions:

                async def call(text: str = text) -> str:
                    await asyncio.sleep(0)
                    return expected(owner, text)

                answer = await cache.aanswer(request_for(text), call)
                seen.append((answer.value, expected(owner, text)))
        return seen

    async def tasks() -> list[tuple[str, str]]:
        start.wait(30)
        return [pair for seen in await asyncio.gather(*map(task, range(8))) for pair in seen]

    with ThreadPoolExecutor(68) as pool:
        work = [pool.submit(thread, number) for number in range(64)]
        work += [pool.submit(asyncio.run, tasks()) for _ in range(4)]
        pairs = [pair for done in work for pair in done.result(60)]
    assert len(pairs) == 64 * 6 + 4 * 8 * 6
    assert all(got == wanted for got, wanted in pairs)
    assert len(cache) == 12
    for owner in ("ann", "bob"):
        with tenant(owner):
            for text in questions:
                assert cache.lookup(request_for(text)).value == expected(owner, text)


ITEM, ARTICLE = "How long do I have to return an item?", "How long do I have to return an article?"


def asked_in_a_row(cache: ResponseCache[str], *texts: str) -> list[str]:
    """The answers to these questions, each new one with its own text as the answer."""
    return [cache.answer(request_for(text), lambda text=text: text).value for text in texts]


def remove_files(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize("closed", [True, False])
def test_questions_are_matched_by_meaning_in_a_file_that_replaced_another(
    tmp_path: Path, closed: bool
) -> None:
    with closing(ResponseCache[str](path=tmp_path / "cache.sqlite")) as cache:
        asked_in_a_row(cache, "Where is my parcel?", "Who are you?", ARTICLE, "Is it red?")
        if closed:
            cache.close()
        remove_files(tmp_path)
        assert asked_in_a_row(cache, ITEM, ARTICLE) == [ITEM, ITEM]


def test_questions_are_matched_by_meaning_after_another_file_was_moved_in_place(
    tmp_path: Path,
) -> None:
    ours, other = tmp_path / "cache.sqlite", tmp_path / "other.sqlite"
    with closing(ResponseCache[str](path=other)) as cache:
        asked_in_a_row(cache, "Where is my parcel?", ITEM, "Who are you?", "Is it red?")
    with closing(ResponseCache[str](path=ours)) as cache:
        asked_in_a_row(cache, "Do you ship to Norway?", "Is it open on Sundays?")
        cache.close()
        remove = [file for file in tmp_path.iterdir() if file.name.startswith("cache")]
        for file in remove:
            file.unlink()
        other.rename(ours)
        assert asked_in_a_row(cache, ARTICLE, "Do you ship to Norway?") == [
            ITEM,
            "Do you ship to Norway?",
        ]


def test_questions_are_matched_by_meaning_after_another_process_cleared_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cache.sqlite"
    with closing(ResponseCache[str](path=path)) as cache:
        asked_in_a_row(cache, *(f"How long do I have to return item {n}?" for n in range(30)))
        assert cache.lookup(request_for("How long do I have to return article 3?")) is not None
        with closing(ResponseCache[str](path=path)) as other:
            other.clear()
        assert asked_in_a_row(cache, ITEM, ARTICLE) == [ITEM, ITEM]
        assert not cache.stats.troubles


@pytest.mark.parametrize(
    "damage", ["substr(vector, 5)", "zeroblob(1024)", "x'00'", "'text'", "x'0000803f'"]
)
def test_a_damaged_vector_costs_its_own_question_only(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cache.sqlite"
    with closing(ResponseCache[str](path=path)) as cache:
        asked_in_a_row(cache, "Where is my parcel?", ITEM)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(f"UPDATE entries SET vector = {damage} WHERE question LIKE 'Where%'")
    with closing(ResponseCache[str](path=path)) as cache:
        assert asked_in_a_row(cache, ARTICLE, "Where is my parcel?") == [
            ITEM,
            "Where is my parcel?",
        ]
        assert cache.stats.hits == {"semantic": 1, "exact": 1}
        assert cache.stats.troubles == {"damaged vector left out": 1}


def test_a_question_with_the_vector_of_another_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with closing(ResponseCache[str](path=path)) as cache:
        asked_in_a_row(cache, "Where is my parcel?", ITEM)
    with closing(sqlite3.connect(path)) as file, file:
        (vector,) = file.execute(
            "SELECT vector FROM entries WHERE question = ?", (ITEM,)
        ).fetchone()
        file.execute("DELETE FROM entries WHERE question = ?", (ITEM,))
        file.execute("UPDATE entries SET vector = ?", (vector,))
    with closing(ResponseCache[str](path=path)) as cache:
        assert asked_in_a_row(cache, ARTICLE) == [ARTICLE]
        assert cache.stats.troubles == {"poisoned entry dropped": 1}
        assert len(cache) == 1
