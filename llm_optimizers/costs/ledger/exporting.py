"""A ledger's calls as rows of plain values, for spreadsheets and other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from llm_optimizers.costs.ledger.pages import pages_of_calls
from llm_optimizers.costs.ledger.rollups import ALWAYS
from llm_optimizers.costs.ledger.store import LedgerStore
from llm_optimizers.costs.records import CallRecord
from llm_optimizers.costs.usage import Usage
from llm_optimizers.shown import without_controls

__all__ = ["COLUMNS", "as_cells", "as_fields", "exported"]

COLUMNS = (
    *("id", "time", "kind", "model", "provider", "tier", "status", "error", "latency_s"),
    *Usage().as_dict(),
    *(
        "cost",
        "baseline_cost",
        "baseline_low",
        "saved",
        "at_least",
        "priced_by",
        "unpriced",
        "baseline_model",
    ),
    *("baseline_usage", "hit_strategy", "savings", "estimated", "suspicious", "held_out", "bucket"),
    "tags",
)
# A cell that starts with one of these is a formula, in Excel also the wide ones
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def exported(
    store: LedgerStore,
    *,
    since: int = -ALWAYS,
    until: int = ALWAYS,
    tags: Mapping[str, str],
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[CallRecord, bool]]:
    """Iterate over the calls of a period that have all `tags`, each with whether it is damaged.

    `progress` is called with the number of calls read so far.

    Raises:
        StoreError: the ledger cannot be read.
    """
    read = 0
    for page in pages_of_calls(store, since=since, until=until):
        for each in page:
            record = each.value
            if record is not None and tags.items() <= record.tags.items():
                yield record, each.damaged
        progress(read := read + len(page))


def as_fields(record: CallRecord) -> dict[str, Any]:
    """Return a call as a JSON object; amounts are texts, so that no digit is lost."""
    baseline = record.baseline_usage
    special = {
        "time": record.time.isoformat(),
        "saved": _amount(record.saved),
        "cost": _amount(record.cost),
        "baseline_cost": _amount(record.baseline_cost),
        "baseline_low": _amount(record.baseline_low),
        "at_least": _amount(record.at_least),
        "baseline_usage": None if baseline is None else baseline.as_dict(),
        "savings": [
            {"strategy": each.strategy, "amount": _amount(each.amount), "basis": each.basis}
            for each in record.savings
        ],
        "tags": dict(record.tags),
        **record.usage.as_dict(),
    }
    return {name: special[name] if name in special else getattr(record, name) for name in COLUMNS}


def as_cells(record: CallRecord) -> list[str]:
    """Return a call as the cells of a table: no text of it is a formula or controls a terminal."""
    return [*_cells(as_fields(record).items())]


def _cells(fields: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for name, value in fields:
        if value is None:
            yield ""
        elif isinstance(value, bool):
            yield str(value).lower()
        elif isinstance(value, str):
            yield value if name in _AMOUNTS else _safe(value)
        elif isinstance(value, dict | list):
            yield json.dumps(value) if value else ""
        else:
            yield str(value)


_AMOUNTS = frozenset({"cost", "baseline_cost", "baseline_low", "at_least", "saved"})


def _safe(text: str) -> str:
    """Return a text that spreadsheets show as it is: a formula gets an apostrophe before it."""
    text = without_controls(text, keep="")
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
