"""Which of the names that a call's model goes by has a price."""

from __future__ import annotations

from collections.abc import Sequence

from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.errors import UnpricedError

__all__ = ["priced_name"]


def priced_name(prices: PriceBook, names: Sequence[str], provider: str | None) -> str:
    """The first name that has a price: the provider's own for the model, else the one asked for.

    Without any price it is the first name there is, and "unknown" without a name.
    """
    known = [name for name in names if name]
    for name in known:
        try:
            prices.rates(name, provider=provider)
        except UnpricedError:
            continue
        return name
    return known[0] if known else "unknown"
