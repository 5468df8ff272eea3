"""Every error this package raises on purpose.

    LLMOptimizersError
    ├── ConfigurationError     a constructor or a command was given a value it cannot use
    ├── UnpricedError          no price is known for a model, so no cost can be stated
    ├── StoreError             a store could not be opened, read or written
    │   ├── BusyError          another process keeps a file locked; the same call may work later
    │   ├── SchemaError        a file belongs to another program or another version
    │   └── PoisonedEntryError a stored entry is damaged or was tampered with
    ├── NoModelFitsError       no model can take a request; lists each candidate and its reason
    ├── InterruptedStreamError a stream broke after its first chunk; `partial` is the text so far
    ├── ItemError              one item of a batch or a queue failed; the others did not
    └── RefusedError           a limit (a budget, say) refused the request before it cost anything
        └── DeadlineError      the caller's timeout passed before the request cost anything

An error that need not fail the user's call (a broken cache or ledger) is logged, not raised.
"""

from __future__ import annotations

import copyreg
from typing import Any

from llm_optimizers.shown import shown_lines

__all__ = [
    "BusyError",
    "ConfigurationError",
    "DeadlineError",
    "InterruptedStreamError",
    "ItemError",
    "LLMOptimizersError",
    "NoModelFitsError",
    "PoisonedEntryError",
    "RefusedError",
    "SchemaError",
    "StoreError",
    "UnpricedError",
]


class LLMOptimizersError(Exception):
    """The base class of every error in this package.

    Its text is safe to show and to keep: it names what users and providers sent, so control
    characters are escaped and secrets removed.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(shown_lines(arg) if isinstance(arg, str) else arg for arg in args))

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would create it again from `args` alone, and fail where an argument has a name: a
        # worker's error that cannot be unpickled makes `Pool.map` wait forever.
        newobj: Any = copyreg.__newobj__  # type: ignore[attr-defined]
        # With `args`, because `TimeoutError` sets them only when it is initialised.
        return newobj, (type(self), *self.args), {**vars(self), "args": self.args}


class ConfigurationError(LLMOptimizersError, ValueError):
    """A setting cannot be used; the message names it and says what to give instead."""


class UnpricedError(LLMOptimizersError, LookupError):
    """No price is known for a model; the message says how to give one.

    `reason` is a short text that is the same for all calls without a price for that reason.
    """

    def __init__(self, message: str = "", *, reason: str = "no price") -> None:
        super().__init__(message)
        self.reason = reason


class StoreError(LLMOptimizersError):
    """A store failed; a caller that must not lose an answer catches this and goes on."""


class BusyError(StoreError):
    """Another process keeps a store's file locked; the same call may work later."""


class SchemaError(StoreError):
    """A file's tables are not those of this version; it was not changed. Give another path."""


class PoisonedEntryError(StoreError):
    """A stored value is damaged or was tampered with; `key` names the entry to drop."""

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


class NoModelFitsError(LLMOptimizersError):
    """No candidate model can take the request; the message gives the reason for each."""


class RefusedError(LLMOptimizersError):
    """A limit refused the request before it cost anything."""


class InterruptedStreamError(LLMOptimizersError):
    """A stream broke after the user had seen part of it; `partial` is the text received so far."""

    def __init__(self, message: str, *, partial: str) -> None:
        super().__init__(message)
        self.partial = partial


class ItemError(LLMOptimizersError):
    """One item failed for good; `kind` is the class name of the provider's or handler's error."""

    def __init__(self, message: str, *, kind: str = "ItemError") -> None:
        super().__init__(message)
        self.kind = kind


class DeadlineError(RefusedError, TimeoutError):
    """The caller's timeout passed before its request was sent, so nothing was paid."""
