"""Whether an error is transient or permanent, from its HTTP status, error code or class.

    OpenAI, Anthropic, Mistral, Azure   `status_code`; `code`, `type` or `body` in a stream
    httpx, requests                     `response.status_code`
    aiohttp, urllib                     `status`, `code`
    google.genai, google.api_core       `code`
    botocore                            `response["Error"]["Code"]`, `response["ResponseMetadata"]`

If an error itself says nothing, its `__cause__` or `__context__` is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm_optimizers.errors import ConfigurationError, RefusedError
from llm_optimizers.failures.attributes import attribute, chain
from llm_optimizers.failures.waits import retry_after

__all__ = ["Failure", "http_status", "is_permanent", "is_transient_status", "read_failure"]

_TRANSIENT_BELOW_500 = frozenset({408, 409, 424, 425, 429, 499})
_TRANSIENT_CLASSES = frozenset(
    {
        # OpenAI, Anthropic
        *("APIConnectionError", "APITimeoutError", "InternalServerError", "OverloadedError"),
        *("RateLimitError", "ServiceUnavailableError"),
        # httpx
        *("NetworkError", "ConnectError", "RemoteProtocolError", "ReadTimeout", "TimeoutException"),
        # requests, urllib3, aiohttp, botocore
        *("ConnectionError", "Timeout", "TimeoutError", "ClientConnectionError", "HTTPClientError"),
    }
)
# For errors with a code and no status, as in the middle of a stream. Codes of Anthropic
# (https://docs.anthropic.com/en/api/errors), OpenAI
# (https://platform.openai.com/docs/guides/error-codes) and Amazon Bedrock
# (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html).
_CODES: Mapping[int, tuple[str, ...]] = {
    400: ("invalid_request_error",),
    401: ("authentication_error",),
    402: ("billing_error",),
    403: ("permission_error",),
    404: ("not_found_error",),
    408: ("modeltimeoutexception",),
    413: ("request_too_large",),
    424: ("modelerrorexception", "modelstreamerrorexception"),
    429: ("rate_limit_error", "rate_limit_exceeded", "throttlingexception"),
    500: ("api_error", "server_error", "internalserverexception"),
    503: ("modelnotreadyexception", "serviceunavailableexception"),
    504: ("timeout_error",),
    529: ("overloaded_error",),
}
_STATUS_OF_CODE = {code: status for status, codes in _CODES.items() for code in codes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Whether another model may be tried, and how many seconds the provider asks to wait."""

    name: str
    retryable: bool
    retry_after_s: float | None = None


def read_failure(error: BaseException, *, now: float) -> Failure:
    """Read an error's class, whether it is transient, and the wait it asks for.

    A rate limit, a server error, a timeout or a broken connection may not occur with another
    model. A bad request or a bad key would fail there too, or should be fixed instead of hidden.
    """
    retryable = _is_transient(error) is True
    return Failure(
        name=type(error).__name__,
        retryable=retryable,
        retry_after_s=retry_after(error, now=now) if retryable else None,
    )


def is_permanent(error: BaseException) -> bool:
    """Whether asking again cannot help: a refused request, a wrong key, a wrong setting.

    An error that cannot be classified (a ValueError of a job's handler, say) is not permanent.
    """
    return isinstance(error, ConfigurationError | RefusedError) or _is_transient(error) is False


def is_transient_status(status: int) -> bool:
    """Whether the same request may succeed later: a rate limit, a timeout, a server error."""
    return status in _TRANSIENT_BELOW_500 or status >= 500


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status (400 to 599) of an error or its causes, None if there is none."""
    for each in chain(error):
        status = _own_status(each)
        if status is not None:
            return status
    return None


def _is_transient(error: BaseException) -> bool | None:
    """Return None if neither the error nor a cause can be classified."""
    for each in chain(error):
        status = _own_status(each)
        if status is not None:
            return is_transient_status(status)
        if isinstance(each, TimeoutError | ConnectionError):
            return True
        if isinstance(each, ConfigurationError | RefusedError):
            return False
        if not _TRANSIENT_CLASSES.isdisjoint(kind.__name__ for kind in type(each).__mro__):
            return True
    return None


def _own_status(error: BaseException) -> int | None:
    response = attribute(error, "response")
    for found in (
        # Before the status, because botocore gives every error of a stream the status 400.
        attribute(response, "Error", "Code"),
        attribute(error, "status_code"),
        attribute(response, "status_code"),
        attribute(response, "ResponseMetadata", "HTTPStatusCode"),
        attribute(error, "status"),
        attribute(error, "code"),
        attribute(error, "type"),
        attribute(error, "body", "error", "type"),
    ):
        status = _STATUS_OF_CODE.get(found.lower()) if isinstance(found, str) else found
        if isinstance(status, int) and 400 <= status < 600:
            return int(status)
    return None
