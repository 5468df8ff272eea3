"""A store's entries, read in pages so that writers do not wait for a slow reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from llm_optimizers.costs.ledger.rollups import ALWAYS
from llm_optimizers.costs.ledger.store import LedgerStore, Stored
from llm_optimizers.costs.records import CallRecord, LedgerNote

__all__ = ["PAGE", "pages", "pages_of_calls", "pages_of_notes"]

T = TypeVar("T")
PAGE = 1_000
"""Entries of a page."""


def pages_of_calls(
    store: LedgerStore, *, since: int = -ALWAYS, until: int = ALWAYS
) -> Iterator[Sequence[Stored[CallRecord]]]:
    """Iterate over the calls with `since` <= time < `until` (microseconds), in the order written.

    Raises:
        StoreError: the ledger cannot be read.
    """
    return pages(lambda seen: store.calls(seen, since=since, until=until, most=PAGE))


def pages_of_notes(store: LedgerStore) -> Iterator[Sequence[Stored[LedgerNote]]]:
    """Iterate over the notes of every kind, in the order written.

    Raises:
        StoreError: the ledger cannot be read.
    """
    return pages(lambda seen: store.notes(seen, kind=None, since=-ALWAYS, most=PAGE))


def pages(page: Callable[[int], Sequence[Stored[T]]]) -> Iterator[Sequence[Stored[T]]]:
    """Iterate over pages; `page` returns the entries after a place, at most `PAGE`."""
    seen = 0
    while found := page(seen):
        yield found
        if len(found) < PAGE:
            return
        seen = found[-1].seq
