"""What a process does with a ledger in tests of how it ends; imported in spawned children too."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from llm_optimizers.costs import CallRecord, Ledger, Usage

__all__ = ["make_record", "record_and_return", "record_and_stop"]

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
_kept: list[Ledger] = []
"""Ledgers that nobody closes, as in most apps."""


def make_record(call: object, **changes: Any) -> CallRecord:
    """Return a record with this id."""
    usual: dict[str, Any] = {
        "id": str(call),
        "time": AT,
        "model": "gpt-4o",
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost": Decimal("0.000075"),
        "baseline_model": "gpt-4o",
        "baseline_cost": Decimal("0.000075"),
    }
    return CallRecord(**(usual | changes))


def record_and_return(path: str, name: str) -> int:
    """Record 20 calls and end without closing the ledger."""
    ledger = Ledger(path)
    _kept.append(ledger)
    for number in range(20):
        ledger.record(make_record(f"{name}-{number}"))
    return 20


def record_and_stop(path: str, name: str) -> None:
    """Record 20 calls and be ended by SIGTERM."""
    record_and_return(path, name)
    os.kill(os.getpid(), signal.SIGTERM)
