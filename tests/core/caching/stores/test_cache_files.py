"""A cache's file: both tiers follow it when it is another one; it gives room back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from llm_optimizers.caching import ResponseCache
from llm_optimizers.tenancy import tenant
from llm_optimizers.types import ChatRequest, Message

ASKED = {
    "How can I activate my new card?": "How do I activate my new card?",
    "Who wrote the novel Moby Dick?": "Who wrote Moby Dick, the novel?",
    "What is the capital of France?": "what is the capital of france",
}
NOW = 1_000_000_000.0


def request_for(question: str) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message(role="user", content=question),))


def ask(cache: ResponseCache[str], question: str, answer: str = "answer") -> str:
    """Return the tier that served the question, "model" if none did."""
    hit = cache.answer(request_for(question), lambda: answer).hit
    return "model" if hit is None else hit.tier


def tiers(cache: ResponseCache[str]) -> list[str]:
    """Ask each question, and then in other words."""
    return [ask(cache, question) for pair in ASKED.items() for question in pair]


KNOWN = ["exact", "semantic", "exact", "semantic", "exact", "normalised"]
NEW = ["model", "semantic", "model", "semantic", "model", "normalised"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "answers.sqlite"


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A file of earlier, in which the same numbers stand for other questions."""
    path = tmp_path / "backup.sqlite"
    with closing(ResponseCache[str](path=path, clock=lambda: NOW - 5)) as cache:
        for question in ("Is the sea salt?", "Where do penguins live?", *list(ASKED)[:1]):
            ask(cache, question)
    return path


def deleted(path: Path) -> None:
    path.unlink()


def folder_deleted(path: Path) -> None:
    shutil.rmtree(path.parent)


def moved(path: Path) -> None:
    path.rename(path.with_name("moved"))


@pytest.mark.parametrize("go", [deleted, folder_deleted, moved])
@pytest.mark.parametrize("before", ["open", "closed", "closed and searched"])
def test_both_tiers_begin_again_with_a_new_file(
    path: Path, go: Callable[[Path], None], before: str
) -> None:
    with closing(ResponseCache[str](path=path, clock=lambda: NOW)) as cache:
        assert tiers(cache) == NEW
        if before != "open":
            cache.close()
        if before == "closed and searched":
            assert tiers(cache) == KNOWN
            cache.close()
        go(path)
        assert tiers(cache) == NEW
        assert tiers(cache) == KNOWN
        assert len(cache) == len(ASKED)
        assert not cache.stats.troubles


@pytest.mark.parametrize("closed", [True, False])
def test_both_tiers_follow_a_file_put_in_the_place_of_another(
    path: Path, backup: Path, *, closed: bool
) -> None:
    with closing(ResponseCache[str](path=path, clock=lambda: NOW)) as cache:
        tiers(cache)
        if closed:
            cache.close()
        backup.replace(path)
        assert tiers(cache) == [*KNOWN[:2], *NEW[2:]]
        assert ask(cache, "Where do penguins live?") == "exact"
        assert tiers(cache) == KNOWN
        assert not cache.stats.troubles


def test_a_backup_copied_over_the_file_while_it_is_closed(path: Path, backup: Path) -> None:
    """Its inode stays the same."""
    with closing(ResponseCache[str](path=path, clock=lambda: NOW)) as cache:
        tiers(cache)
        cache.close()
        shutil.copyfile(backup, path)
        assert ask(cache, "How do I activate my new card?") == "semantic"
        assert tiers(cache) == [*KNOWN[:2], *NEW[2:]]


# --- Its size


def size(path: Path) -> int:
    """Return the bytes of a cache's file and its log."""
    return sum(each.stat().st_size for each in path.parent.iterdir() if "-shm" not in each.name)


def holds(path: Path, text: str) -> bool:
    """Whether a text is anywhere in the cache's file or its log."""
    return any(text.encode() in each.read_bytes() for each in path.parent.iterdir())


def filled(path: Path, number: int = 600, **settings: object) -> ResponseCache[str]:
    cache = ResponseCache[str](
        path=path,
        semantic=False,
        **{"clock": lambda: NOW, **settings},  # type: ignore[arg-type]
    )
    for each in range(number):
        with tenant("even" if each % 2 == 0 else "odd"):
            ask(cache, f"Question {each}?", f"secret {each} " + "x" * 5_000)
    return cache


@pytest.mark.parametrize("whole", [True, False])
def test_a_cleared_cache_gives_its_room_back_and_its_text_is_gone(
    path: Path, *, whole: bool
) -> None:
    with closing(filled(path)) as cache:
        full = size(path)
        cache.clear(None if whole else "odd")
        assert size(path) < (full / 10 if whole else full * 0.6)
        assert len(cache) == (0 if whole else 300)
        assert not holds(path, "secret 7 ")
        assert holds(path, "secret 8 ") is not whole
        with tenant("odd"):
            assert ask(cache, "Question 7?") == "model"


def test_a_small_cache_holds_no_text_after_it_was_cleared(path: Path) -> None:
    with closing(filled(path, 3)) as cache:
        cache.clear()
        assert not holds(path, "secret")
        assert not holds(path, "Question")


def test_text_that_was_replaced_before_is_gone_too(path: Path) -> None:
    with closing(filled(path, 40, max_entries=10)) as cache:
        cache.clear("odd")
        assert not any(holds(path, f"secret {number} ") for number in range(1, 40, 2))


def test_expired_entries_leave_the_file(path: Path) -> None:
    now = [NOW]
    with closing(filled(path, ttl="1h", clock=lambda: now[0])) as cache:
        full = size(path)
        now[0] += 7_200
        for number in range(40):
            ask(cache, f"A new question {number}?")
        assert len(cache) == 40
        cache.close()
        assert size(path) < full / 3


def test_a_smaller_capacity_gives_room_back(path: Path) -> None:
    filled(path).close()
    full = size(path)
    with closing(ResponseCache[str](path=path, semantic=False, max_entries=20)) as cache:
        for number in range(10):
            ask(cache, f"A new question {number}?")
        assert len(cache) == 20
        cache.close()
        assert size(path) < full / 3
