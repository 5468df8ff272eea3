"""How often the answer is still there after `RequestOptimizer` has cut the context of a prompt.

The documents stand in a user's message, in the forms of `forms`. An answer counts if it is in what
is left of its document; where a form does not number its documents, if it is left at all.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

from harness import Row, Run
from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.prompts import ContextBudget, PassageSelector, RequestOptimizer
from llm_optimizers.prompts.context import in_messages
from llm_optimizers.types import ChatRequest, Message
from prompts.bm25 import character_pairs
from prompts.data_sets import FILES, KINDS, LANGUAGES, Fold, folds
from prompts.forms import DOCUMENTS, OTHERS, Form, left_by_document, unbalanced
from prompts.methods import MODEL, bm25_passages, counter, selector_method, size
from prompts.prompt import Prompt
from prompts.retention import kept_row

__all__ = ["SETS", "entrance"]

SETS = (*FILES, *KINDS, *LANGUAGES)
TARGETS = {"nq20": 0.95, "xquad15": 0.97, "docs": 0.73, "tables": 0.87, "two_hops": 0.71}
IN_OTHER_FORMS = ("nq20", "docs", "tables")
UNSPACED = ("th", "zh")
SHARE = 0.2
FARTHEST = 0.02
"""How far the entrance may stay below its own selection."""


@dataclass(slots=True)
class _Seen:
    """What is counted over all sets and forms."""

    cut: int = 0
    uncut: int = 0
    unbalanced: Counter[str] = field(default_factory=Counter)
    quoting: int = 0
    around: int = 0
    below: dict[str, float] = field(default_factory=dict)


def entrance(run: Run) -> Iterator[Row]:
    """Measure every set that was chosen, then what holds for all of them."""
    seen = _Seen()
    for done, name in enumerate(run.options.sets, 1):
        if parts := folds(name, run):
            yield from _rows(name, parts, seen)
        run.progress(done, len(run.options.sets), "sets")
    if not seen.below:
        return
    worst = max(seen.below, key=lambda name: seen.below[name])
    yield Row(
        name="entrance_below_selection",
        value=seen.below[worst],
        target=f"<= {FARTHEST}",
        note=f"most on {worst}",
    )
    yield Row(
        name="tags_unbalanced",
        value=float(seen.unbalanced.total()),
        target="= 0",
        note=f"of {seen.cut:,} cut prompts; {seen.quoting} left out that quote such tags. "
        + ", ".join(f"{name}: {count}" for name, count in seen.unbalanced.items()),
    )
    yield Row(
        name="text_around_changed",
        value=float(seen.around),
        target="= 0",
        note="cut prompts whose text around the documents is not the same",
    )


def _rows(name: str, parts: Sequence[Fold], seen: _Seen) -> Iterator[Row]:
    key = f"entrance_{name}_at_80"
    target = f">= {TARGETS[name]}" if name in TARGETS else "-"
    if name in LANGUAGES:
        peer = _whole_passages(name, parts)
        yield peer
        target = f">= {peer.value:.3f}"
    ours = _entrance_row(key, parts, DOCUMENTS, seen, target)
    yield ours
    chosen = [(prompts, selector_method(None, weights)) for prompts, weights in parts]
    selection = kept_row(f"selection_{name}_at_80", chosen, SHARE, "-")
    yield selection
    seen.below[name] = (selection.value or 0.0) - (ours.value or 0.0)
    embed = StaticEmbedder().embed
    yield _entrance_row(f"{key}_embedding", parts, DOCUMENTS, seen, "-", embed)
    if name in FILES:
        untitled = [([prompt.untitled() for prompt in each], weights) for each, weights in parts]
        yield _entrance_row(f"{key}_untitled", untitled, DOCUMENTS, seen, "-")
    if name in IN_OTHER_FORMS:
        for form in OTHERS:
            yield _entrance_row(f"{key}_{form.name}", parts, form, seen, "-")


def _whole_passages(name: str, parts: Sequence[Fold]) -> Row:
    """Return the row of BM25 over stems, or over pairs of characters in Chinese and Thai.

    Of stems, words and pairs these keep the most answers in each language.
    """
    pairs = partial(bm25_passages, asked=character_pairs, split=character_pairs)
    prompts = [prompt for each, _ in parts for prompt in each]
    method = pairs if name in UNSPACED else bm25_passages
    return kept_row(f"entrance_{name}_at_80_bm25", [(prompts, method)], SHARE, "peer")


def _entrance_row(
    name: str, parts: Sequence[Fold], form: Form, seen: _Seen, target: str, embed: Any = None
) -> Row:
    right: list[bool] = []
    kept: list[float] = []
    uncut = seen.uncut
    for prompts, weights in parts:
        # An optimiser makes its own selector, with the shipped weights: not those of one half.
        selector = partial(PassageSelector, weights=weights)
        with patch.object(in_messages, "PassageSelector", selector):
            for prompt in prompts:
                answered, share = _measured(prompt, form, seen, name, embed)
                right.append(answered)
                kept.append(share)
    note = f"saved {1 - statistics.fmean(kept):.1%}, n={len(right)}"
    note += f", {seen.uncut - uncut} not cut" if seen.uncut > uncut else ""
    return Row(name=name, value=statistics.fmean(right), target=target, note=note)


def _measured(prompt: Prompt, form: Form, seen: _Seen, row: str, embed: Any) -> tuple[bool, float]:
    """Return whether the answers are left, and the share of the section's tokens that is."""
    before = form.write(prompt.question, prompt.documents)
    total = sum(size(p.title, p.text) for p in prompt.documents)
    # Every prompt is cut to the same share, also where the optimiser would cut less.
    context = ContextBudget(max_tokens=int(SHARE * total), min_probability=None)
    own = RequestOptimizer(context=context, provider_cache=False, counter=counter, embed=embed)
    asked = ChatRequest(model=MODEL, messages=(Message(role="user", content=before),))
    sent = own.optimize(asked).request.messages[0].text
    section = form.section(prompt.question, sent)
    if sent != before:
        seen.cut += 1
        if unbalanced(before, form.tags):
            seen.quoting += 1
        elif unbalanced(sent, form.tags):
            seen.unbalanced[row] += 1
        seen.around += section is None
    else:
        seen.uncut += 1
    section = sent.replace(prompt.question, "") if section is None else section
    if form is not DOCUMENTS:
        whole = form.section(prompt.question, before)
        share = _tokens(section) / _tokens(whole or before)
        return prompt.answered_anywhere(section), share
    left = left_by_document(section)
    return prompt.answered_by(left), sum(map(_tokens, left.values())) / total


def _tokens(text: str) -> int:
    return counter.count(text, MODEL).tokens
