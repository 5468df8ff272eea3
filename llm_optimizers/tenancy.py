"""Whose request this is: the wall between customers that share a cache, a prompt or a sample.

A tenant is part of every key. It comes from the cache's `namespace` and from `tenant(...)`
around the calls, whichever are given, so that a web app sets it once per request:

    with tenant(request.customer_id):
        chain.invoke(...)

A stream belongs to the tenant of the code that asks for it; a LangChain chain asks its model only
when its first chunk is taken, so take the chunks inside the block too.
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
    """Calls inside the block belong to this tenant; holds across awaits and framework threads.

    Raises:
        ConfigurationError: the name is no text, such as the None of a user without a company,
            whose answers would be shared with all others of the kind.
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
    """The name given by the innermost `tenant(...)` around the running code, "" outside of one."""
    return _tenant.get()


def current_tenant(namespace: Namespace = None, request: str = "") -> str:
    """The tenant of the running code under a cache's namespace, "" if nobody names one.

    `request` is the tenant that the request itself names.

    Raises:
        ConfigurationError: the `namespace` function returned no text.
        Whatever that function raises: without a tenant nothing may be looked up.
    """
    return _label(_base(namespace), _tenant.get(), request)


def tenant_labels(name: str, namespace: Namespace = None) -> tuple[str, ...]:
    """Every label under which a cache with this namespace keeps what belongs to `name`.

    Raises:
        As `current_tenant`.
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
    """The parts as one text that no other parts make: each keeps its place, "/" is quoted."""
    return "/".join(quote(part, safe="") for part in parts) if any(parts) else ""
