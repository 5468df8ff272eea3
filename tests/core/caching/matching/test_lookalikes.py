"""Questions that look alike and ask something else are never served for each other.

The pairs are drawn by seed from the files in data/lookalikes, and from data/repeats.txt for pairs
that ask the same.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from llm_optimizers.caching import ResponseCache
from llm_optimizers.types import ChatRequest, Message
from support.question_pairs import Pair, draw, sections

DATA = Path(__file__).parent / "data"
KINDS = sorted(path for path in DATA.joinpath("lookalikes").glob("*.txt"))
SEEDS = range(5)
DRAWN = 100
"""Pairs of a kind and seed."""
KNOWN = 50
REPEATS = 500
SHOWN = 30


def request(text: str, scope: int) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model=str(scope))


def served(pairs: list[Pair]) -> list[tuple[Pair, str]]:
    """Return the pairs of which the first's answer is served for the second, and by which tier.

    Each pair has a scope of its own.
    """
    cache: ResponseCache[str] = ResponseCache(max_entries=len(pairs))
    found = []
    for scope, pair in enumerate(pairs):
        cache.update(request(pair.first, scope), "an answer")
        hit = cache.lookup(request(pair.second, scope))
        if hit is not None:
            found.append((pair, hit.tier))
    return found


def both_ways(pairs: list[Pair]) -> list[Pair]:
    back = [
        Pair(kind=each.kind, section=each.section, first=each.second, second=each.first)
        for each in pairs
    ]
    return pairs + back


def report(found: list[tuple[Pair, str]], drawn: int) -> str:
    by_section = Counter((pair.kind, pair.section) for pair, _ in found)
    lines = [f"{len(found)} of {drawn} are served"]
    lines += [f"{count:6} {kind}: {name}" for (kind, name), count in by_section.most_common()]
    lines += [f"{tier}: {pair.first} | {pair.second}" for pair, tier in found[:SHOWN]]
    return "\n".join(lines)


@pytest.mark.parametrize("path", KINDS, ids=lambda path: path.stem)
def test_no_lookalike_is_served(path: Path) -> None:
    chosen = sections(path)
    pairs = [
        pair for seed in SEEDS for pair in draw(chosen, DRAWN, random.Random(f"{path.stem} {seed}"))
    ]
    every = both_ways(pairs)
    wrong = served(every)
    if wrong:
        pytest.fail(report(wrong, len(every)))


@pytest.mark.xfail(reason="known limits of the guards; a pair that is mended moves to lookalikes/")
def test_no_known_lookalike_is_served() -> None:
    pairs = list(draw(sections(DATA / "known_lookalikes.txt"), KNOWN, random.Random(0)))
    assert served(both_ways(pairs)) == []


def test_the_pairs_are_as_many_as_promised_and_no_two_are_alike() -> None:
    assert len(KINDS) * len(SEEDS) * DRAWN >= 5_000
    for path in KINDS:
        for pair in draw(sections(path), DRAWN, random.Random(0)):
            assert " ".join(pair.first.split()) != " ".join(pair.second.split())
            assert not {"{", "<>"} & {pair.first[:1], pair.second[:1]}


def test_questions_that_ask_the_same_are_served() -> None:
    pairs = list(draw(sections(DATA / "repeats.txt"), REPEATS, random.Random(0)))
    found = served(pairs)
    tiers = Counter(tier for _, tier in found)
    missed = [pair for pair in pairs if pair not in {each for each, _ in found}]
    for pair in missed[:SHOWN]:
        print(f"{pair.first} | {pair.second}")  # noqa: T201 - for a failing run
    assert len(found) >= 0.9 * len(pairs), tiers
