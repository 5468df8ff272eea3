"""The price list's entries by name, remembered; and what the user says of an entry, by any name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from llm_optimizers.costs.prices import catalog
from llm_optimizers.costs.prices.names import ModelName, canonical_provider, parse_model
from llm_optimizers.errors import UnpricedError

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

__all__ = ["CACHE_SIZE", "Listings", "remember"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

CACHE_SIZE = 4_096


class Listings:
    """Finds entries in one snapshot of the price list; single dict operations need no lock."""

    def __init__(self, snapshot: DataSnapshot) -> None:
        self.snapshot = snapshot
        # An error instead of a listing, for names that have no list price.
        self._found: dict[ModelName, catalog.Listing | UnpricedError] = {}

    def find(self, wanted: ModelName) -> catalog.Listing:
        """Return the entry that a name means.

        Raises:
            UnpricedError: no provider, or more than one, lists it.
        """
        found = self._found.get(wanted)
        if found is None:
            try:
                found = catalog.find_listing(self.snapshot, wanted)
            except UnpricedError as error:
                found = UnpricedError(str(error), reason=error.reason)
            remember(self._found, wanted, found)
        if isinstance(found, UnpricedError):
            raise UnpricedError(str(found), reason=found.reason)
        return found

    def of_name(
        self, entries: Mapping[str, T], model: str, provider: str | None, wanted: ModelName
    ) -> T | None:
        """Return what the user gave for a name, or for another name of the same list entry.

        What is given for `gpt-4o` is meant for the snapshots that the list has under `gpt-4o` too.
        `wanted` is the parsed name.
        """
        if not entries:
            return None
        providers = {p for p in (wanted.provider, provider and canonical_provider(provider)) if p}
        providers |= {provider.strip().lower()} if provider else set()
        names = [f"{each}{mark}{wanted.name}" for each in sorted(providers) for mark in "/:"]
        for name in (*names, model.strip().lower(), wanted.name):
            if name in entries:
                return entries[name]
        try:
            listing = self.find(wanted)
        except UnpricedError:
            return None
        named = (value for own, value in entries.items() if self._is_of(listing, own))
        return next(named, None)

    def _is_of(self, listing: catalog.Listing, own: str) -> bool:
        """Whether a name of the user's is listed in that entry, at that provider if it says one."""
        named = parse_model(own)
        if named.provider not in (None, listing.provider.id):
            return False
        try:
            return self.find(named).model is listing.model
        except UnpricedError:
            return False


def remember(cache: dict[K, V], key: K, value: V) -> None:
    """Keep a value in a cache of limited size."""
    if len(cache) >= CACHE_SIZE:
        cache.clear()
    cache[key] = value
