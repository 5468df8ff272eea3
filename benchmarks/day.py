"""A whole day of traffic through the LangChain stack: dollars saved and right answers lost.

    python benchmarks/day.py --data ../shared/data --seeds 3 --json rows.json
    python benchmarks/day.py --requests 1000 --only bare,batch

`make_day.py`, in the folder `day` beside the data sets, makes two days of history and the day that
is measured, and defines when an answer is right. The app (CachedChatModel around OptimizedChatModel
around ChatModelRouter around ChatOpenAI, CostCallbackHandler, tenants, chores in a provider batch)
runs in its own process and calls the recorded provider in another, over HTTP through OpenAI's SDK.
Each phase adds one strategy: prompts, cache, routing (fitted on the labels, tolerance .02), batch.
Cold: the day alone; warm: the history went through the same app first. Phases share only the run
that they are compared with (`bare`). Saved is what the provider did not bill, by its own count of
tokens; lost are right answers, in points of all requests of the day. By default an answer of the
cheap model that was not recorded counts as wrong; `assumed` counts it as right for 99 % of the
classes of answers.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import minilm
from day import counting, stock
from day.client import Setup, run_day
from day.counting import Day
from day.provider import provider
from day.traffic import describe_router, make_traffic
from harness import Row, Run, Section, main

BASELINE = Setup(name="bare")
PHASES = {
    "prompts": Setup(name="prompts", prompts=True),
    "cache": Setup(name="cache", prompts=True, cache=True),
    "routing": Setup(name="routing", prompts=True, cache=True, router=True),
    "batch": Setup(name="batch", prompts=True, cache=True, router=True, batch=True),
}
WHOLE = PHASES["batch"]
TEXT_KINDS = ("classify", "summarise")
"""Kinds of requests to work on a text, which no other text's answer fits."""
LARGE_CAPACITY = 50_000
"""Enough entries for the history and the day; the default capacity is too small for either."""
STOCK = (
    Setup(name=stock.EXACT, stock=(stock.EXACT,)),
    Setup(name=stock.COSINE, stock=(stock.COSINE,)),
    Setup(name=stock.KEYWORDS, stock=(stock.KEYWORDS,)),
    Setup(name=stock.HEAD, stock=(stock.HEAD,)),
    Setup(
        name="all of them and batch",
        stock=(stock.COSINE, stock.KEYWORDS, stock.HEAD),
        batch=True,
    ),
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=10_000, help="of each day")
    parser.add_argument(
        "--phases",
        type=phases,
        default=tuple(PHASES),
        help=f"which of {', '.join(PHASES)} to run, separated by commas; all by default",
    )
    parser.add_argument("--work", type=Path, help="folder to keep the generated traffic in")


def phases(text: str) -> tuple[str, ...]:
    wanted = tuple(text.split(","))
    if unknown := [name for name in wanted if name not in PHASES]:
        raise argparse.ArgumentTypeError(f"no phase {', '.join(unknown)}")
    return wanted


def traffic_folder(run: Run) -> Path:
    """Return the folder with the seed's traffic."""
    if run.options.work is None and "work" not in run.shared:
        run.shared["work"] = tempfile.TemporaryDirectory(prefix="day-of-traffic-")
    work = run.options.work or Path(run.shared["work"].name)
    return make_traffic(run.data, work, seed=run.seed, requests=run.options.requests)


def day_with(run: Run, setup: Setup) -> Day:
    """Return the day with a setup; each setup runs once in a run of this benchmark."""
    key = (run.seed, setup)
    if key not in run.shared:
        folder = traffic_folder(run)
        if (run.seed, "facts") not in run.shared:
            run.shared[run.seed, "facts"] = counting.facts(folder)
        start = "warm" if setup.warm else "cold"

        def progress(done: int, total: int, file: str) -> None:
            run.progress(done, total, f"{setup.name} {start}, {file}")

        with provider(folder, history=setup.warm, assumed=setup.assumed) as server:
            result = run_day(setup, folder, server.url, progress)
            bill = server.bill()
        run.shared[key] = counting.count_day(result, bill, run.shared[run.seed, "facts"])
    day: Day = run.shared[key]
    return day


def baseline(run: Run) -> Iterator[Row]:
    day = day_with(run, BASELINE)
    right = 100 * sum(day.right.values()) / len(day.right)
    yield Row(name="bare: bill", value=day.dollars, unit="$")
    yield Row(name="bare: right", value=right, unit="%")
    for kind, dollars in day.spent.items():
        yield Row(name=f"bare, {kind}: of the bill", value=100 * dollars / day.dollars, unit="%")
    yield from counting.machine("bare", day, day)


def phase(setup: Setup, run: Run) -> Iterator[Row]:
    """Run a phase, cold and warm; without a cache the history changes nothing."""
    if setup.name not in run.options.phases:
        run.say("  left out by --phases")
        return
    base = day_with(run, BASELINE)
    wrong = 0
    if setup.router:
        run.say(f"  seed {run.seed}: {describe_router(traffic_folder(run))}")
    for warm in (False, True) if setup.cache else (False,):
        day = day_with(run, replace(setup, warm=warm))
        start = "warm" if warm else "cold"
        yield from counting.rows(f"{setup.name} {start}" if setup.cache else setup.name, day, base)
        if setup == WHOLE:
            yield from headline(day, base, suffix="" if warm else "_cold")
        wrong += sum(day.wrong[kind] for kind in TEXT_KINDS)
    if setup.cache and not setup.batch:
        note = "of summaries and classifications, cold and warm"
        yield Row(name=f"{setup.name}: wrong_hits_on_texts", value=wrong, target="0", note=note)
    if setup == PHASES["cache"]:
        large = day_with(run, replace(setup, warm=True, cache_entries=LARGE_CAPACITY))
        yield from counting.rows(f"cache warm, room for {LARGE_CAPACITY:,}", large, base)
    if setup == WHOLE:
        labelled = day_with(run, replace(setup, labelled_only=True))
        yield from counting.rows("batch cold, router where labelled", labelled, base)
        yield from machine(day_with(run, replace(setup, warm=True)), base)
        stacks = [day for key, day in run.shared.items() if is_stack_run(key, run.seed)]
        crossed = sum(each.crossed for each in stacks)
        note = f"in all {len(stacks)} runs of the stack"
        yield Row(name="crossed_tenants", value=crossed, target="0", note=note)


def is_stack_run(key: object, seed: int) -> bool:
    """Return whether a key of `Run.shared` names a run of our stack for a seed."""
    match key:
        case (int(number), Setup() as setup):
            return number == seed and not setup.stock and setup != BASELINE
    return False


def headline(day: Day, base: Day, suffix: str) -> Iterator[Row]:
    """The main rows of the whole stack: saving and loss."""
    loss, half = counting.quality_loss(day, base)
    saved = counting.saved_pct(day, base)
    yield Row(name=f"saved_pct{suffix}", value=saved, target="-", unit="%")
    interval = f"{loss - half:.2f} to {loss + half:.2f}"
    yield Row(
        name=f"quality_loss_pct{suffix}", value=loss, target="-", unit="points", note=interval
    )


def machine(day: Day, base: Day) -> Iterator[Row]:
    wrong, size = counting.wrong_hits_pct(day), len(base.right)
    yield Row(name="wrong_hits_pct", value=wrong, target="-", unit="%", note="of all hits, warm")
    yield Row(
        name="cpu_vs_bare",
        value=day.result.cpu_s / base.result.cpu_s,
        target="-",
        unit="×",
        note=f"{1e3 * day.result.cpu_s / size:.2f} ms a request, bare "
        f"{1e3 * base.result.cpu_s / size:.2f}",
    )
    yield Row(name="requests_per_s", value=size / day.result.wall_s, target="-")
    note = f"the app's process; bare {base.result.peak_mb:.0f}"
    yield Row(name="peak_mb", value=day.result.peak_mb, target="-", unit="MB", note=note)


def assumed(run: Run) -> Iterator[Row]:
    """Run the whole stack, warm, against a cheap model that answers as assumed."""
    base = day_with(run, BASELINE)
    day = day_with(run, replace(WHOLE, warm=True, assumed=True))
    yield from counting.rows("assumed", day, base)
    note = f"the cheap model answered {day.unrecorded:,} requests without a recorded answer"
    yield Row(name="assumed: unrecorded answers", value=day.unrecorded, note=note)
    yield from headline(day, base, suffix="_assumed")


def stock_parts(run: Run) -> Iterator[Row]:
    """Run stock parts on the same day, cold, counted in the same way."""
    base = day_with(run, BASELINE)
    if not minilm.installed():
        run.say(f"  {minilm.ABSENT}")
    progress = partial(run.progress, what="embedding")
    name = stock.embed_last_messages(traffic_folder(run), progress)
    run.say(f"  cosine .8 on the last message: vectors of {name}")
    for setup in STOCK:
        day = day_with(run, setup)
        yield from (
            row
            for row in counting.rows(setup.name, day, base)
            if row.name.startswith(f"{setup.name}:") and "CPU" not in row.name
        )


SECTIONS = [
    Section(
        name="bare",
        measure=baseline,
        about="the baseline: the day without us, all to the strong model",
    ),
    *(
        Section(name=name, measure=partial(phase, setup), about=about)
        for (name, setup), about in zip(
            PHASES.items(),
            (
                "shorter prompts, 400 tokens of context",
                "+ HybridCache at its defaults",
                "+ the router fitted on the labels",
                "+ chores in a provider batch: the whole stack",
            ),
            strict=True,
        )
    ),
    Section(name="assumed", measure=assumed, about="the whole stack, warm, cheap model as assumed"),
    Section(name="stock", measure=stock_parts, about="stock parts, cold"),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS, options)
