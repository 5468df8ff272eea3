"""The one account: what calls consumed, what they cost, and what each strategy saved.

usage.py      Usage: token counts, one way for every provider
prices/       what a call costs at its own date, and what a model's name says
context.py    what is known of a call while it is made: its role, what it stands for
call.py       Call: what was seen of a call, and the record it becomes
savings.py    a record's baseline, and a waterfall that adds up
records.py    CallRecord, Saving, Note: what the ledger holds; rows.py: how it lies in SQLite
ledger.py     Ledger: the append-only account
summary.py    Summary: the figures every user asks for; tally.py adds them up

Start with `Ledger`: give one to each strategy and ask it for its `summary()`.
"""

from __future__ import annotations

from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ModelPrice, PriceQuote, Rates, ServiceTier
from llm_optimizers.costs.pricing import price_call
from llm_optimizers.costs.records import CallRecord, LedgerNote, Saving
from llm_optimizers.costs.summary import Summary
from llm_optimizers.costs.tally import summarise
from llm_optimizers.costs.usage import Usage
from llm_optimizers.lazy import lazy_names

__all__ = [
    "CallRecord",
    "Ledger",
    "LedgerNote",
    "ModelPrice",
    "PriceBook",
    "PriceQuote",
    "Rates",
    "Saving",
    "ServiceTier",
    "Summary",
    "Usage",
    "price_call",
    "summarise",
]

__getattr__, __dir__ = lazy_names(
    __name__, {}, renamed={"Note": "LedgerNote", "Quote": "PriceQuote"}
)
