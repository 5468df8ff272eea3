"""Whether the lossless passes change what a text means, and how much they save, by kind.

Every text of the corpus is sent as a user's text, as a system prompt, as a tool's output and as a
document of marked context, to two models, with and without regard to the provider's cache.
What the optimizer sends is judged by a parser where the kind has one, else byte for byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import get_args

from harness import Row, Run
from llm_optimizers.prompts import RequestOptimizer, TokenCounter
from llm_optimizers.prompts.lossless import LOSSLESS, PassName
from prompts.agents import agent_rows
from prompts.corpus import Library, Text, build
from prompts.judges import READERS, is_readable, is_table_of, same_meaning
from prompts.places import PLACES, Place, asking, left_of

MODELS = ("gpt-4o", "claude-sonnet-4-5")
_SHOWN = 12
"""Changed texts that are named between the rows."""


def lossless(run: Run) -> Iterator[Row]:
    """Measure the passes that are on by default, then the others, then recorded agents' runs."""
    texts = build(Library.installed(), seed=run.seed)
    parsed = sum(is_readable(text.kind, text.text) for text in texts)
    kinds = Counter(text.kind for text in texts)
    run.say(
        f"  {len(texts):,} texts of {len(kinds)} kinds, {parsed:,} of them judged by a parser"
        f" ({', '.join(READERS)}), the others by their bytes"
    )
    counter = TokenCounter()
    optimizers = [RequestOptimizer(provider_cache=on, counter=counter) for on in (False, True)]
    yield from by_default(texts, optimizers, run)
    yield from opt_in(texts, run)
    yield from agent_rows(run)


def by_default(
    texts: Sequence[Text], optimizers: Sequence[RequestOptimizer], run: Run
) -> Iterator[Row]:
    """Measure how often any of the optimizers changes a meaning, and what the first one saves."""
    counter = TokenCounter()
    wrong: list[tuple[Text, Place]] = []
    rewritten = 0
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for done, text in enumerate(texts, 1):
        for place in PLACES:
            sent = [
                _sent(optimizer, text.text, place, model)
                for model, optimizer in product(MODELS, optimizers)
            ]
            rewritten += any(each != text.text for each in sent)
            if not all(_is_right(text, each) for each in sent):
                wrong.append((text, place))
            if place == "tool":
                before[text.kind] += counter.count(text.text, MODELS[0]).tokens
                after[text.kind] += counter.count(sent[0] or "", MODELS[0]).tokens
        run.progress(done, len(texts), "texts by default")
    _name(wrong, run)
    cases = len(texts) * len(PLACES)
    yield Row(
        name="lossless_meaning_changed",
        value=len(wrong),
        target="0",
        note=f"of {cases:,} (each text as {', '.join(PLACES)}); {rewritten:,} were rewritten",
    )
    sizes = Counter(text.kind for text in texts)
    for kind in sorted(sizes):
        share = _saved(before[kind], after[kind])
        note = f"of {before[kind]:,} tokens in {sizes[kind]} tool outputs"
        yield Row(name=f"lossless_saved_pct_{kind}", value=share, unit="%", note=note)
    yield Row(
        name="lossless_saved_pct_all",
        value=_saved(before.total(), after.total()),
        unit="%",
        note=f"of {before.total():,} tokens in {len(texts):,} tool outputs",
    )


def opt_in(texts: Sequence[Text], run: Run) -> Iterator[Row]:
    """Measure each pass that is off by default alone, then all of them together."""
    names = sorted(set(get_args(PassName)) - LOSSLESS)
    together = [("all_passes", LOSSLESS | set(names))]
    for title, passes in [*((name, frozenset({name})) for name in names), *together]:
        yield from _one_choice(title, passes, texts, run)


def _one_choice(
    title: str, passes: frozenset[PassName], texts: Sequence[Text], run: Run
) -> Iterator[Row]:
    """Measure how often a choice of passes changes a meaning, and what it saves."""
    counter = TokenCounter()
    optimizer = RequestOptimizer(passes=passes, provider_cache=False, counter=counter)
    wrong: list[tuple[Text, Place]] = []
    before = after = 0
    for done, text in enumerate(texts, 1):
        for place in PLACES:
            sent = _sent(optimizer, text.text, place, MODELS[0])
            if not _is_right(text, sent):
                wrong.append((text, place))
            if place == "user":
                before += counter.count(text.text, MODELS[0]).tokens
                after += counter.count(sent or "", MODELS[0]).tokens
        run.progress(done, len(texts), f"texts with {title}")
    _name(wrong, run)
    counts = Counter(place for _, place in wrong)
    parsed = sum(is_readable(text.kind, text.text) for text, _ in wrong)
    yield Row(
        name=f"lossless_{title}_meaning_changed",
        value=len(wrong),
        note=f"opt-in; of {len(texts) * len(PLACES):,}; a parser judged {parsed} of these: "
        + ", ".join(f"{counts[place]} as {place}" for place in PLACES),
    )
    note = f"opt-in; of {before:,} tokens in users' texts"
    yield Row(name=f"lossless_{title}_saved_pct", value=_saved(before, after), unit="%", note=note)


def _sent(optimizer: RequestOptimizer, text: str, place: Place, model: str) -> str | None:
    """Return what is sent for a text; None if what stands around it has changed."""
    request = asking(text, place, model)
    return left_of(optimizer.optimize(request).request, request, place)


def _is_right(text: Text, sent: str | None) -> bool:
    if sent is None:
        return False
    return same_meaning(text.kind, text.text, sent) or is_table_of(text.text, sent)


def _saved(before: int, after: int) -> float:
    return 100 * (1 - after / before) if before else 0.0


def _name(wrong: Sequence[tuple[Text, Place]], run: Run) -> None:
    """Say which kinds have changed, and where a few of the texts come from."""
    if not wrong:
        return
    kinds = Counter(text.kind for text, _ in wrong)
    run.say("  changed: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    for text, place in wrong[:: max(1, len(wrong) // _SHOWN)]:
        run.say(f"    {text.kind} as {place}: {text.source}")
