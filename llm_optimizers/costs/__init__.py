"""The one account: what calls consumed, what they cost, and what each strategy saved.

    usage.py      Usage: token counts, one way for every provider
    rates.py      ModelPrice, Rates: the arithmetic of a bill
    providers.py  which seller a model's name speaks of
    catalog.py    dated list prices from genai-prices, its traps closed
    matching.py   whether a name is a listed model, or merely like one
    naming.py     which of a model's names has a price
    prices.py     PriceBook: what a call costs at its own date
    records.py    CallRecord, Saving, Note: what the ledger holds
    savings.py    price_call: a record with its baseline and a waterfall that adds up
    rows.py       how records lie in SQLite
    ledger.py     Ledger: the append-only account
    summary.py    Summary: the figures every user asks for
    tally.py      summarise: a summary of records, with exact sums

Start with `Ledger`: give one to each strategy and ask it for its `summary()`.
"""

from __future__ import annotations

from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ModelPrice, Quote, Rates, ServiceTier
from llm_optimizers.costs.records import CallRecord, Note, Saving
from llm_optimizers.costs.savings import price_call
from llm_optimizers.costs.summary import Summary
from llm_optimizers.costs.tally import summarise
from llm_optimizers.costs.usage import Usage

__all__ = [
    "CallRecord",
    "Ledger",
    "ModelPrice",
    "Note",
    "PriceBook",
    "Quote",
    "Rates",
    "Saving",
    "ServiceTier",
    "Summary",
    "Usage",
    "price_call",
    "summarise",
]
