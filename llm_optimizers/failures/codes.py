"""The HTTP status that an error code stands for, in the words of every provider.

OpenAI      https://platform.openai.com/docs/guides/error-codes
Anthropic   https://docs.anthropic.com/en/api/errors
Bedrock     https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
AWS         the codes that botocore retries (botocore/retries/standard.py)
Google      https://cloud.google.com/apis/design/errors, also the names of gRPC's status codes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["OF_THE_REQUEST", "OUT_OF_MONEY", "is_of_the_request", "status_of_code"]

OUT_OF_MONEY = 402
"""An account's quota or balance is used up: waiting does not help, another provider may."""

OF_THE_REQUEST = 400
"""The request itself is refused."""
_REQUEST_CODES = (
    *("invalid_prompt", "context_length_exceeded", "string_above_max_length"),
    *("content_filter", "content_policy_violation", "responsibleaipolicyviolation"),
)
"""What is wrong with a prompt; some gateways send these codes with a status of their own."""

_CODES: Mapping[int, tuple[str, ...]] = {
    OF_THE_REQUEST: (
        *_REQUEST_CODES,
        *("invalid_request_error", "validationexception"),
        *("invalid_argument", "failed_precondition", "out_of_range", "already_exists"),
    ),
    401: ("authentication_error", "invalid_api_key", "unauthenticated"),
    OUT_OF_MONEY: (
        *("billing_error", "billing_hard_limit_reached", "billing_not_active"),
        *("insufficient_quota", "servicequotaexceededexception"),
    ),
    403: ("permission_error", "permission_denied", "accessdeniedexception"),
    404: (
        *("not_found_error", "model_not_found", "not_found", "resourcenotfoundexception"),
        "unimplemented",
    ),
    408: ("modeltimeoutexception", "requesttimeout", "requesttimeoutexception"),
    409: ("aborted", "conflictexception"),
    413: ("request_too_large",),
    424: ("modelerrorexception", "modelstreamerrorexception"),
    429: (
        *("rate_limit_error", "rate_limit_exceeded", "resource_exhausted"),
        *("throttlingexception", "throttling", "throttledexception", "requestthrottledexception"),
        *("toomanyrequestsexception", "provisionedthroughputexceededexception"),
        *("requestlimitexceeded", "bandwidthlimitexceeded", "limitexceededexception"),
        *("requestthrottled", "slowdown", "ec2throttledexception", "slow_down"),
        *("transactioninprogressexception", "priorrequestnotcomplete"),
    ),
    499: ("cancelled",),
    500: (
        *("api_error", "server_error", "internal_server_error", "internalserverexception"),
        *("internalfailure", "internal", "unknown", "data_loss"),
    ),
    503: (
        *("modelnotreadyexception", "serviceunavailableexception", "serviceunavailable"),
        *("unavailable", "server_is_overloaded", "engine_overloaded_error"),
        "service_unavailable_error",
    ),
    504: ("timeout_error", "deadline_exceeded"),
    529: ("overloaded_error",),
}
_STATUS_OF_CODE = {code: status for status, codes in _CODES.items() for code in codes}


def is_of_the_request(code: Any) -> bool:
    """Whether a code says that a prompt is refused or too long, whatever the status beside it."""
    return isinstance(code, str) and code.lower() in _REQUEST_CODES


def status_of_code(code: Any) -> int | None:
    """Return the status (400 to 599) of a number, a name or a member of an enum; None if unknown.

    gRPC's errors have a method `code()`; its enum's numbers are no HTTP statuses, its names count.
    """
    if not isinstance(code, int | str):
        code = getattr(code, "name", None)
    if isinstance(code, str):
        known = _STATUS_OF_CODE.get(code.lower())
        written = known is None and len(code) == 3 and code.isascii() and code.isdigit()
        code = int(code) if written else known
    return int(code) if isinstance(code, int) and 400 <= code < 600 else None
