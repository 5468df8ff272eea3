"""What a call used, with the same meaning for every provider: tokens, and what costs a fee.

counts.py    Usage: the counts of a call
shapes.py    the table of providers' names for them
reading.py   one reading of all shapes, in which counts that cannot be right are found
places.py    where counts stand in an object: paths, lists by kind
pieces.py    what is billed by the piece: searches, containers, pictures
billed.py    the cost that a provider states

`costs/reports.py` reads whole answers with them.
"""

from __future__ import annotations

from llm_optimizers.costs.usage.counts import Usage

__all__ = ["Usage"]
