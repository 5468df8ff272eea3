"""Which contexts are cut to their budget, and which are cut less because nothing left could answer.

A question that its documents answer is to be cut in full. The same documents with the question of
another prompt, whose documents are others, and with requests about all of them, are not: for those
a cut loses what was asked for.
"""

from __future__ import annotations

import random
import statistics
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import Row, Run
from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.prompts import ContextCut, PassageSelector
from llm_optimizers.prompts.context import RankingWeights
from prompts.data_sets import FILES, KINDS, LANGUAGES, folds
from prompts.methods import MODEL, counter, size
from prompts.prompt import Prompt

__all__ = ["declined"]

SHARE = 0.2
CUT, HELD = 0.98, 0.90
REQUESTS = Path(__file__).with_name("whole_requests.toml")
PROMPTS = 30
"""Prompts that each whole-document request is tried on."""
NAMES = {
    "de": "german", "es": "spanish", "ru": "russian", "ar": "arabic", "hi": "hindi", "th": "thai",
    "zh": "chinese",
}  # fmt: skip


def declined(run: Run) -> Iterator[Row]:
    """Measure real questions, other prompts' questions and whole-document requests, set by set."""
    requests = tomllib.loads(REQUESTS.read_text("utf-8"))
    sets = (*FILES, *KINDS, *LANGUAGES)
    for done, name in enumerate(sets, 1):
        if parts := folds(name, run):
            asked = {
                kind: words
                for kind, by_language in requests.items()
                if (words := by_language.get(NAMES.get(name, "english")))
            }
            yield from _rows(name, parts, asked)
        run.progress(done, len(sets), "sets")


def _rows(
    name: str,
    parts: Sequence[tuple[Sequence[Prompt], RankingWeights | None]],
    requests: dict[str, list[str]],
) -> Iterator[Row]:
    own: list[tuple[ContextCut, bool]] = []
    foreign: list[ContextCut] = []
    whole: dict[str, list[ContextCut]] = {kind: [] for kind in requests}
    for prompts, weights in parts:
        keeping = _Keeping(weights)
        for at, prompt in enumerate(prompts):
            own.append(keeping.cut(prompt.question, prompt))
            other = prompts[(at + len(prompts) // 2) % len(prompts)]
            if not _related(other, prompt):
                foreign.append(keeping.cut(other.question, prompt)[0])
        draw = random.Random(0)
        for kind, asked in requests.items():
            for prompt in prompts[:PROMPTS]:
                words = [w for p in prompt.documents for w in p.text.split() if w.isalpha()]
                texts = [text.replace("{word}", draw.choice(words)) for text in asked]
                whole[kind] += [keeping.cut(text, prompt)[0] for text in texts]
    cut = [_in_full(each) for each, _ in own]
    less = [right for each, right in own if not _in_full(each)]
    note = f"n={len(own)}"
    note += f"; of the others {statistics.fmean(less):.0%} would be answered" if less else ""
    yield Row(
        name=f"declined_{name}_cut_in_full",
        value=statistics.fmean(cut),
        target=f">= {CUT}",
        note=note,
    )
    if foreign:
        yield _held(f"declined_{name}_other_question", foreign)
    for kind, found in whole.items():
        yield _held(f"declined_{name}_whole_{kind}", found)


def _held(name: str, cuts: Sequence[ContextCut]) -> Row:
    held = [not _in_full(cut) for cut in cuts]
    left = statistics.fmean(not cut.changed for cut in cuts)
    note = f"n={len(cuts)}, {left:.1%} left whole"
    return Row(name=name, value=statistics.fmean(held), target=f">= {HELD}", note=note)


def _in_full(cut: ContextCut) -> bool:
    return cut.changed and not cut.reason


def _related(other: Prompt, prompt: Prompt) -> bool:
    """Return whether a prompt's documents may answer the other's question."""
    titles = {each.title for each in prompt.documents if each.title}
    gold = [other.documents[at] for at in other.gold]
    shared = set(prompt.documents) & set(other.documents)
    return len(shared) > 2 or any(g in prompt.documents or g.title in titles for g in gold)


class _Keeping:
    """Cuts documents as the compressors of both frameworks do, with the bundled embedder."""

    def __init__(self, weights: RankingWeights | None) -> None:
        self._cuts: list[ContextCut] = []
        settings: dict[str, Any] = {"model": MODEL, "counter": counter, "weights": weights}
        embed = StaticEmbedder().word_vectors
        self._selector = PassageSelector(embed=embed, report=self._cuts.append, **settings)

    def cut(self, request: str, prompt: Prompt) -> tuple[ContextCut, bool]:
        """Return the report of a cut to 20 %, and whether the answers are still there."""
        total = sum(size(each.title, each.text) for each in prompt.documents)
        self._cuts.clear()
        budget = int(total * SHARE)
        kept = self._selector.keep(request, prompt.documents, max_tokens=budget)
        left = {each.index: each.text for each in kept or ()}
        return self._cuts[0], kept is None or prompt.answered_by(left)
