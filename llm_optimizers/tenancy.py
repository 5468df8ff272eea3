"""Tenants: keep the data of customers who share a cache, a prompt or a sample apart.

The tenant is part of every key. It is made of the cache's `namespace` and of `tenant(...)` around
the calls, where given. A web app sets it once per request:

    with tenant(request.customer_id):
        chain.invoke(...)

A stream belongs to the tenant of the code that starts it. A LangChain chain calls its model only
when the first chunk is read, so read the chunks inside the block too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias
from urllib.parse import quote

from llm_optimizers.errors import ConfigurationError

__all__ = ["Namespace", "current_tenant", "enclosing_tenant", "tenant", "tenant_labels"]

Namespace: TypeAlias = str | Callable[[], str] | None

_tenant: ContextVar[str] = ContextVar("llm_optimizers_tenant", default="")


@contextmanager
def tenant(name: str) -> Iterator[None]:
    """Run the calls inside the block for this tenant, across awaits and framework threads.

    Raises:
        ConfigurationError: the name is not a string. A None, for example, would let all users
            without a customer id share answers.
    """
    if not isinstance(name, str):
        raise ConfigurationError(
            f"tenant() was given a {type(name).__name__}: give the tenant's name as a string"
        )
    token = _tenant.set(name)
    try:
        yield
    finally:
        _tenant.reset(token)


def enclosing_tenant() -> str:
    """Return the name of the innermost `tenant(...)` around the running code, "" without one."""
    return _tenant.get()


def current_tenant(namespace: Namespace = None, request: str = "") -> str:
    """Return the tenant of the running code in a cache's namespace, "" if none is named.

    `request` is the tenant that the request itself names.

    Raises:
        ConfigurationError: the `namespace` function did not return a string.
        Whatever that function raises: without a tenant nothing may be looked up.
    """
    return _label(_base(namespace), _tenant.get(), request)


def tenant_labels(name: str, namespace: Namespace = None) -> tuple[str, ...]:
    """Return every label under which a cache with this namespace stores entries of `name`.

    Raises:
        The same errors as `current_tenant`.
    """
    base = "" if callable(namespace) else _base(namespace)
    return tuple(
        dict.fromkeys(
            (_label(name, "", ""), _label("", name, ""), _label("", "", name))
            + ((_label(base, name, ""), _label(base, "", name)) if base else ())
        )
    )


def _base(namespace: Namespace) -> str:
    base = namespace() if callable(namespace) else namespace or ""
    if not isinstance(base, str):
        raise ConfigurationError(
            f"namespace() returned a {type(base).__name__}: return the tenant's name as a string"
        )
    return base


def _label(*parts: str) -> str:
    """Join the parts so that different parts never give the same label ("/" is quoted)."""
    return "/".join(quote(part, safe="") for part in parts) if any(parts) else ""
