"""How often what a method keeps of a context still contains the answer."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from harness import Row, Run
from llm_optimizers.embeddings import StaticEmbedder
from prompts.data_sets import folds
from prompts.methods import PEERS, Method, selector_method, size
from prompts.prompt import Prompt

__all__ = ["answers_kept", "kept_row"]

TARGETS = {("nq20", 80): 0.95, ("nq20", 90): 0.91, ("xquad15", 80): 0.985, ("xquad15", 90): 0.97}


def answers_kept(name: str, run: Run) -> Iterator[Row]:
    """Measure our rows, then those of the methods we compare with."""
    parts, embed = folds(name, run), StaticEmbedder().embed
    if not parts:
        return
    best = [(prompts, selector_method(embed, weights)) for prompts, weights in parts]
    words = [(prompts, selector_method(None, weights)) for prompts, weights in parts]
    everything = [prompt for prompts, _ in parts for prompt in prompts]
    for saved in (80, 90):
        key = f"{name}_retention_at_{saved}"
        methods = [
            (key, best, f">= {TARGETS[name, saved]}"),
            (f"{key}_words_only", words, "-"),
            *((f"{key}_{peer}", [(everything, method)], "peer") for peer, method in PEERS.items()),
        ]
        for done, (title, measured, target) in enumerate(methods, 1):
            yield kept_row(title, measured, (100 - saved) / 100, target)
            run.progress(done, len(methods), f"methods at {saved} % saved")


def kept_row(
    name: str, parts: Sequence[tuple[Sequence[Prompt], Method]], share: float, target: str
) -> Row:
    """Return the share of prompts whose answers are kept in a share of the tokens."""
    right: list[bool] = []
    kept: list[float] = []
    for prompts, method in parts:
        for prompt in prompts:
            sizes = [size(p.title, p.text) for p in prompt.documents]
            left = method(prompt.question, prompt.documents, int(sum(sizes) * share))
            right.append(prompt.answered_by(left))
            used = sum(size(prompt.documents[at].title, text) for at, text in left.items())
            kept.append(used / sum(sizes))
    note = f"saved {1 - statistics.fmean(kept):.1%}, n={len(right)}"
    return Row(name=name, value=statistics.fmean(right), target=target, note=note)
