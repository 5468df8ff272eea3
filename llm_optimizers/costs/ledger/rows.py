"""The values of a ledger's rows, made from entries and read back; see `store.py` for the stores.

Dollars are exact decimal text and times are in microseconds. Each token count has a column of its
own, so that a ledger can be queried with plain SQL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from operator import attrgetter
from typing import Any, cast, get_args

from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.ledger.fields import (
    RowFields,
    micros,
    seconds,
    tags,
    text,
    text_or_none,
)
from llm_optimizers.costs.prices.rates import ServiceTier
from llm_optimizers.costs.records import CallKind, CallRecord, LedgerNote, PricedBy, Status
from llm_optimizers.costs.usage import Usage
from llm_optimizers.secrets import redacted, without_secrets

__all__ = [
    "COUNTS",
    "as_stored",
    "call_values",
    "note_values",
    "read_call",
    "read_note",
    "replaces",
]

COUNTS = tuple(Usage().as_dict())
"""The columns of the token counts."""

_counts = attrgetter(*COUNTS)


def call_values(record: CallRecord) -> dict[str, Any]:
    """Return a value for each column; what cannot be stored is repaired, so no record is lost.

    Tags lose secrets, and text that has no bytes (half a surrogate pair) is escaped. The tags are
    a dict of texts; all others are numbers or text.
    """
    savings = [[s.strategy, _amount(s.amount), s.basis] for s in record.savings]
    baseline = record.baseline_usage
    return {
        "id": text(record.id),
        "time": micros(record.time),
        "model": text(record.model),
        "provider": text_or_none(record.provider),
        "tier": text(record.tier),
        **dict(zip(COUNTS, _counts(record.usage), strict=True)),
        "cost": _amount(record.cost),
        "baseline_model": text(record.baseline_model),
        "baseline_cost": _amount(record.baseline_cost),
        "baseline_usage": None if baseline is None else _json(_counted(baseline)),
        "hit_strategy": text_or_none(record.hit_strategy),
        "savings": _json(savings) if savings else "[]",
        "tags": tags(record.tags) if record.tags else {},
        "latency_s": seconds(record.latency_s),
        "status": text(record.status),
        "estimated": int(bool(record.estimated)),
        "error": None if record.error is None else redacted(text(record.error)),
        "priced_by": record.priced_by,
        "unpriced": None if record.unpriced is None else redacted(text(record.unpriced)),
        "suspicious": int(bool(record.suspicious)),
        "held_out": None if record.held_out is None else int(record.held_out),
        "bucket": record.bucket,
        "baseline_low": _amount(record.baseline_low),
        "at_least": _amount(record.at_least),
        "kind": text(record.kind),
    }


def as_stored(record: CallRecord, values: Mapping[str, Any]) -> CallRecord:
    """Return the record as its values are read back, as far as totals depend on it."""
    kept = {name: values[name] for name in ("model", "tags", "unpriced")}
    if all(getattr(record, name) == value for name, value in kept.items()):
        return record
    return replace(record, **kept)


def replaces(new: CallRecord, old: CallRecord) -> bool:
    """Return whether a record replaces one with the same id, which is otherwise kept.

    The framework's record of a cache hit (with a latency) holds more than the cache's own (without)
    and replaces it.
    """
    hits = new.hit_strategy is not None and old.hit_strategy is not None
    return hits and new.latency_s is not None and old.latency_s is None


def read_call(row: Mapping[str, Any]) -> tuple[CallRecord | None, bool]:
    """Return the record of a row with the columns of `call_values`, and whether it is damaged.

    A damaged row counts as far as it can be read: a cost that is none is unknown, a count that is
    none is 0. Without a time there is no record.
    """
    fields = RowFields(row)
    time = fields.time()
    if time is None:
        return None, True
    record = CallRecord(
        id=fields.text("id"),
        time=time,
        model=fields.text("model"),
        provider=fields.optional_text("provider"),
        tier=cast("ServiceTier", fields.one_of("tier", get_args(ServiceTier), "standard")),
        usage=fields.usage(COUNTS),
        cost=fields.amount("cost"),
        baseline_model=fields.text("baseline_model"),
        baseline_cost=fields.amount("baseline_cost"),
        baseline_usage=fields.baseline_usage(),
        hit_strategy=fields.optional_text("hit_strategy"),
        savings=fields.savings(),
        tags=fields.tags(),
        latency_s=fields.seconds(),
        status=cast("Status", fields.one_of("status", get_args(Status), "ok")),
        estimated=bool(row["estimated"]),
        error=fields.optional_text("error"),
        priced_by=cast("PricedBy | None", fields.one_of_or_none("priced_by", get_args(PricedBy))),
        unpriced=fields.optional_text("unpriced"),
        suspicious=bool(row["suspicious"]),
        held_out=None if row["held_out"] is None else bool(row["held_out"]),
        bucket=fields.number_or_none("bucket"),
        baseline_low=fields.amount("baseline_low"),
        at_least=fields.amount("at_least"),
        kind=cast("CallKind", fields.one_of("kind", get_args(CallKind), "answer")),
    )
    return record, fields.damaged


def note_values(note: LedgerNote) -> dict[str, Any]:
    """Return a value for each column of a note."""
    return {
        "id": text(note.id),
        "time": micros(note.time),
        "kind": text(note.kind),
        "payload": _json(without_secrets(dict(note.payload))),
    }


def read_note(row: Mapping[str, Any]) -> tuple[LedgerNote | None, bool]:
    """Return the note of a row with the columns of `note_values`; None and True if damaged."""
    fields = RowFields(row)
    time, payload = fields.time(), fields.mapping("payload")
    name, kind = fields.text("id"), fields.text("kind")
    if fields.damaged or time is None:
        return None, True
    return LedgerNote(id=name, time=time, kind=kind, payload=payload), False


def _counted(usage: Usage) -> dict[str, int]:
    return {name: count for name, count in usage.as_dict().items() if count}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else str(EXACT.plus(amount))
