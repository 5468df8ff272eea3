"""A ledger in a PostgreSQL database, to which several machines write.

store.py     PostgresLedgerStore: reads and writes
tables.py    its tables, in a schema of their own
hours.py     totals by hour
server.py    connections: limits of time, restarts, forks, errors

SQLAlchemy is imported in this folder only.
"""

from __future__ import annotations

try:
    import psycopg  # noqa: F401 - asked for here, so that the message names the extra
    import sqlalchemy  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "a ledger on PostgreSQL needs an extra: pip install 'llm-optimizers[postgres]'"
    ) from error

from llm_optimizers.costs.ledger.postgres.store import PostgresLedgerStore

__all__ = ["PostgresLedgerStore"]
