"""The ledger: an append-only store of calls and notes.

ledger.py    Ledger: records, reads and sums up
writer.py    the thread that writes what was recorded
store.py     LedgerStore: what entries are kept in
sqlite.py    an SQLite file or memory; rows.py: its tables; fields.py: a row's fields, repaired or
             found damaged
"""

from llm_optimizers.costs.ledger.ledger import Ledger, checked_ledger

__all__ = ["Ledger", "checked_ledger"]
