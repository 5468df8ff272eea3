"""Every error this package raises on purpose.

    LLMOptimizersError
    ├── ConfigurationError     a constructor or a command was given something it cannot use
    ├── UnpricedError          no price is known for a model, so no cost can be stated
    ├── StoreError             a store could not be opened, read or written
    ├── NoModelFitsError       no model can take a request; lists each candidate and its reason
    └── RefusedError           a wall that fails closed said no before money was spent

Errors that cost the user nothing (a broken cache, a broken ledger) are logged, never raised.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "LLMOptimizersError",
    "NoModelFitsError",
    "RefusedError",
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


class NoModelFitsError(LLMOptimizersError):
    """No candidate can take the request; the message lists each with its reason."""


class RefusedError(LLMOptimizersError):
    """The request was refused before it cost anything."""
