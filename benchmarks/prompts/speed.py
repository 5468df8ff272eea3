"""Milliseconds that the selection of context takes, and how they grow with its length."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from harness import Row
from llm_optimizers.prompts import (
    ContextBudget,
    Passage,
    PassageSelector,
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.types import ChatRequest, Message
from prompts.forms import DOCUMENTS
from prompts.methods import MODEL, size
from prompts.prompt import Prompt


def speed(prompts: Sequence[Prompt], embed: Any) -> Iterator[Row]:
    """Measure a prompt of about 2,500 tokens, and the exponent of the growth with length."""
    sized = [(abs(tokens(p) - 2_500), at) for at, p in enumerate(prompts)]
    near = [prompts[at] for _, at in sorted(sized)[:100]]
    usual = statistics.median(best_time(p.question, p.documents, embed) for p in near)
    order = random.Random(0).sample(range(len(prompts)), len(prompts))
    points: list[tuple[float, float]] = []
    for count in (1, 2, 4, 8, 16, 40):
        passages = [p for at in order[:count] for p in prompts[at].documents]
        total = sum(size(p.title, p.text) for p in passages)
        points.append((total, best_time(prompts[order[0]].question, passages, embed)))
        yield Row(name=f"{total:,} tokens", value=points[-1][1] * 1000, unit="ms")
    slope = np.polyfit(*np.log(np.array(points)).T, 1)[0]
    yield Row(name="compress_ms_2500_tokens", value=usual * 1000, target="<= 10")
    through = statistics.median(best_time_of(partial(optimized, p)) for p in near)
    yield Row(name="entrance_ms_2500_tokens", value=through * 1000, note="words only, 20 % kept")
    yield Row(name="growth_exponent", value=float(slope), target="~ 1", note="to 100,000 tokens")


def tokens(prompt: Prompt) -> int:
    return sum(size(p.title, p.text) for p in prompt.documents)


def best_time(question: str, passages: Sequence[Passage], embed: Any) -> float:
    """Return the best of five times of a selection, each with a new token counter."""

    def selected() -> None:
        selector = PassageSelector(model=MODEL, counter=TokenCounter(), embed=embed)
        selector.select(question, passages, max_tokens=500)

    return best_time_of(selected)


def optimized(prompt: Prompt) -> None:
    """Cut the context of a prompt to a fifth, with a new token counter."""
    text = DOCUMENTS.write(prompt.question, prompt.documents)
    optimizer = RequestOptimizer(context=ContextBudget(max_tokens=500), provider_cache=False)
    optimizer.optimize(ChatRequest(model=MODEL, messages=(Message(role="user", content=text),)))


def best_time_of(work: Callable[[], object]) -> float:
    """Return the best of five times in seconds."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
