"""A whole day of traffic through the LangChain stack: what it saves, and what it costs in answers.

    python benchmarks/day.py --data ../shared/data --seeds 3 --json rows.json
    python benchmarks/day.py --requests 1000 --only bare,batch

Two days of history and a day that counts are made by `make_day.py` in the folder `day` beside the
data sets, which also says how an answer counts. The app (CachedChatModel over OptimizedChatModel
over ChatModelRouter over ChatOpenAI, CostCallbackHandler, tenants, chores in a provider batch) runs
in a process of its own and speaks to the recorded provider in another, over HTTP through OpenAI's
SDK. Each phase adds one strategy: prompts, cache, routing (fitted on the labels, tolerance .02),
batch. Cold: the day alone; warm: the history went through the same app first. Nothing is shared
between phases but the bare run that they are compared with. Saved is what the provider did not
bill, by its own count of tokens; lost are right answers, in points of all requests of the day.
Strict counts an answer of the cheap model wrong where nothing of it is recorded; assumed takes it
for right on 99 % of the classes of answers.
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
from day.client import Setup, lived
from day.counting import Day
from day.provider import provider
from day.traffic import made, router_of
from harness import Row, Run, Section, main

BARE = Setup(name="bare")
PHASES = {
    "prompts": Setup(name="prompts", prompts=True),
    "cache": Setup(name="cache", prompts=True, cache=True),
    "routing": Setup(name="routing", prompts=True, cache=True, router=True),
    "batch": Setup(name="batch", prompts=True, cache=True, router=True, batch=True),
}
WHOLE = PHASES["batch"]
ROOM = 50_000
"""Entries that hold the history and the day; the cache's default capacity holds neither whole."""
STOCK = (
    Setup(name=stock.EXACT, stock=(stock.EXACT,)),
    Setup(name=stock.LIKENESS, stock=(stock.LIKENESS,)),
    Setup(name=stock.KEYWORDS, stock=(stock.KEYWORDS,)),
    Setup(name=stock.HEAD, stock=(stock.HEAD,)),
    Setup(
        name="all of them and batch",
        stock=(stock.LIKENESS, stock.KEYWORDS, stock.HEAD),
        batch=True,
    ),
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=10_000, help="of each day")
    parser.add_argument(
        "--phases",
        type=phases,
        default=tuple(PHASES),
        help=f"which of {', '.join(PHASES)} to run, with commas between; all by default",
    )
    parser.add_argument("--work", type=Path, help="folder to keep the made traffic in")


def phases(text: str) -> tuple[str, ...]:
    wanted = tuple(text.split(","))
    if unknown := [name for name in wanted if name not in PHASES]:
        raise argparse.ArgumentTypeError(f"no phase {', '.join(unknown)}")
    return wanted


def folder_of(run: Run) -> Path:
    """The folder with the seed's traffic."""
    if run.options.work is None and "work" not in run.shared:
        run.shared["work"] = tempfile.TemporaryDirectory(prefix="day-of-traffic-")
    work = run.options.work or Path(run.shared["work"].name)
    return made(run.data, work, seed=run.seed, requests=run.options.requests)


def spent(run: Run, setup: Setup) -> Day:
    """The day as a setup lives it; each is lived once in a run of this benchmark."""
    key = (run.seed, setup)
    if key not in run.shared:
        folder = folder_of(run)
        if (run.seed, "facts") not in run.shared:
            run.shared[run.seed, "facts"] = counting.facts(folder)
        start = "warm" if setup.warm else "cold"

        def progress(done: int, total: int, file: str) -> None:
            run.progress(done, total, f"{setup.name} {start}, {file}")

        with provider(folder, history=setup.warm, assumed=setup.assumed) as server:
            found = lived(setup, folder, server.url, progress)
            bill = server.bill()
        run.shared[key] = counting.counted(found, bill, run.shared[run.seed, "facts"])
    day: Day = run.shared[key]
    return day


def bare(run: Run) -> Iterator[Row]:
    day = spent(run, BARE)
    right = 100 * sum(day.right.values()) / len(day.right)
    yield Row(name="bare: bill", value=day.dollars, unit="$")
    yield Row(name="bare: right", value=right, unit="%")
    for kind, dollars in day.spent.items():
        yield Row(name=f"bare, {kind}: of the bill", value=100 * dollars / day.dollars, unit="%")
    yield from counting.machine("bare", day, day)


def phase(setup: Setup, run: Run) -> Iterator[Row]:
    """A phase, cold and warm; without a cache the history changes nothing."""
    if setup.name not in run.options.phases:
        run.say("  left out by --phases")
        return
    base = spent(run, BARE)
    if setup.router:
        run.say(f"  seed {run.seed}: {router_of(folder_of(run))}")
    for warm in (False, True) if setup.cache else (False,):
        day = spent(run, replace(setup, warm=warm))
        start = "warm" if warm else "cold"
        yield from counting.rows(f"{setup.name} {start}" if setup.cache else setup.name, day, base)
        if setup == WHOLE:
            yield from headline(day, base, suffix="" if warm else "_cold")
    if setup == PHASES["cache"]:
        roomy = spent(run, replace(setup, warm=True, cache_entries=ROOM))
        yield from counting.rows(f"cache warm, room for {ROOM:,}", roomy, base)
    if setup == WHOLE:
        careful = spent(run, replace(setup, labelled_only=True))
        yield from counting.rows("batch cold, router where labelled", careful, base)
        yield from machine(spent(run, replace(setup, warm=True)), base)
        stacks = [day for key, day in run.shared.items() if stack(key, run.seed)]
        crossed = sum(each.crossed for each in stacks)
        note = f"in all {len(stacks)} runs of the stack"
        yield Row(name="crossed_tenants", value=crossed, target="0", note=note)


def stack(key: object, seed: int) -> bool:
    """Whether a key of what is shared names a run of our stack for a seed."""
    match key:
        case (int(number), Setup() as setup):
            return number == seed and not setup.stock and setup != BARE
    return False


def headline(day: Day, base: Day, suffix: str) -> Iterator[Row]:
    """The rows that the project is measured by, of the whole stack."""
    loss, half = counting.lost(day, base)
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
        value=day.lived.cpu_s / base.lived.cpu_s,
        target="-",
        unit="×",
        note=f"{1e3 * day.lived.cpu_s / size:.2f} ms a request, bare "
        f"{1e3 * base.lived.cpu_s / size:.2f}",
    )
    yield Row(name="requests_per_s", value=size / day.lived.wall_s, target="-")
    note = f"the app's process; bare {base.lived.peak_mb:.0f}"
    yield Row(name="peak_mb", value=day.lived.peak_mb, target="-", unit="MB", note=note)


def assumed(run: Run) -> Iterator[Row]:
    """The whole stack, warm, against a cheap model that answers as assumed."""
    base = spent(run, BARE)
    day = spent(run, replace(WHOLE, warm=True, assumed=True))
    yield from counting.rows("assumed", day, base)
    note = f"the cheap model answered {day.unrecorded:,} requests of which nothing is recorded"
    yield Row(name="assumed: unrecorded answers", value=day.unrecorded, note=note)
    yield from headline(day, base, suffix="_assumed")


def stock_parts(run: Run) -> Iterator[Row]:
    """Stock parts on the same day, cold, counted in the same way."""
    base = spent(run, BARE)
    if not minilm.installed():
        run.say(f"  {minilm.ABSENT}")
    progress = partial(run.progress, what="embedding")
    name = stock.embedded(folder_of(run), progress)
    run.say(f"  cosine .8 on the last message: vectors of {name}")
    for setup in STOCK:
        day = spent(run, setup)
        yield from (
            row
            for row in counting.rows(setup.name, day, base)
            if row.name.startswith(f"{setup.name}:") and "CPU" not in row.name
        )


SECTIONS = [
    Section(name="bare", measure=bare, about="the day as it is, all to the strong model"),
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
