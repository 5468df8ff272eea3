"""Whose money a call was: the user, tenant, feature, session, run, agent and step of its record.

    with attributed(user="u17", feature="search"):
        chain.invoke(question)

A block holds across awaits, tasks and the threads that frameworks start; the inner one wins for
each name. A name can also come from a framework's metadata or tags, under any of its usual names
(`aliases.py`). The tenant of `tenancy.tenant(...)` is the `tenant` of all calls inside.

As with `tenant`, a stream belongs to the code that starts it, and a LangChain chain calls its
model only when the first chunk is read.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing
from enum import Enum
from functools import wraps
from numbers import Integral
from types import TracebackType
from typing import Any, ParamSpec, TypeAlias, TypeVar
from uuid import UUID

from llm_optimizers.arguments import instance, refuse
from llm_optimizers.costs.aliases import NAMES, rank_of
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.scopes import Entered, Scope, Scopes
from llm_optimizers.secrets import is_secret_name, redacted
from llm_optimizers.tenancy import enclosing_tenant

__all__ = [
    "NAMES",
    "Names",
    "attributed",
    "block_names",
    "current_attribution",
    "innermost_block",
    "known_tenant",
    "names_of",
]

P = ParamSpec("P")
T = TypeVar("T")
Names: TypeAlias = Mapping[str, str]
"""Standard names and the user's own tags, with their values."""
Value: TypeAlias = str | int | UUID | Enum | None

_LONGEST = 200  # characters of a value; what is longer is cut and gets a digest
_LONGEST_NAME = 100
_MOST = 64  # tags of one call
_BITS = 256  # of a number that is still an id
_DIGEST = 12
_blocks: Scopes[Names] = Scopes("llm_optimizers_attribution", __file__)


class attributed:  # noqa: N801 - used as a function is
    """Attribute the calls inside the block, across awaits and framework threads.

    A value is a text, a number, a UUID or an enum's member. None and an empty text mean that it is
    not known; then that of the block around counts. `tags` are names of your own. As a decorator
    it holds for functions, coroutine functions and generator functions.

    Raises:
        ConfigurationError: a value is of another kind.
    """

    def __init__(
        self,
        tags: Mapping[str, Value] | None = None,
        *,
        user: Value = None,
        tenant: Value = None,
        feature: Value = None,
        session: Value = None,
        run: Value = None,
        agent: Value = None,
        step: Value = None,
    ) -> None:
        own = {} if tags is None else instance("tags", tags, Mapping)
        given = (user, tenant, feature, session, run, agent, step)
        self._names = {
            **{name: text for name, value in own.items() if (text := _given("tags", value))},
            **{
                name: text
                for name, value in zip(NAMES, given, strict=True)
                if (text := _given(name, value))
            },
        }
        if any(not isinstance(name, str) for name in self._names):
            refuse("tags", tags, "a mapping of names to values")
        self._entered: list[Entered[Names]] = []

    def __enter__(self) -> None:
        self._entered.append(_blocks.enter(self._names))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _blocks.leave(self._entered)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function with this block around each call."""
        names: Names = self._names
        work: Any = function

        def block() -> attributed:
            return attributed(names)

        if inspect.isasyncgenfunction(work):

            @wraps(work)
            async def stream(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
                with block():
                    async with aclosing(work(*args, **kwargs)) as items:
                        async for item in items:
                            yield item

            return stream  # type: ignore[return-value]
        if inspect.iscoroutinefunction(work):

            @wraps(work)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with block():
                    return await work(*args, **kwargs)

            return awaited  # type: ignore[return-value]
        if inspect.isgeneratorfunction(work):

            @wraps(work)
            def items(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
                with block():
                    result = yield from work(*args, **kwargs)
                return result

            return items  # type: ignore[return-value]

        @wraps(work)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            with block():
                return function(*args, **kwargs)

        return called


def current_attribution() -> dict[str, str]:
    """Return the names of the blocks around the running code, and its tenant."""
    names = block_names(innermost_block())
    tenant = known_tenant()
    return {**names, "tenant": tenant} if tenant else names


def innermost_block() -> Scope[Names] | None:
    """Return the block around the running code, None without one."""
    return _blocks.around_here()


def block_names(block: Scope[Names] | None, within: Scope[Names] | None = None) -> dict[str, str]:
    """Return the names of a block and of those around it, up to the block `within`.

    They are none if `block` is around `within`, or has nothing to do with it.
    """
    if block is None or block is within:
        return {}
    chain = []
    for each in block.around():
        if each is within:
            break
        chain.append(each.value)
    else:
        if within is not None:
            return {}
    return {name: value for names in reversed(chain) for name, value in names.items()}


def known_tenant() -> str:
    """Return the tenant whose data the running code is kept to, "" if none is named or known."""
    try:
        return _text(enclosing_tenant()) or ""
    except ConfigurationError:
        return ""


def names_of(given: Mapping[Any, Any]) -> dict[str, str]:
    """Return the standard names in a call's metadata or tags, and all others with a value.

    Values that are no texts, numbers or ids are left out, as are those named as secrets. An alias
    that loses against another stays under its own name if its value is different.
    """
    best: dict[str, tuple[int, str, str]] = {}
    others: dict[str, str] = {}
    for name, value in given.items():
        if not isinstance(name, str) or len(best) + len(others) >= _MOST:
            continue
        text = _text(value)
        if not text:
            continue
        known = rank_of(name)
        if known is None:
            if not is_secret_name(name):
                others[_cut(name, _LONGEST_NAME)] = text
            continue
        standard, rank = known
        entry = (rank, name, text)
        kept, loser = best.get(standard), entry
        if kept is None or rank < kept[0]:
            best[standard], loser = entry, kept or entry
        if loser[2] != best[standard][2]:
            others[loser[1]] = loser[2]
    return {**others, **{name: text for name, (_, _, text) in best.items()}}


def _given(name: str, value: object) -> str | None:
    if value is None:
        return None
    text = None if isinstance(value, bool) and name in NAMES else _text(value)
    if text is None:
        refuse(name, value, "a text, a whole number or a UUID")
    return text


def _text(value: object) -> str | None:
    """Return a value as a text that can be stored; None if it is no text, number or id."""
    try:
        plain = _plain_text(value.value if isinstance(value, Enum) else value)
    except Exception:  # noqa: BLE001 - a lazy object may raise anything; the call still counts
        return None
    if plain is None or (len(plain) <= _LONGEST and plain.isprintable()):
        return plain and plain.strip()
    return _cut(plain, _LONGEST)


def _plain_text(value: object) -> str | None:
    if isinstance(value, str):
        # A lazy object calls itself a text; read later, it could stand for another user.
        return str.__str__(value if issubclass(type(value), str) else str(value))
    if isinstance(value, Integral):
        number = int(value)
        return None if number.bit_length() > _BITS else str(value)
    return str(value) if isinstance(value, UUID) else None


def _cut(text: str, most: int) -> str:
    """Make a text printable, and one that is too long unlike any other with the same beginning."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * most]).strip()
    if len(text) <= most:
        return shown
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{redacted(shown)[: most - _DIGEST - 1]}~{digest}"
