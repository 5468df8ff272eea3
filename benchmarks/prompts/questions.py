"""Questions about the documentation of installed packages, and their prompts.

A line of questions/*.jsonl is one question: `kind` (docs, tables, two_hop), `subkind` (prose,
table, code, json; bridge, comparison, pair), `question`, `answers` (a group of alternatives for
each gold chunk), and `gold` (package, path and an `anchor`, a few words that find the chunk in that
document). The texts are read from the packages that are installed, so a question is skipped if its
chunk is not there, no longer holds the answer, or now holds both.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.prompts import Passage
from prompts.bm25 import BM25, best_first, words
from prompts.docs import Chunk, corpus
from prompts.prompt import Prompt

__all__ = ["FOLDER", "Library", "questions"]

FOLDER = Path(__file__).parent / "questions"
CHUNKS = 15


def questions(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return all questions, in the order of their files."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.split("\n") if line]


class Library:
    """The chunks of all installed packages, and the nearest of them to a question."""

    def __init__(self, chunks: Sequence[Chunk] | None = None) -> None:
        self.chunks = corpus() if chunks is None else list(chunks)
        texts = [chunk.text for chunk in self.chunks]
        self._lower = [text.lower() for text in texts]
        self._by_words = BM25(texts, words)
        self._embed = StaticEmbedder().embed
        self._vectors = np.asarray(self._embed(texts), dtype=np.float64)

    def gold(self, question: dict[str, Any]) -> tuple[int, ...] | None:
        """Return the chunks that hold the answers; None if one is missing or ambiguous."""
        found = []
        for place, answers in zip(question["gold"], question["answers"], strict=True):
            own = [at for at, chunk in enumerate(self.chunks) if _is_at(chunk, place)]
            if len(own) != 1 or not _holds(self._lower[own[0]], answers):
                return None
            found += own
        return tuple(found) if len(set(found)) == len(found) else None

    def prompt(self, question: dict[str, Any]) -> Prompt | None:
        """Return the gold chunks among the nearest others; None if they are not there.

        Half of the others are the nearest by BM25, half the nearest by embedding, without those
        that contain an answer. The order is random, and always the same.
        """
        gold = self.gold(question)
        if gold is None:
            return None
        asked = question["question"]
        answers = [answer for group in question["answers"] for answer in group]
        near = [at for at in self._nearest(asked) if not _holds(self._lower[at], answers)]
        others = [at for at in dict.fromkeys(near) if at not in gold]
        places = [*gold, *others[: CHUNKS - len(gold)]]
        random.Random(asked).shuffle(places)
        return Prompt(
            question=asked,
            documents=tuple(Passage(text=self.chunks[at].text) for at in places),
            gold=tuple(places.index(at) for at in gold),
            answers=tuple(map(tuple, question["answers"])),
        )

    def _nearest(self, asked: str) -> Iterator[int]:
        """Yield chunks by turns from both rankings; a chunk may come twice."""
        cosines = self._vectors @ np.asarray(self._embed([asked]), dtype=np.float64)[0]
        pairs = zip(
            best_first(self._by_words.scores(words(asked))), best_first(cosines), strict=True
        )
        return chain.from_iterable(pairs)


def _is_at(chunk: Chunk, place: dict[str, str]) -> bool:
    same = chunk.package == place["package"] and chunk.path == place["path"]
    return same and place["anchor"] in chunk.text


def _holds(text: str, answers: Sequence[str]) -> bool:
    return any(answer.lower() in text for answer in answers)
