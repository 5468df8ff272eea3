"""Which store a ledger has: the one place that knows all kinds."""

from __future__ import annotations

import os

from llm_optimizers.arguments import string
from llm_optimizers.costs.ledger.sqlite import SQLiteLedgerStore
from llm_optimizers.costs.ledger.store import LedgerStore
from llm_optimizers.errors import ConfigurationError

__all__ = ["store_at"]

_SERVERS = ("postgresql", "postgres")


def store_at(
    path: str | os.PathLike[str] | None, url: str | None, *, wait: float, create: bool = True
) -> LedgerStore:
    """Return the store in a file, on a server or in memory; it is not opened yet.

    Without `create` a server that holds no ledger gets none. URLs are not shown in messages, since
    they may hold a password.

    Raises:
        ConfigurationError: `path` can be no file's, `url` no server's, or both are given.
        ImportError: the server needs the extra `postgres`.
    """
    if url is None:
        if _scheme(path) in _SERVERS:
            raise ConfigurationError(f"`path` is a URL ({_scheme(path)}:); give it as `url`")
        return SQLiteLedgerStore(path, wait=wait)
    if path is not None:
        raise ConfigurationError("`path` and `url` are both given; give one of them")
    scheme = _scheme(string("url", url))
    if scheme not in _SERVERS:
        found = f"a URL that starts with {scheme}:" if scheme else "no URL of a server"
        raise ConfigurationError(
            f"`url` is {found}; give that of a Postgres, which starts with postgresql://"
        )
    from llm_optimizers.costs.ledger.postgres import PostgresLedgerStore

    return PostgresLedgerStore(url, wait=wait, create=create)


def _scheme(url: object) -> str:
    """Return how a URL starts, without the name of a driver; "" if this is none."""
    before, colon, _ = url.partition("://") if isinstance(url, str) else ("", "", "")
    return before.strip().lower().partition("+")[0] if colon else ""
