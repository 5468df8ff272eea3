"""A hit by meaning among 10,000 stored questions, against only the embedder and FAISS."""

from __future__ import annotations

import gzip
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss

from harness import Row
from llm_optimizers.caching import ResponseCache
from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.types import ChatRequest, Message

QUESTIONS = 10_000
HITS = 1_000


def semantic_hit(folder: Path) -> list[Row]:
    """Look up paraphrases that were not asked before, so that none is remembered."""
    name, target = "semantic_10k_vs_bare_faiss", "<= 1.5"
    stored, new = questions(folder)
    if len(stored) < QUESTIONS:
        note = f"cache_qqp_pairs.jsonl.gz is not in {folder}; pass --data"
        return [Row(name=name, value=None, target=target, note=note)]
    cache: ResponseCache[str] = ResponseCache()
    embedder = StaticEmbedder()
    index = faiss.IndexFlatIP(embedder.dimension)
    for text in stored:
        cache.update(chat_request(text), text)
        index.add(embedder.embed([text]))
    ours, theirs, embedding, vectors = [], [], [], []
    for text in new:
        request = chat_request(text)
        # FAISS's other threads keep spinning after a search and would slow down the next timing.
        with threads(1):
            start = time.perf_counter()
            vector = embedder.embed([text])
            embedded = time.perf_counter()
            index.search(vector, 1)
            middle = time.perf_counter()
            hit = cache.lookup(request)
            end = time.perf_counter()
        if hit is not None and hit.tier == "semantic":
            vectors.append(vector)
            embedding.append(embedded - start)
            theirs.append(middle - start)
            ours.append(end - middle)
        if len(ours) == HITS:
            break
    all_threads = []
    for vector in vectors:
        start = time.perf_counter()
        index.search(vector, 1)
        all_threads.append(time.perf_counter() - start)
    our, their, embed, search = map(statistics.median, (ours, theirs, embedding, all_threads))
    row = Row(
        name=name,
        value=our / their,
        target=target,
        note="ResponseCache.lookup, a hit / (embedder + IndexFlatIP.search on one thread)",
    )
    return [
        row,
        Row(name="questions stored in one scope", value=len(cache), unit=""),
        Row(name="paraphrases that hit", value=len(ours), unit=""),
        Row(name="embedder", value=embed * 1e6, unit="µs"),
        Row(name="embedder and bare IndexFlatIP.search", value=their * 1e6, unit="µs"),
        Row(name="bare search on all threads", value=search * 1e6, unit="µs"),
        Row(name="ResponseCache.lookup, a semantic hit", value=our * 1e6, unit="µs"),
    ]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set the number of FAISS's threads inside the block."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def questions(folder: Path) -> tuple[list[str], list[str]]:
    """Return the questions to store, and others, some of which ask the same as a stored one."""
    path = folder / "cache_qqp_pairs.jsonl.gz"
    if not path.is_file():
        return [], []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    distinct = dict.fromkeys([pair["a"] for pair in pairs] + [pair["b"] for pair in pairs])
    return list(distinct)[:QUESTIONS], list(distinct)[QUESTIONS:]


def chat_request(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model="gpt-4o-mini")
