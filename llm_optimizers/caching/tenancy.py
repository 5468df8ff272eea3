"""Whose request this is: the wall between customers that share one cache.

A tenant is part of every key. It comes from the cache's `namespace` and from `tenant(...)`
around the calls, whichever are given, so that a web app sets it once per request:

    with tenant(request.customer_id):
        chain.invoke(...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

__all__ = ["Namespace", "current_tenant", "tenant"]

Namespace: TypeAlias = str | Callable[[], str] | None

_tenant: ContextVar[str] = ContextVar("llm_optimizers_tenant", default="")


@contextmanager
def tenant(name: str) -> Iterator[None]:
    """Calls inside the block belong to this tenant; holds across awaits and framework threads."""
    token = _tenant.set(name)
    try:
        yield
    finally:
        _tenant.reset(token)


def current_tenant(namespace: Namespace = None) -> str:
    """The tenant of the running code under a cache's namespace.

    Raises:
        Whatever a `namespace` function raises: without a tenant nothing may be looked up.
    """
    base = namespace() if callable(namespace) else namespace or ""
    # A length before each part keeps ("a", "bc") and ("ab", "c") apart.
    inner = _tenant.get()
    return f"{len(base)}:{base}{inner}" if base or inner else ""
