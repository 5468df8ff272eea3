"""What a day cost and what it lost, counted from the provider's bill and the replies served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, pvariance

from day.client import Lived, Served
from day.provider import Bill, dollars
from day.traffic import DAY, HISTORY, KINDS, read
from harness import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What counting needs to know of a request."""

    tenant: str
    kind: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day as one setup lived it; dollars and counts by kind.

    A hit is a reply that was given to another request; it is wrong if its word is not the right
    one, and crosses tenants if it was given to the other tenant's request.
    """

    lived: Lived
    facts: Mapping[str, Facts]
    right: Mapping[str, bool]
    spent: Mapping[str, float]
    spent_before: float
    unrecorded: int
    hits: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    crossed: int = 0

    @property
    def dollars(self) -> float:
        """The bill of the day."""
        return sum(self.spent.values())


def facts(folder: Path) -> dict[str, Facts]:
    """The facts of the day and its history, by request."""
    return {
        request.id: Facts(tenant=request.tenant, kind=request.kind, right=request.right)
        for name in (DAY, HISTORY)
        for request in read(folder / name)
    }


def counted(lived: Lived, bill: Bill, known: Mapping[str, Facts]) -> Day:
    """Count a day."""
    spent = dict.fromkeys((*KINDS, "other"), 0.0)
    of_day = bill.of_day()
    for line in of_day:
        kind = known[line.request_id].kind if line.request_id in known else "other"
        spent[kind] += float(dollars(line))
    hits: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    crossed = 0
    right: dict[str, bool] = {}
    for name, asked in known.items():
        if not name.startswith("r"):
            continue
        served = lived.served.get(name)
        right[name] = served is not None and served.word == asked.right
        if served is not None and served.source not in ("", name):
            hits[asked.kind] += 1
            wrong[asked.kind] += not right[name]
            crossed += _tenant(served, known) != asked.tenant
    return Day(
        lived=lived,
        facts=known,
        right=right,
        spent=spent,
        spent_before=float(sum(map(dollars, bill.lines)) - sum(map(dollars, of_day))),
        unrecorded=bill.unrecorded,
        hits=hits,
        wrong=wrong,
        crossed=crossed,
    )


def _tenant(served: Served, known: Mapping[str, Facts]) -> str:
    return known[served.source].tenant if served.source in known else ""


def saved_pct(day: Day, bare: Day) -> float:
    """The share of the bare bill that was not billed, in percent."""
    return 100 * (1 - day.dollars / bare.dollars)


def lost(day: Day, bare: Day) -> tuple[float, float]:
    """Right answers lost in points of all requests, and half of the 95 % interval of it."""
    each = [bare.right[name] - day.right[name] for name in bare.right]
    return 100 * fmean(each), 196 * (pvariance(each) / len(each)) ** 0.5


def wrong_hits_pct(day: Day) -> float:
    """Wrong hits among all hits, in percent; 0 without hits."""
    return 100 * day.wrong.total() / day.hits.total() if day.hits else 0.0


def rows(name: str, day: Day, bare: Day) -> Iterator[Row]:
    """The figures of a setup."""
    loss, half = lost(day, bare)
    spent = f"${day.dollars:.4f} of ${bare.dollars:.4f}"
    if day.spent_before:
        spent += f"; ${day.spent_before:.2f} spent on the history, not counted"
    yield Row(name=f"{name}: saved_pct", value=saved_pct(day, bare), unit="%", note=spent)
    interval = f"{loss - half:.2f} to {loss + half:.2f}"
    yield Row(name=f"{name}: quality_loss_pct", value=loss, unit="points", note=interval)
    tiers = Counter(s.tier for s in day.lived.served.values() if s.tier)
    by_tier = ", ".join(f"{count} {tier}" for tier, count in sorted(tiers.items()))
    yield Row(name=f"{name}: hits", value=day.hits.total(), note=by_tier)
    yield Row(name=f"{name}: wrong_hits_pct", value=wrong_hits_pct(day), unit="%")
    yield Row(name=f"{name}: crossed_tenants", value=day.crossed)
    yield from kinds(name, day, bare)
    yield from machine(name, day, bare)
    missing = len(day.right) - len(day.lived.served)
    if missing:
        errors = day.lived.errors.most_common(1)
        first = "; ".join(f"{count} × {error}" for error, count in errors)
        yield Row(name=f"{name}: requests without an answer", value=missing, note=first)


def kinds(name: str, day: Day, bare: Day) -> Iterator[Row]:
    """Each kind's share of the bill and of the loss."""
    for kind in KINDS:
        before, now = bare.spent[kind], day.spent[kind]
        own = [each for each in bare.right if bare.facts[each].kind == kind]
        loss = sum(bare.right[each] - day.right[each] for each in own)
        left = f"{100 * now / day.dollars:.1f} % of what is left" if day.dollars else ""
        hits = f"{day.hits[kind]} hits of {len(own)}, {day.wrong[kind]} wrong"
        yield Row(
            name=f"{name}, {kind}: saved",
            value=100 * (1 - now / before) if before else None,
            unit="% of its bill",
            note=f"{100 * before / bare.dollars:.1f} % of the bill, {left}",
        )
        yield Row(
            name=f"{name}, {kind}: loss",
            value=100 * loss / len(bare.right),
            unit="points",
            note=hits,
        )
    if day.spent["other"]:
        yield Row(name=f"{name}, calls of no request", value=day.spent["other"], unit="$")


def machine(name: str, day: Day, bare: Day) -> Iterator[Row]:
    """What the setup took of the machine, and what our own account made of the bill."""
    lived, size = day.lived, len(bare.right)
    yield Row(name=f"{name}: CPU a request", value=1_000 * lived.cpu_s / size, unit="ms")
    yield Row(name=f"{name}: requests_per_s", value=size / lived.wall_s)
    yield Row(name=f"{name}: peak_mb", value=lived.peak_mb, unit="MB")
    if lived.accounted and lived.ledger_baseline:
        yield Row(
            name=f"{name}: our ledger's cost over the provider's bill",
            value=lived.ledger_cost / day.dollars if day.dollars else None,
            unit="×",
            note=f"${lived.ledger_cost:.6f}, ${lived.ledger_cost - day.dollars:+.6f}; "
            f"its saved_pct {100 * (1 - lived.ledger_cost / lived.ledger_baseline):.2f}",
        )
