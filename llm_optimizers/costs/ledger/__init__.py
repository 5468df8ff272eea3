"""The ledger: an append-only store of calls and notes.

ledger.py    Ledger: records, reads and sums up
buffer.py    what waits to be written, bounded
writer.py    the thread that writes it; losses.py: what it could not write, counted and said
endings.py   what waits is written before a fork, a signal that ends the process, and its exit
opening.py   which store a ledger has
unpriced.py  models without a price, announced once
store.py     LedgerStore: what entries are kept in
rows.py      the values of rows; fields.py: a row's fields, repaired or found damaged
rollups.py   hours and periods: what is added up by hour
sqlite.py    an SQLite file or memory; tables.py: its tables; words.py: its small cells;
             hours.py: its totals by hour; upkeep.py: counts, known ids, old notes
postgres/    a PostgreSQL database, for several machines
retention.py old calls deleted while an app runs
pages.py     all entries of a store, in pages
merging.py   one ledger copied into another; exporting.py: calls as rows of a table
"""

from llm_optimizers.costs.ledger.ledger import Ledger, checked_ledger

__all__ = ["Ledger", "checked_ledger"]
