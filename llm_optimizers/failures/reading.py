"""Whether an error is transient or permanent, from its HTTP status, error code or class.

    OpenAI, Anthropic, Mistral, Azure   `status_code`; `code`, `type` or `body` in a stream
    httpx, requests                     `response.status_code`
    aiohttp, urllib                     `status`, `code`
    google.genai, google.api_core       `code`, `status`
    gRPC                                `code()`
    botocore                            `response["Error"]["Code"]`, `response["ResponseMetadata"]`
    LangChain, of a stream's event      `ValueError("server_error: …")`, `ValueError({"code": 429})`

If an error itself says nothing, what it wraps is read: its cause, its reason, its members.

What follows from an error:

    rate limit, outage, timeout, broken stream   ask again, or another model
    quota or balance used up (402)               another model; asking again cannot help
    refused content, too long a prompt,          raise: the request or a setting must change, and
    wrong key, unknown model                     another model's answer would hide it
    an error of the caller's own code            raise; a queue tries its job again
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_optimizers.errors import ConfigurationError, RefusedError
from llm_optimizers.failures.attributes import attribute, chain, returned
from llm_optimizers.failures.classes import is_transient_class
from llm_optimizers.failures.codes import (
    OF_THE_REQUEST,
    OUT_OF_MONEY,
    is_of_the_request,
    status_of_code,
)
from llm_optimizers.failures.waits import retry_after

__all__ = [
    "Failure",
    "http_status",
    "is_permanent",
    "is_transient_status",
    "may_pass",
    "read_failure",
]

_TRANSIENT_BELOW_500 = frozenset({408, 409, 424, 425, 429, 499})
# langchain-openai raises a stream's `error` and `response.failed` events as this text.
_CODE_IN_TEXT = re.compile(
    r"(?:ResponseError\(code=')?"
    r"(server_error|rate_limit_exceeded|insufficient_quota|invalid_prompt|context_length_exceeded"
    r"|content_filter|server_is_overloaded|slow_down)(?::|')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Whether another model may be tried, and how many seconds the provider asks to wait."""

    name: str
    retryable: bool
    retry_after_s: float | None = None


def read_failure(error: BaseException, *, now: float) -> Failure:
    """Read an error's class, whether another model may be tried, and the wait it asks for.

    A rate limit, a server error, a timeout or a broken connection may not occur with another
    model, and another provider's account may not be used up. A bad request or a bad key would
    fail there too, or should be fixed instead of hidden.
    """
    transient = _is_transient(error) is True
    return Failure(
        name=type(error).__name__,
        retryable=transient or http_status(error) == OUT_OF_MONEY,
        retry_after_s=retry_after(error, now=now) if transient else None,
    )


def is_permanent(error: BaseException) -> bool:
    """Whether asking the same model again cannot help: a refused request, a wrong key or setting.

    An error that cannot be classified (a ValueError of a job's handler, say) is not permanent.
    """
    return isinstance(error, ConfigurationError | RefusedError) or _is_transient(error) is False


def is_transient_status(status: int) -> bool:
    """Whether the same request may succeed later: a rate limit, a timeout, a server error."""
    return status in _TRANSIENT_BELOW_500 or status >= 500


def may_pass(status: object, code: object) -> bool | None:
    """Whether a failure may pass that a line of a file states; None if neither is known."""
    stated = [found for each in (status, code) if (found := status_of_code(each)) is not None]
    if OUT_OF_MONEY in stated:
        return False
    return any(map(is_transient_status, stated)) if stated else None


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status (400 to 599) of an error or what it wraps, None if there is none.

    A used-up quota is 402 whatever the provider sends (OpenAI sends 429, Bedrock 400), and a prompt
    that is refused or too long is 400.
    """
    return next((s for each in chain(error) if (s := _own_status(each)) is not None), None)


def _is_transient(error: BaseException) -> bool | None:
    """Return None if neither the error nor what it wraps can be classified."""
    found: bool | None = None
    grouped = False
    for each in chain(error):
        grouped = grouped or isinstance(each, BaseExceptionGroup)
        status = _own_status(each)
        verdict = is_transient_class(each)
        if status is not None and verdict is not False:
            verdict = is_transient_status(status)
        if verdict is False and grouped:
            return False  # one member of a group that cannot pass is enough
        if found is None:
            found = verdict
        if found is not None and not grouped:
            break
    return found


def _own_status(error: BaseException) -> int | None:
    codes = list(_codes(error))
    if any(map(is_of_the_request, codes)):
        return OF_THE_REQUEST
    stated = [status_of_code(each) for each in codes]
    if OUT_OF_MONEY in stated:
        return OUT_OF_MONEY
    return next((status for status in stated if status is not None), None)


def _codes(error: BaseException) -> Iterator[Any]:
    """Yield every status and code that an error states, the most reliable ones first."""
    response = attribute(error, "response")
    # Before the status, because botocore gives every error of a stream the status 400.
    yield attribute(response, "Error", "Code")
    yield from map(
        _number,
        (
            attribute(error, "status_code"),
            attribute(response, "status_code"),
            attribute(response, "ResponseMetadata", "HTTPStatusCode"),
            attribute(error, "status"),
            attribute(error, "code"),
        ),
    )
    yield from (returned(error, "code"), attribute(error, "status"), attribute(error, "type"))
    body = attribute(error, "body")
    for owner in (attribute(body, "error"), body):
        yield from (attribute(owner, "code"), attribute(owner, "type"))
    if isinstance(error, ValueError):
        yield from _of_event(error.args[0] if error.args else None)


def _number(code: object) -> int | None:
    return code if isinstance(code, int) else None


def _of_event(said: object) -> Iterator[Any]:
    if isinstance(said, str):
        match = _CODE_IN_TEXT.match(said)
        yield match[1] if match is not None else None
    elif not isinstance(said, BaseException):
        for owner in (attribute(said, "error"), said):
            yield from (attribute(owner, "code"), attribute(owner, "type"))
