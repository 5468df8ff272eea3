"""Right and wrong hits of the cache at its defaults, over whole streams of requests."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness import Row, Run
from llm_optimizers.caching import ResponseCache
from llm_optimizers.types import ChatRequest, Message

STREAMS = ("questions", "questions_raw", "intents")
TIERS = ("exact", "normalised", "semantic")


def hit_quality(run: Run) -> Iterator[Row]:
    """Send each stream through a new cache; a hit is right if it has the request's answer."""
    for stream in STREAMS:
        path = run.data / f"cache_stream_{stream}.jsonl.gz"
        if not path.is_file():
            note = f"{path.name} is not in {run.data}; pass --data"
            yield Row(name=f"{stream}: hit_rate_pct", value=None, unit="%", note=note)
            continue
        requests = read(path, run.options.requests)
        right, wrong = hits(run, stream, requests)
        every = right.total() + wrong.total()
        by_tier = ", ".join(f"{right[tier] + wrong[tier]:,} {tier}" for tier in TIERS)
        yield Row(
            name=f"{stream}: hit_rate_pct",
            value=100 * every / len(requests),
            unit="%",
            note=f"of {len(requests):,} requests; {by_tier}",
        )
        yield Row(
            name=f"{stream}: wrong_hits_pct",
            value=100 * wrong.total() / every if every else 0.0,
            unit="% of hits",
        )
        for tier in TIERS:
            yield Row(name=f"{stream}: right {tier} hits", value=right[tier])
            yield Row(name=f"{stream}: wrong {tier} hits", value=wrong[tier])


def read(path: Path, limit: int | None) -> list[tuple[str, str]]:
    """Return each request's text, and the name of its right answer."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["prompt"], str(row["answer_id"])) for row in rows][:limit]


def hits(
    run: Run, stream: str, requests: list[tuple[str, str]]
) -> tuple[Counter[str], Counter[str]]:
    """Return the right and the wrong hits by tier."""
    cache: ResponseCache[str] = ResponseCache()
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for done, (text, answer) in enumerate(requests, 1):
        request = ChatRequest(messages=(Message(role="user", content=text),), model="gpt-4o-mini")
        result = cache.answer(request, lambda answer=answer: answer)
        if result.hit is not None:
            (right if result.value == answer else wrong)[result.hit.tier] += 1
        run.progress(done, len(requests), stream)
    return right, wrong
