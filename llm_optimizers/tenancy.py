"""Tenants: keep the data of customers who share a cache, a prompt or a sample apart.

The tenant is part of every key. It is made of the cache's `namespace` and of `tenant(...)` around
the calls, where given. A web app sets it once per request:

    with tenant(request.customer_id):
        chain.invoke(...)

A stream belongs to the tenant of the code that starts it. A LangChain chain calls its model only
when the first chunk is read, so read the chunks inside the block too. Do not `yield` inside the
block: a web framework may read each piece of a generator in another context, where the
block does not hold. Use `namespace` there.

An empty or missing name never means a tenant of its own: it would let all users without a customer
id share answers. `tenant` refuses it; a cache whose `namespace` function returns it is bypassed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias
from urllib.parse import quote

from llm_optimizers.errors import ConfigurationError

__all__ = [
    "Namespace",
    "current_tenant",
    "enclosing_tenant",
    "request_tenant",
    "tenant",
    "tenant_labels",
    "tenant_name",
]

Namespace: TypeAlias = str | Callable[[], str] | None


class _Block:
    """A `tenant(...)` block; `broken` once it was left in another context than it was entered."""

    __slots__ = ("broken", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken = False


_block: ContextVar[_Block | None] = ContextVar("llm_optimizers_tenant", default=None)


@contextmanager
def tenant(name: str) -> Iterator[None]:
    """Run the calls inside the block for this tenant, across awaits and framework threads.

    Raises:
        ConfigurationError: the name is empty or not a string; or the block was left in another
            context, as by a generator that yields inside it. The context it was entered in still
            has the tenant then, so calls there are made without a cache.
    """
    block = _Block(tenant_name(name, "tenant() was given"))
    token = _block.set(block)
    try:
        yield
    finally:
        try:
            _block.reset(token)
        except ValueError as error:
            block.broken = True
            raise ConfigurationError(
                "a tenant block was left in another context than it was entered in: do not yield"
                " inside it; start streams inside it and read them outside, or use namespace="
            ) from error


def tenant_name(name: object, source: str) -> str:
    """Return a tenant's name as a plain string; what a lazy object stands for is read now.

    Raises:
        ConfigurationError: it is empty or not a string. The message starts with `source`.
    """
    if not isinstance(name, str):
        raise ConfigurationError(
            f"{source} a {type(name).__name__}: give the tenant's name as a string"
        )
    # A lazy object calls itself a string; read later, it could stand for another user's tenant.
    plain = str.__str__(name) if issubclass(type(name), str) else str.__str__(str(name))
    if not plain.strip():
        raise ConfigurationError(
            f"{source} an empty name: give the tenant's name; leave the tenant out only where all"
            " users may share answers"
        )
    return plain


def enclosing_tenant() -> str:
    """Return the name of the innermost `tenant(...)` around the running code, "" without one.

    Raises:
        ConfigurationError: the block has ended elsewhere, so the tenant is unknown.
    """
    block = _block.get()
    if block is None:
        return ""
    if block.broken:
        raise ConfigurationError(
            "the tenant is unknown: its block was left in another context than it was entered in"
        )
    return block.name


def current_tenant(namespace: Namespace = None, request: str = "") -> str:
    """Return the tenant of the running code in a cache's namespace, "" if none is named.

    `request` is the tenant that the request itself names, "" if it names none.

    Raises:
        ConfigurationError: a name is empty or not a string, or a block's tenant is unknown.
        Whatever the `namespace` function raises: without a tenant nothing may be looked up.
    """
    return _label(_base(namespace), enclosing_tenant(), request_tenant(request))


def request_tenant(name: str) -> str:
    """Return the tenant that a request names, "" if it names none.

    Raises:
        ConfigurationError: it is blank or not a string.
    """
    return "" if name == "" else tenant_name(name, "the request names")


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
    if namespace is None:
        return ""
    if callable(namespace):
        return tenant_name(namespace(), "namespace() returned")
    return tenant_name(namespace, "namespace is")


def _label(*parts: str) -> str:
    """Join the parts so that different parts never give the same label ("/" is quoted)."""
    return "/".join(quote(part, safe="") for part in parts) if any(parts) else ""
