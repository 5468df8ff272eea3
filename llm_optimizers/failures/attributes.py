"""Safe access to the causes, attributes and headers of any error; nothing here raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

__all__ = ["attribute", "chain", "headers_of"]

_LONGEST_CHAIN = 10


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, its `__cause__` (else its `__context__`), the cause of that, and so on."""
    each: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):  # a chain may be a cycle
        if each is None:
            return
        yield each
        hidden = each.__cause__ is not None or each.__suppress_context__
        each = each.__cause__ if hidden else each.__context__


def attribute(owner: object, *path: str) -> Any:
    """Follow attributes, or keys of mappings; None where one is missing or raises an error."""
    for name in path:
        try:
            owner = owner.get(name) if isinstance(owner, Mapping) else getattr(owner, name, None)
        except Exception:  # noqa: BLE001 - a property of an SDK may raise anything
            return None
    return owner


def headers_of(error: BaseException) -> dict[str, str]:
    """Return the headers of an error's response, names in lower case; unreadable ones are left out.

    They are in `response.headers` (most SDKs), `response["ResponseMetadata"]["HTTPHeaders"]`
    (botocore) or `headers` (aiohttp, urllib).
    """
    response = attribute(error, "response")
    found: dict[str, str] = {}
    for headers in (
        attribute(response, "headers"),
        attribute(response, "ResponseMetadata", "HTTPHeaders"),
        attribute(error, "headers"),
    ):
        with suppress(Exception):
            for name, value in headers.items() if hasattr(headers, "items") else headers or ():
                found.setdefault(_text(name).lower(), _text(value).strip())
    return found


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, str | int | float) else ""
