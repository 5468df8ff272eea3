"""Answers in the shapes of providers, and what each is billed, worked out by hand.

row.py        Row: an answer, its models in both frameworks, the dollars by hand
answers.py    the bodies of answers, by provider
openais.py    OpenAI's chat and Responses, Azure
anthropics.py, googles.py, bedrocks.py
others.py     servers in OpenAI's format, gateways, local servers; answers that are wrong
running.py    what our account says of a row, and LangChain's own handlers; the table

The rates in the rows are dollars per million tokens, or per call, from the page named in the row.
They were copied by hand in November 2026; the price list of the package is not asked for them.
"""

from __future__ import annotations

from support.provider_bills.anthropics import ANTHROPICS
from support.provider_bills.bedrocks import BEDROCKS
from support.provider_bills.googles import GOOGLES
from support.provider_bills.openais import OPENAIS
from support.provider_bills.others import OTHERS
from support.provider_bills.row import Row

__all__ = ["ROWS"]

ROWS: tuple[Row, ...] = (*OPENAIS, *ANTHROPICS, *GOOGLES, *BEDROCKS, *OTHERS)
