"""`llm-optimizers ledger`: delete old calls, put ledgers together, export and check them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from llm_optimizers.cli.ledger_export import export
from llm_optimizers.cli.ledger_places import (
    FORMATS,
    Place,
    is_url,
    ledger_to_change,
    ledger_to_read,
    progress_bar,
    same_place,
)
from llm_optimizers.cli.output import AsJSON, exit_on_error, print_json, say
from llm_optimizers.costs.ledger.fields import micros, moment, text
from llm_optimizers.costs.ledger.merging import Merged, merge
from llm_optimizers.costs.ledger.pages import pages_of_calls, pages_of_notes
from llm_optimizers.costs.ledger.rollups import HOUR
from llm_optimizers.costs.ledger.store import LedgerStore
from llm_optimizers.durations import in_seconds
from llm_optimizers.shown import shown

__all__ = ["ledger"]

ledger = typer.Typer(
    help="Delete old calls of a cost ledger, put ledgers together, export and check them.",
    no_args_is_help=True,
)
ledger.command()(export)

_HOURS_AT_ONCE = 24
_NOTES_AT_ONCE = 1_000
_SHOWN_HOURS = 5


@ledger.command()
def prune(
    place: Place,
    older_than: Annotated[
        str | None, typer.Option(help="Delete calls older than this, such as 90d, 12w or 36h.")
    ] = None,
    before: Annotated[
        datetime | None, typer.Option(formats=FORMATS, help="Delete calls before this time, UTC.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Delete old notes of this kind too, such as label; may be repeated."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete; without it, nothing is deleted.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Delete old calls; reports keep their sums. Without --yes, only say what would be deleted.

    Whole hours are deleted, one at a time, so an app may go on writing, and Ctrl-C stops at once:
    run it again for the rest. `report` shows the same totals, models and tags as before, as long as
    its period begins and ends at full hours. The single calls are gone, for `export`, for the sums
    of a run and for experiments. Notes (labels, samples) stay unless --kind names them.

    Example: `llm-optimizers ledger prune costs.sqlite --older-than 90d --yes`
    """
    end = _end(older_than, before)
    kinds = tuple(kind or ())
    with exit_on_error():
        if yes:
            with ledger_to_change(place) as store:
                calls, notes = _delete(store, end, kinds)
        else:
            with ledger_to_read(place) as store:
                calls, notes = _counts(store, end, kinds)
    if as_json:
        figures = {"before": moment(end).isoformat(), "calls": calls, "notes": notes}
        print_json({**figures, "deleted": yes})
        return
    found = f"{calls:,} calls and {notes:,} notes from before {moment(end):%Y-%m-%d %H:%M} UTC"
    if yes:
        say(f"deleted {found}; reports keep the sums of these calls")
    else:
        say(f"would delete {found}; nothing was changed: add --yes to delete them")


@ledger.command("merge")
def merge_ledgers(
    sources: Annotated[list[str], typer.Argument(help="Ledgers to copy from: files or URLs.")],
    into: Annotated[str, typer.Option(help="The ledger to copy into; a new file is made.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be copied.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Copy all calls and notes of some ledgers into one; the sources stay as they are.

    What the target has already is not copied again: after an interruption run it once more. The
    target may be in use. Sums of hours that a source has pruned cannot be copied, since nobody
    could tell whether the target holds them; the command says how many there are.

    Example: `llm-optimizers ledger merge monday.sqlite tuesday.sqlite --into week.sqlite`
    """
    if any(same_place(source, into) for source in sources):
        raise typer.BadParameter("a ledger cannot be merged into itself; give another --into")
    results = []
    with exit_on_error(), ExitStack() as stack:
        target = _target(stack, into, dry_run=dry_run)
        seen = set[tuple[bool, str]]() if dry_run and len(sources) > 1 else None
        for source in sources:
            with ledger_to_read(source) as store:
                counts = store.counts()
                total = counts.calls + sum(counts.notes.values())
                with progress_bar("merging", total) as progress:
                    made = merge(store, target, dry_run=dry_run, seen=seen, progress=progress)
                results.append((shown(source), made))
    if as_json:
        parts = [{"source": name, **asdict(made)} for name, made in results]
        print_json({"into": shown(into), "dry_run": dry_run, "sources": parts})
        return
    for name, made in results:
        say(_merged(name, made, dry_run=dry_run))


@ledger.command()
def check(
    place: Place,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make wrong sums again from the calls.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Check a ledger: its file, every row, and that the sums kept by hour equal the calls.

    Exits with 0 if everything is right (or was repaired), with 1 if not. Damaged rows cannot be
    repaired: reports count what can be read of them. Without --repair nothing is changed.

    Example: `llm-optimizers ledger check costs.sqlite --repair`
    """
    with exit_on_error(), ExitStack() as stack:
        opened = ledger_to_change(place) if repair else ledger_to_read(place)
        store = stack.enter_context(opened)
        problems = store.problems()
        calls, damaged = _rows(store)
        hours = list(store.check(repair=repair))
    right = not problems and not damaged and (repair or not hours)
    if as_json:
        print_json(
            {
                "right": right,
                "rows": calls,
                "damaged": damaged,
                "problems": problems,
                "wrong_hours": [_hour(hour) for hour in hours],
                "repaired": repair,
            }
        )
    else:
        for line in _findings(calls, damaged, problems, hours, repair=repair):
            say(line)
    raise typer.Exit(0 if right else 1)


def _end(older_than: str | None, before: datetime | None) -> int:
    """Return the time up to which calls are deleted: a full hour, and not the running one."""
    if (older_than is None) == (before is None):
        raise typer.BadParameter("give either --older-than 90d or --before 2026-01-31")
    now = datetime.now(UTC)
    if before is not None:
        end = before.replace(tzinfo=UTC)
    else:
        with exit_on_error(code=2):
            seconds = in_seconds(older_than, "older-than") or 0.0
        try:
            end = now - timedelta(seconds=seconds)
        except OverflowError:
            raise typer.BadParameter("--older-than reaches back before the year 1") from None
    return min(micros(end), micros(now)) // HOUR * HOUR


def _counts(store: LedgerStore, end: int, kinds: Sequence[str]) -> tuple[int, int]:
    found = store.counts(end)
    return found.calls, sum(found.notes.get(text(kind), 0) for kind in kinds)


def _delete(store: LedgerStore, end: int, kinds: Sequence[str]) -> tuple[int, int]:
    calls = notes = 0
    with progress_bar("deleting", sum(_counts(store, end, kinds))) as progress:
        while done := store.prune_notes(end, kinds=kinds, most=_NOTES_AT_ONCE) if kinds else 0:
            notes += done
            progress(notes)
        while done := store.prune(end, most=_HOURS_AT_ONCE):
            calls += done
            progress(calls + notes)
    return calls, notes


def _target(stack: ExitStack, into: str, *, dry_run: bool) -> LedgerStore | None:
    if not dry_run:
        return stack.enter_context(ledger_to_change(into, create=True))
    if not is_url(into) and not Path(into).exists():
        return None
    return stack.enter_context(ledger_to_read(into))


def _merged(name: str, made: Merged, *, dry_run: bool) -> str:
    copied = "would be copied" if dry_run else "copied"
    parts = [f"{name}: {made.calls:,} calls and {made.notes:,} notes {copied}"]
    if made.repeated:
        parts.append(f"{made.repeated:,} were there already")
    if made.unreadable:
        parts.append(f"{made.unreadable:,} damaged rows were copied as far as they can be read")
    if made.left_out:
        parts.append(
            f"{made.left_out:,} calls left out: the target has pruned their hours and keeps sums "
            "that may hold them"
        )
    if made.pruned_hours:
        parts.append(f"the sums of {made.pruned_hours:,} pruned hours stay in the source only")
    return "; ".join(parts)


def _rows(store: LedgerStore) -> tuple[int, int]:
    """Read every row that is there now; return how many they are and how many are damaged."""
    rows = damaged = 0
    counts = store.counts()
    calls, notes = counts.calls, sum(counts.notes.values())
    with progress_bar("reading", calls + notes) as progress:
        for pages, end in ((pages_of_calls(store), calls), (pages_of_notes(store), calls + notes)):
            for page in pages:
                rows += len(page)
                damaged += sum(each.damaged for each in page)
                progress(rows)
                if rows >= end:  # an app may write faster than this reads
                    break
    return rows, damaged


def _findings(
    rows: int, damaged: int, problems: Sequence[str], hours: Sequence[int], *, repair: bool
) -> list[str]:
    lines = [f"the database reports: {problem}" for problem in problems]
    lines.append(f"{rows:,} rows, {damaged:,} of them damaged")
    if hours:
        some = ", ".join(_hour(hour) for hour in hours[:_SHOWN_HOURS])
        more = f" and {len(hours) - _SHOWN_HOURS:,} more" if len(hours) > _SHOWN_HOURS else ""
        end = "made again" if repair else "use --repair to make them again"
        lines.append(f"the sums of {len(hours):,} hours are wrong ({some}{more}); {end}")
    else:
        lines.append("the sums by hour are right")
    return lines


def _hour(hour: int) -> str:
    return f"{moment(hour * HOUR):%Y-%m-%dT%H:00Z}"
