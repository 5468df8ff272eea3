"""Tenants: keep the data of customers who share a cache, a prompt or a sample apart.

The tenant is part of every key. It is made of the cache's `namespace` and of `tenant(...)` around
the calls, where given. A web app sets it once per request:

    with tenant(request.customer_id):
        chain.invoke(...)

A stream belongs to the tenant of the code that starts it. A LangChain chain calls its model only
when the first chunk is read, so read the chunks inside the block too.

A generator that yields inside the block may go on in another context, where the block does not
hold, or while another generator's block does: a web framework may read each piece in another
thread. Calls that it makes there are not cached, and the end of its block raises an error. Use
`namespace` in such code.

An empty or missing name never means a tenant of its own: it would let all users without a customer
id share answers. `tenant` refuses it; a cache whose `namespace` function returns it is bypassed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import Context, ContextVar
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeAlias, TypeVar
from urllib.parse import quote

from llm_optimizers.arguments import function, refuse
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.freshness import fresh_answers, fresh_asked_for
from llm_optimizers.holdout import is_held_out, untouched
from llm_optimizers.scopes import Entered, Scope, Scopes

__all__ = [
    "CallerTenant",
    "Namespace",
    "checked_namespace",
    "current_tenant",
    "enclosing_tenant",
    "request_tenant",
    "tenant",
    "tenant_labels",
    "tenant_name",
]

P = ParamSpec("P")
T = TypeVar("T")
Namespace: TypeAlias = str | Callable[[], str] | None


_blocks: Scopes[str] = Scopes("llm_optimizers_tenant", __file__)
_without_caller: ContextVar[bool] = ContextVar("llm_optimizers_without_caller", default=False)


class tenant:  # noqa: N801 - used as a function is
    """Run the calls inside the block for this tenant, across awaits and framework threads.

    As a decorator it holds for a plain function.

    Raises:
        ConfigurationError: the name is empty or not a string; a coroutine or generator function is
            decorated, which runs after the block; or the block was left in another context than it
            was entered in.
    """

    def __init__(self, name: str) -> None:
        self._name = tenant_name(name, "name")
        self._entered: list[Entered[str]] = []

    def __enter__(self) -> None:
        self._entered.append(_blocks.enter(self._name))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not _blocks.leave(self._entered) and error is None:
            raise ConfigurationError(
                "a tenant block was left in another context than it was entered in: a generator"
                " yielded inside it and was read elsewhere; start streams inside the block and read"
                " them outside, or use namespace="
            )

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function with this block around each call."""
        later = (
            inspect.iscoroutinefunction(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        )
        if later:
            raise ConfigurationError(
                f"tenant(...) around {function.__qualname__} would end before it runs: use"
                " `with tenant(...)` inside it"
            )

        @wraps(function)
        def within(*args: P.args, **kwargs: P.kwargs) -> T:
            with tenant(self._name):
                return function(*args, **kwargs)

        return within


@dataclass(frozen=True, slots=True)
class CallerTenant:
    """The tenant of the code that asks for work which is done elsewhere, for several callers.

    `fresh` says whether it wants fresh answers (see `freshness`), `held_out` whether its calls must
    go untouched (see `holdout`).
    """

    name: str
    known: bool = True
    fresh: bool = False
    held_out: bool = False

    @classmethod
    def read(cls, namespace: Namespace = None) -> CallerTenant:
        """Return the tenant of the running code, also if it is unknown."""
        try:
            parts = [part for part in (_base(namespace), enclosing_tenant()) if part]
        except Exception:  # noqa: BLE001 - a user's function may raise anything
            return cls("", known=False, fresh=fresh_asked_for(), held_out=is_held_out())
        # A single name stays as it is, so that entries of that tenant are found by it.
        name = parts[0] if len(parts) == 1 else _label(*parts)
        return cls(name, fresh=fresh_asked_for(), held_out=is_held_out())

    def run(self, work: Callable[[], T]) -> T:
        """Do the work in a new context that has these and nothing else of the caller."""
        block = Scope(self.name)
        block.broken = not self.known
        context = Context()
        _blocks.enter_in(context, block)
        context.run(_without_caller.set, True)  # noqa: FBT003 - the variable's value

        def within() -> T:
            with fresh_answers(self.fresh), untouched(self.held_out):
                return work()

        return context.run(within)


def checked_namespace(name: str, namespace: Namespace) -> Namespace:
    """Return a component's namespace as it is kept: what a lazy object stands for is read now.

    Raises:
        ConfigurationError: it is neither a name nor a function that returns one.
    """
    if namespace is None:
        return None
    if callable(namespace):
        return function(name, namespace)
    return tenant_name(namespace, name)


def tenant_name(name: object, argument: str) -> str:
    """Return a tenant's name as a plain string; what a lazy object stands for is read now.

    Raises:
        ConfigurationError: it is empty or not a string. `argument` is what gave it.
    """
    if not isinstance(name, str):
        refuse(argument, name, "the tenant's name, a text")
    # A lazy object calls itself a string; read later, it could stand for another user's tenant.
    plain = str.__str__(name) if issubclass(type(name), str) else str.__str__(str(name))
    if not plain.strip():
        give = "the tenant's name; leave the tenant out only where all users may share answers"
        refuse(argument, plain, give)
    return plain


def enclosing_tenant() -> str:
    """Return the name of the innermost `tenant(...)` around the running code, "" without one.

    Raises:
        ConfigurationError: a generator yielded inside its block, so that the tenant is unknown.
    """
    block = _blocks.innermost
    if (block is not None and block.broken) or _blocks.of_generator() is not None:
        raise ConfigurationError(
            "the tenant is unknown: a generator yielded inside its tenant block and was resumed"
            " where that block does not hold; start streams inside the block and read them outside,"
            " or use namespace="
        )
    return "" if block is None else block.value


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
    return "" if name == "" else tenant_name(name, "tenant")


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
        if _without_caller.get():
            raise ConfigurationError(
                "a namespace function cannot know the callers of a shared call: put the cache"
                " around the batching model, or name the tenant with `tenant(...)`"
            )
        return tenant_name(namespace(), "namespace()")
    return tenant_name(namespace, "namespace")


def _label(*parts: str) -> str:
    """Join the parts so that different parts never give the same label ("/" is quoted)."""
    return "/".join(quote(part, safe="") for part in parts) if any(parts) else ""
