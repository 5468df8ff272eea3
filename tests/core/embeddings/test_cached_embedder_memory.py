"""`CachedEmbedder` keeps digests instead of texts, and no more than its bytes of vectors."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence

from llm_optimizers.embeddings import CachedEmbedder, FrameworkEmbedder


class Counting:
    """LangChain embeddings of some length that count the texts."""

    def __init__(self, length: int) -> None:
        self.length, self.texts = length, 0

    def embed_query(self, text: str) -> Sequence[float]:
        self.texts += 1
        return [1.0, float(len(text) % 7)] * (self.length // 2)

    def embed_documents(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [self.embed_query(text) for text in texts]


def test_texts_are_not_kept() -> None:
    counting = Counting(4)
    embedder = CachedEmbedder(FrameworkEmbedder(counting, name="c"))
    tracemalloc.start()
    try:
        for _ in range(2):
            for number in range(20):
                embedder.embed([f"{number}" + "x" * 200_000])
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
    assert counting.texts == 20


def test_vectors_are_bounded_in_bytes() -> None:
    embedder = CachedEmbedder(FrameworkEmbedder(Counting(500_000), name="c"))
    tracemalloc.start()
    try:
        for number in range(60):
            embedder.embed([str(number)])
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 2**26 + 2**23
    finally:
        tracemalloc.stop()
