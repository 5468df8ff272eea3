"""Safe access to the causes, attributes and headers of any error; nothing here raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import Any, cast

__all__ = ["attribute", "chain", "headers_of", "returned"]

_LONGEST_CHAIN = 12


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it wraps, the outermost first.

    That is its `__cause__` (else the error that it holds, else its `__context__`), the cause of
    that, and so on. A group's members are yielded with theirs, permanent or not, in their order.
    """
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _LONGEST_CHAIN:  # a chain may be a cycle
        each = waiting.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting = [*_wrapped(each), *waiting]


def _wrapped(error: BaseException) -> Sequence[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions
    if error.__cause__ is not None:
        return (error.__cause__,)
    for held in (
        attribute(error, "reason"),  # urllib, urllib3
        attribute(error, "cause"),  # google.api_core.exceptions.RetryError
        returned(attribute(error, "last_attempt"), "exception"),  # tenacity.RetryError
        *error.args[:1],  # ValueError(error), requests.ConnectionError(error)
    ):
        if isinstance(held, BaseException):
            return (held,)
    hidden = error.__suppress_context__ or error.__context__ is None
    return () if hidden else (cast("BaseException", error.__context__),)


def attribute(owner: object, *path: str) -> Any:
    """Follow attributes, or keys of mappings; None where one is missing or raises an error."""
    for name in path:
        try:
            owner = owner.get(name) if isinstance(owner, Mapping) else getattr(owner, name, None)
        except Exception:  # noqa: BLE001 - a property of an SDK may raise anything
            return None
    return owner


def returned(owner: object, name: str) -> Any:
    """Return an attribute, or what it returns where it is a method, as gRPC's `code()`."""
    found = attribute(owner, name)
    if not callable(found) or isinstance(found, type) or iscoroutinefunction(found):
        return found
    try:
        return found()
    except Exception:  # noqa: BLE001 - it is another package's
        return None


def headers_of(error: BaseException) -> dict[str, str]:
    """Return the headers of an error's response, names in lower case; unreadable ones are left out.

    They are in `response.headers` (most SDKs), `response["ResponseMetadata"]["HTTPHeaders"]`
    (botocore), `headers` (aiohttp, urllib) or `trailing_metadata()` (gRPC).
    """
    response = attribute(error, "response")
    found: dict[str, str] = {}
    for headers in (
        attribute(response, "headers"),
        attribute(response, "ResponseMetadata", "HTTPHeaders"),
        attribute(error, "headers"),
        returned(error, "trailing_metadata"),
    ):
        with suppress(Exception):
            for name, value in headers.items() if hasattr(headers, "items") else headers or ():
                found.setdefault(_text(name).lower(), _text(value).strip())
    return found


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, str | int | float) else ""
