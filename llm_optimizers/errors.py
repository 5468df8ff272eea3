"""Every error this package raises on purpose.

    LLMOptimizersError
    ├── ConfigurationError     a constructor or a command was given something it cannot use
    ├── UnpricedError          no price is known for a model, so no cost can be stated
    ├── StoreError             a store could not be opened, read or written
    │   ├── BusyError          another process keeps a file locked; the same call may work later
    │   ├── SchemaError        a file belongs to something else, or to another version
    │   └── PoisonedEntryError what a store held cannot be what was put there
    ├── NoModelFitsError       no model can take a request; lists each candidate and its reason
    ├── InterruptedStreamError a stream broke after its first chunk; `partial` is what had come
    ├── ItemError              one item of a batch or a queue failed; the others did not
    └── RefusedError           a wall that fails closed said no before money was spent
        └── DeadlineError      the time a caller gave ran out before money was spent

Errors that cost the user nothing (a broken cache, a broken ledger) are logged, never raised.
"""

from __future__ import annotations

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
    """The root of the tree above; catch it to catch them all."""


class ConfigurationError(LLMOptimizersError, ValueError):
    """A setting cannot be used; the message says which and what would do."""


class UnpricedError(LLMOptimizersError, LookupError):
    """No price is known for a model; the message says how to give one."""


class StoreError(LLMOptimizersError):
    """A store failed; callers that must not lose an answer catch this and go on."""


class BusyError(StoreError):
    """Another process keeps a store's file locked; the same call may work later."""


class SchemaError(StoreError):
    """A file holds other tables than this version's; it is left as it is. Give another path."""


class PoisonedEntryError(StoreError):
    """A stored value is damaged or was tampered with; `key` names the entry to drop."""

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


class NoModelFitsError(LLMOptimizersError):
    """No candidate can take the request; the message lists each with its reason."""


class RefusedError(LLMOptimizersError):
    """The request was refused before it cost anything."""


class InterruptedStreamError(LLMOptimizersError):
    """A stream broke too late to be retried unseen; `partial` is the text that had come by then."""

    def __init__(self, message: str, *, partial: str) -> None:
        super().__init__(message)
        self.partial = partial


class ItemError(LLMOptimizersError):
    """One item failed for good; `kind` is the class name of what the provider or handler raised."""

    def __init__(self, message: str, *, kind: str = "ItemError") -> None:
        super().__init__(message)
        self.kind = kind


class DeadlineError(RefusedError, TimeoutError):
    """The time a caller gave ran out before its request was sent, so nothing was paid."""
