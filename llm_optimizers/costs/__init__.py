"""Cost accounting: the tokens that calls used, what they cost, and what each strategy saved.

usage/          Usage: token counts and pieces, the same for every provider
prices/         what a call costs on its date
attribution.py  attributed: whose money a call was; aliases.py: what the field calls it
runs.py         RunTree: the run, agent and step of each call; run_costs.py: what a run cost
context.py      CallContext: what a strategy knows about a call while it is made
call.py         Call: what an adapter saw of a call, and the record made from it
answers.py      Reported, CallShare: what is known of the call behind an answer;
                removed.py: the tokens that prompt optimisers removed from it
reports.py      Report: what a provider reports with an answer, whatever its format
sound.py        whether a prompt has sound, which LangChain's counts of Gemini do not say
failed.py       Failure: how far a failed call came, and so what of it is billed
open_calls.py   OpenCalls: what has begun, recorded also if it is given up
pricing.py      price_call: a call's cost, its baseline, and the savings between the two;
                provider_cached.py: the baseline if the provider's own cache had helped it
records.py      CallRecord, Saving, LedgerNote: what the ledger stores
ledger/         Ledger: an append-only store of calls and notes
amounts.py      what counts as an amount of dollars
summary.py      Summary: totals and shares; tally.py adds them up, parts.py: by model or tag

Start with `Ledger`: give one to each strategy and ask it for its `summary()`.
"""

from __future__ import annotations

from llm_optimizers.costs.attribution import attributed, current_attribution
from llm_optimizers.costs.ledger import Ledger
from llm_optimizers.costs.prices.book import PriceBook
from llm_optimizers.costs.prices.rates import ModelPrice, PriceQuote, Rates
from llm_optimizers.costs.prices.tiers import ServiceTier
from llm_optimizers.costs.pricing import price_call
from llm_optimizers.costs.records import CallRecord, LedgerNote, Saving
from llm_optimizers.costs.summary import Summary
from llm_optimizers.costs.tally import summarise
from llm_optimizers.costs.usage import Usage
from llm_optimizers.holdout import HoldoutGroup
from llm_optimizers.lazy import lazy_names

__all__ = [
    "CallRecord",
    "HoldoutGroup",
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
    "attributed",
    "current_attribution",
    "price_call",
    "summarise",
]

__getattr__, __dir__ = lazy_names(
    __name__, {}, renamed={"Note": "LedgerNote", "Quote": "PriceQuote"}
)
