"""Copy the entries of one ledger into another; what is there already is not copied twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm_optimizers.costs.ledger.fields import micros
from llm_optimizers.costs.ledger.pages import pages_of_calls, pages_of_notes
from llm_optimizers.costs.ledger.rollups import hour_of
from llm_optimizers.costs.ledger.store import Entry, LedgerStore
from llm_optimizers.costs.records import LedgerNote

__all__ = ["Merged", "merge"]

_WAIT_S = 30.0  # for a live writer of the target


@dataclass(slots=True, kw_only=True)
class Merged:
    """How many entries were copied, or would be.

    `repeated` ones were there already. `unreadable` rows are damaged: those whose time can be read
    were copied as far as they can be read. `left_out` calls belong to hours that the target has
    pruned, whose sums may hold them. `pruned_hours` of the source have no calls to copy.
    """

    calls: int = 0
    notes: int = 0
    repeated: int = 0
    unreadable: int = 0
    left_out: int = 0
    pruned_hours: int = 0


def merge(
    source: LedgerStore,
    target: LedgerStore | None,
    *,
    dry_run: bool = False,
    seen: set[tuple[bool, str]] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Merged:
    """Copy all entries of `source` that `target` does not have; repeat it after an interruption.

    Args:
        source: it is not changed.
        target: None for one that does not exist yet, in a dry run.
        dry_run: count only.
        seen: the ids of earlier sources of a dry run, to which those of this one are added.
        progress: called with the number of entries read so far.

    Raises:
        StoreError: one of them cannot be used; what was copied until then stays.
    """
    made = Merged(pruned_hours=len(source.pruned()))
    pruned = frozenset() if target is None else target.pruned()
    read = 0
    for calls in pages_of_calls(source):
        found = [each.value for each in calls if each.value is not None]
        kept = [each for each in found if hour_of(micros(each.time)) not in pruned]
        made.unreadable += sum(each.damaged for each in calls)
        made.left_out += len(found) - len(kept)
        made.calls += _copied(kept, target, made, seen, dry_run=dry_run)
        progress(read := read + len(calls))
    for notes in pages_of_notes(source):
        made.unreadable += sum(each.damaged for each in notes)
        whole = [each.value for each in notes if each.value is not None]
        made.notes += _copied(whole, target, made, seen, dry_run=dry_run)
        progress(read := read + len(notes))
    return made


def _copied(
    entries: Sequence[Entry],
    target: LedgerStore | None,
    made: Merged,
    seen: set[tuple[bool, str]] | None,
    *,
    dry_run: bool,
) -> int:
    """Write a page, and return how many of it were new."""
    known = 0 if target is None else target.known(entries)
    if not dry_run and target is not None:
        target.write(entries, wait=_WAIT_S)
    if seen is not None:
        ids = {(isinstance(each, LedgerNote), each.id) for each in entries}
        known = max(known, len(ids & seen))
        seen |= ids
    made.repeated += known
    return len(entries) - known
