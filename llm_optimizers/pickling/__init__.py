"""What of an object travels to another process, and what a copy shares with the original.

Settings travel. Connections, locks, threads, counters and what is kept in memory do not: the copy
makes its own. What can neither travel nor be made again raises an error that names it, since a copy
that silently lacks it would work differently.

`copy.copy` and `copy.deepcopy` of a shared component (a cache, a ledger, a router) return the
component itself, as they do for a function: in one process it is meant to be shared.

arguments.py     components that are pickled as the arguments they were created with
models.py        pydantic objects that are pickled with all their fields, or not at all
checks.py        whether a field or a function can be pickled, and its name if not
"""

from __future__ import annotations

from llm_optimizers.pickling.arguments import NotPickled, PickledAsArguments
from llm_optimizers.pickling.checks import check_fields, check_function

__all__ = ["NotPickled", "PickledAsArguments", "check_fields", "check_function"]
