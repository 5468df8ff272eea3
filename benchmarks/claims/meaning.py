"""A hit by meaning among 10,000 stored questions, against nothing but embedder and FAISS."""

from __future__ import annotations

import gzip
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
from rows import Ingredient, Measured, Row

from llm_optimizers.caching import ResponseCache
from llm_optimizers.caching.embedders import StaticEmbedder
from llm_optimizers.types import ChatRequest, Message

QUESTIONS = 10_000
HITS = 1_000


def semantic_hit(folder: Path) -> Measured:
    """Paraphrases that were never asked before, so that nothing of them is remembered."""
    name, target = "semantic_10k_vs_bare_faiss", "<= 1.5"
    stored, asked = questions(folder)
    if len(stored) < QUESTIONS:
        note = f"cache_qqp_pairs.jsonl.gz is not in {folder}; give --data"
        return Row(name=name, value=None, target=target, note=note), []
    cache: ResponseCache[str] = ResponseCache()
    embedder = StaticEmbedder()
    bare = faiss.IndexFlatIP(embedder.dimension)
    for text in stored:
        cache.update(request_of(text), text)
        bare.add(embedder.embed([text]))
    ours, theirs, embedding, alone = [], [], [], []
    for text in asked:
        request = request_of(text)
        start = time.perf_counter()
        vector = embedder.embed([text])
        embedded = time.perf_counter()
        bare.search(vector, 1)
        middle = time.perf_counter()
        hit = cache.lookup(request)
        end = time.perf_counter()
        with one_thread():
            start_alone = time.perf_counter()
            bare.search(vector, 1)
            end_alone = time.perf_counter()
        if hit is not None and hit.tier == "semantic":
            embedding.append(embedded - start)
            theirs.append(middle - start)
            ours.append(end - middle)
            alone.append(embedded - start + end_alone - start_alone)
        if len(ours) == HITS:
            break
    our, their, single = (statistics.median(each) for each in (ours, theirs, alone))
    row = Row(
        name=name,
        value=our / single,
        target=target,
        note="ResponseCache.lookup, a hit / (embedder + IndexFlatIP.search on one thread)",
    )
    return row, [
        Ingredient(what="questions stored in one scope", value=len(cache), unit=""),
        Ingredient(what="paraphrases that hit", value=len(ours), unit=""),
        Ingredient(what="embedder", value=statistics.median(embedding) * 1e6, unit="µs"),
        Ingredient(what="embedder and bare IndexFlatIP.search", value=their * 1e6, unit="µs"),
        Ingredient(what="  the same, FAISS held to one thread", value=single * 1e6, unit="µs"),
        Ingredient(what="ResponseCache.lookup, a semantic hit", value=our * 1e6, unit="µs"),
        Ingredient(what="ours / embedder and search on all threads", value=our / their, unit="×"),
    ]


def questions(folder: Path) -> tuple[list[str], list[str]]:
    """Those to store, and others of which some ask the same as one that is stored."""
    path = folder / "cache_qqp_pairs.jsonl.gz"
    if not path.is_file():
        return [], []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    distinct = dict.fromkeys([pair["a"] for pair in pairs] + [pair["b"] for pair in pairs])
    return list(distinct)[:QUESTIONS], list(distinct)[QUESTIONS:]


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS's threads only wait for one another over a single question."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def request_of(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model="gpt-4o-mini")
