"""Count what a day cost and lost, from the provider's bill and the replies that were served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, pvariance

from day.client import DayResult, ServedReply
from day.provider import Bill, dollars
from day.traffic import DAY, HISTORY, KINDS, read
from harness import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a request: its tenant, its kind and the right word."""

    tenant: str
    kind: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day with one setup: dollars and counts by kind.

    A hit is a reply that was made for another request. It is wrong if its word is not the right
    one, and crosses tenants if it was made for a request of the other tenant.
    """

    result: DayResult
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
        """The day's bill."""
        return sum(self.spent.values())


def facts(folder: Path) -> dict[str, Facts]:
    """Return the facts of the day and its history, by request."""
    return {
        request.id: Facts(tenant=request.tenant, kind=request.kind, right=request.right)
        for name in (DAY, HISTORY)
        for request in read(folder / name)
    }


def count_day(result: DayResult, bill: Bill, known: Mapping[str, Facts]) -> Day:
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
    for name, request in known.items():
        if not name.startswith("r"):
            continue
        served = result.served.get(name)
        right[name] = served is not None and served.word == request.right
        if served is not None and served.source not in ("", name):
            hits[request.kind] += 1
            wrong[request.kind] += not right[name]
            crossed += _tenant(served, known) != request.tenant
    return Day(
        result=result,
        facts=known,
        right=right,
        spent=spent,
        spent_before=float(sum(map(dollars, bill.lines)) - sum(map(dollars, of_day))),
        unrecorded=bill.unrecorded,
        hits=hits,
        wrong=wrong,
        crossed=crossed,
    )


def _tenant(served: ServedReply, known: Mapping[str, Facts]) -> str:
    return known[served.source].tenant if served.source in known else ""


def saved_pct(day: Day, baseline: Day) -> float:
    """Return the share of the baseline bill that was saved, in percent."""
    return 100 * (1 - day.dollars / baseline.dollars)


def quality_loss(day: Day, baseline: Day) -> tuple[float, float]:
    """Return the right answers lost, in points of all requests, and half of its 95 % interval."""
    each = [baseline.right[name] - day.right[name] for name in baseline.right]
    return 100 * fmean(each), 196 * (pvariance(each) / len(each)) ** 0.5


def wrong_hits_pct(day: Day) -> float:
    """Return the wrong hits among all hits, in percent; 0 without hits."""
    return 100 * day.wrong.total() / day.hits.total() if day.hits else 0.0


def rows(name: str, day: Day, baseline: Day) -> Iterator[Row]:
    """Return the rows of a setup."""
    loss, half = quality_loss(day, baseline)
    spent = f"${day.dollars:.4f} of ${baseline.dollars:.4f}"
    if day.spent_before:
        spent += f"; ${day.spent_before:.2f} spent on the history, not counted"
    yield Row(name=f"{name}: saved_pct", value=saved_pct(day, baseline), unit="%", note=spent)
    interval = f"{loss - half:.2f} to {loss + half:.2f}"
    yield Row(name=f"{name}: quality_loss_pct", value=loss, unit="points", note=interval)
    tiers = Counter(s.tier for s in day.result.served.values() if s.tier)
    by_tier = ", ".join(f"{count} {tier}" for tier, count in sorted(tiers.items()))
    yield Row(name=f"{name}: hits", value=day.hits.total(), note=by_tier)
    yield Row(name=f"{name}: wrong_hits_pct", value=wrong_hits_pct(day), unit="%")
    yield Row(name=f"{name}: crossed_tenants", value=day.crossed)
    yield from kinds(name, day, baseline)
    yield from machine(name, day, baseline)
    missing = len(day.right) - len(day.result.served)
    if missing:
        errors = day.result.errors.most_common(1)
        first = "; ".join(f"{count} × {error}" for error, count in errors)
        yield Row(name=f"{name}: requests without an answer", value=missing, note=first)


def kinds(name: str, day: Day, baseline: Day) -> Iterator[Row]:
    """Return each kind's saving, loss and wrong hits."""
    for kind in KINDS:
        before, now = baseline.spent[kind], day.spent[kind]
        ids = [id_ for id_ in baseline.right if baseline.facts[id_].kind == kind]
        loss = sum(baseline.right[id_] - day.right[id_] for id_ in ids)
        left = f"{100 * now / day.dollars:.1f} % of what is left" if day.dollars else ""
        yield Row(
            name=f"{name}, {kind}: saved",
            value=100 * (1 - now / before) if before else None,
            unit="% of its bill",
            note=f"{100 * before / baseline.dollars:.1f} % of the bill, {left}",
        )
        yield Row(
            name=f"{name}, {kind}: loss", value=100 * loss / len(baseline.right), unit="points"
        )
        yield Row(
            name=f"{name}, {kind}: wrong hits",
            value=day.wrong[kind],
            note=f"of {day.hits[kind]} hits, {len(ids)} requests",
        )
    if day.spent["other"]:
        yield Row(name=f"{name}, calls of no request", value=day.spent["other"], unit="$")


def machine(name: str, day: Day, baseline: Day) -> Iterator[Row]:
    """Return the setup's time and memory, and our ledger's cost against the provider's bill."""
    result, size = day.result, len(baseline.right)
    yield Row(name=f"{name}: CPU a request", value=1_000 * result.cpu_s / size, unit="ms")
    yield Row(name=f"{name}: requests_per_s", value=size / result.wall_s)
    yield Row(name=f"{name}: peak_mb", value=result.peak_mb, unit="MB")
    if result.accounted and result.ledger_baseline:
        yield Row(
            name=f"{name}: our ledger's cost over the provider's bill",
            value=result.ledger_cost / day.dollars if day.dollars else None,
            unit="×",
            note=f"${result.ledger_cost:.6f}, ${result.ledger_cost - day.dollars:+.6f}; "
            f"its saved_pct {100 * (1 - result.ledger_cost / result.ledger_baseline):.2f}",
        )
