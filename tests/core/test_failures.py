"""Errors of every provider: transient or permanent, HTTP status, wait; and `FailOpen`."""

from __future__ import annotations

import asyncio
import json
import urllib.error
from email.message import Message
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.errors import ConfigurationError, DeadlineError, RefusedError
from llm_optimizers.failures import (
    FailOpen,
    http_status,
    is_permanent,
    is_transient_status,
    read_failure,
    retry_after,
)

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
REQUEST = httpx.Request("POST", "https://provider.test/v1")


def error(name: str = "ProviderError", **attributes: Any) -> Exception:
    """Return an error of a class made for it, with these attributes."""
    return type(name, (Exception,), attributes)("message")


def caused(cause: BaseException) -> Exception:
    outer = RuntimeError("wrapper")
    outer.__cause__ = cause
    return outer


def in_context(context: BaseException, *, hidden: bool = False) -> Exception:
    outer = RuntimeError("wrapper")
    outer.__context__ = context
    outer.__suppress_context__ = hidden
    return outer


def response(status: int, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, request=REQUEST)


def of_openai(kind: type[openai.APIStatusError], status: int, **headers: str) -> Exception:
    return kind("message", response=response(status, **headers), body=None)


def of_requests(status: int, **headers: str) -> Exception:
    answer = requests.Response()
    answer.status_code = status
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return requests.HTTPError("message", response=answer)


def of_urllib(status: int, wait: str) -> Exception:
    headers = Message()
    headers["Retry-After"] = wait
    return urllib.error.HTTPError("https://provider.test", status, "message", headers, None)


def of_botocore(status: int | None, code: str = "", **headers: str) -> Exception:
    """botocore.exceptions.ClientError: its `response` is the parsed response, a dictionary."""
    metadata = {"HTTPHeaders": headers, "RetryAttempts": 4}
    if status is not None:
        metadata["HTTPStatusCode"] = status
    parsed = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": metadata}
    return error("ClientError", response=parsed)


RETRY_INFO = [
    {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "58.5s"},
]


def of_genai(status: int, details: Any = ()) -> Exception:
    """google.genai.errors.ClientError: `details` is the response's JSON."""
    body = {"error": {"code": status, "status": "RESOURCE_EXHAUSTED", "details": details}}
    return error("ClientError", code=status, status="RESOURCE_EXHAUSTED", details=body)


def of_api_core(status: int) -> Exception:
    """google.api_core.exceptions.ResourceExhausted over gRPC: `details` are messages."""
    delay = SimpleNamespace(seconds=7, nanos=500_000_000)
    return error(
        "ResourceExhausted", code=status, details=[object(), SimpleNamespace(retry_delay=delay)]
    )


TRANSIENT = {
    "openai rate limit": (of_openai(openai.RateLimitError, 429, retry_after="7"), 429, 7.0),
    "openai milliseconds": (
        of_openai(openai.RateLimitError, 429, retry_after_ms="250", retry_after="9"),
        429,
        0.25,
    ),
    "openai server": (of_openai(openai.InternalServerError, 503), 503, None),
    "openai conflict": (of_openai(openai.ConflictError, 409), 409, None),
    "openai timeout": (openai.APITimeoutError(REQUEST), None, None),
    "openai connection": (openai.APIConnectionError(request=REQUEST), None, None),
    "openai stream": (
        openai.APIError("message", REQUEST, body={"type": "server_error", "code": None}),
        500,
        None,
    ),
    "openai limits": (
        of_openai(
            openai.RateLimitError,
            429,
            x_ratelimit_remaining_requests="0",
            x_ratelimit_reset_requests="1m2.5s",
            x_ratelimit_remaining_tokens="5000",
            x_ratelimit_reset_tokens="6m0s",
        ),
        429,
        62.5,
    ),
    "anthropic overloaded": (error("OverloadedError", status_code=529), 529, None),
    "anthropic stream": (
        error("APIStatusError", status_code=200, body={"error": {"type": "overloaded_error"}}),
        529,
        None,
    ),
    "anthropic limits": (
        error(
            "RateLimitError",
            status_code=429,
            response=SimpleNamespace(
                headers={
                    "anthropic-ratelimit-requests-remaining": "0",
                    "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:20Z",
                    "anthropic-ratelimit-tokens-remaining": "0",
                    "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:30Z",
                }
            ),
        ),
        429,
        30.0,
    ),
    "httpx status": (
        httpx.HTTPStatusError("m", request=REQUEST, response=response(502, retry_after="2")),
        502,
        2.0,
    ),
    "httpx connect": (httpx.ConnectError("m"), None, None),
    "httpx read": (httpx.ReadError("m"), None, None),
    "httpx timeout": (httpx.PoolTimeout("m"), None, None),
    "httpx protocol": (httpx.RemoteProtocolError("m"), None, None),
    "requests status": (of_requests(429, Retry_After="3"), 429, 3.0),
    "requests connection": (requests.ConnectionError("m"), None, None),
    "requests timeout": (requests.ReadTimeout("m"), None, None),
    "urllib": (of_urllib(503, "Fri, 15 Jan 2027 08:01:00 GMT"), 503, 60.0),
    "aiohttp": (error(status=429, headers={b"retry-after": b"4"}), 429, 4.0),
    "google.genai": (of_genai(429, RETRY_INFO), 429, 58.5),
    "google.genai list": (error(code=503, details=[{"error": {"details": RETRY_INFO}}]), 503, 58.5),
    "google.api_core": (of_api_core(429), 429, 7.5),
    "gemini through openai": (
        openai.RateLimitError(
            "m", response=response(429), body=[{"error": {"details": RETRY_INFO}}]
        ),
        429,
        58.5,
    ),
    "botocore": (of_botocore(429, "ThrottlingException", **{"retry-after": "5"}), 429, 5.0),
    "botocore model": (of_botocore(424, "ModelErrorException"), 424, None),
    "botocore stream": (of_botocore(400, "throttlingException"), 429, None),
    "botocore stream without status": (of_botocore(None, "modelStreamErrorException"), 424, None),
    "botocore read": (type("HTTPClientError", (Exception,), {})(), None, None),
    "built-in timeout": (TimeoutError(), None, None),
    "built-in connection": (ConnectionResetError(), None, None),
    "own attribute": (error(status_code=429, retry_after=1.5), 429, 1.5),
    "cause": (caused(of_openai(openai.RateLimitError, 429, retry_after="7")), 429, 7.0),
    "cause of a cause": (caused(caused(of_botocore(503))), 503, None),
    "context": (in_context(of_genai(429, RETRY_INFO)), 429, 58.5),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_transient_errors_are_recognised(name: str) -> None:
    found, status, wait = TRANSIENT[name]
    assert http_status(found) == status
    assert not is_permanent(found)
    failure = read_failure(found, now=NOW)
    assert (failure.name, failure.retryable) == (type(found).__name__, True)
    assert failure.retry_after_s == wait


PERMANENT = {
    "openai request": (of_openai(openai.BadRequestError, 400), 400),
    "openai key": (
        openai.AuthenticationError(
            "m",
            response=response(401),
            body={"type": "invalid_request_error", "code": "invalid_api_key"},
        ),
        401,
    ),
    "openai model": (of_openai(openai.NotFoundError, 404), 404),
    "httpx": (httpx.HTTPStatusError("m", request=REQUEST, response=response(422)), 422),
    "requests": (of_requests(403), 403),
    "google.genai": (of_genai(400), 400),
    "botocore": (of_botocore(403, "AccessDeniedException"), 403),
    "botocore stream": (of_botocore(400, "validationException"), 400),
    "too large": (error(status_code=413), 413),
    "cause": (caused(of_requests(401)), 401),
    "setting": (ConfigurationError("m"), None),
    "limit": (RefusedError("m"), None),
    "cause is a setting": (caused(ConfigurationError("m")), None),
}


@pytest.mark.parametrize("name", PERMANENT)
def test_permanent_errors_are_recognised(name: str) -> None:
    found, status = PERMANENT[name]
    assert http_status(found) == status
    assert is_permanent(found)
    assert not read_failure(found, now=NOW).retryable
    assert read_failure(found, now=NOW).retry_after_s is None


@pytest.mark.parametrize(
    "unknown",
    [
        ValueError("m"),
        error(code="e3q8", status="NEVER_SEEN"),
        error(status_code=200),
        error(status_code="429"),
        in_context(of_requests(429), hidden=True),
    ],
)
def test_an_unclassified_error_is_neither_retried_elsewhere_nor_permanent(
    unknown: Exception,
) -> None:
    assert http_status(unknown) is None
    assert not is_permanent(unknown)
    assert not read_failure(unknown, now=NOW).retryable


def test_after_a_deadline_another_model_may_be_tried_but_not_the_same_one() -> None:
    assert read_failure(DeadlineError("m"), now=NOW).retryable
    assert is_permanent(DeadlineError("m"))


def test_the_outermost_status_counts() -> None:
    outer = error(status_code=400)
    outer.__cause__ = of_requests(503)
    assert http_status(outer) == 400


def test_the_wait_may_be_stated_by_a_cause_only() -> None:
    outer = error(status_code=429)
    outer.__cause__ = of_requests(429, Retry_After="9")
    assert retry_after(outer, now=NOW) == 9.0


def test_a_cycle_of_causes_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert http_status(one) is None
    assert not is_permanent(one)


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_is_either_transient_or_permanent(status: int) -> None:
    found = error(status_code=status)
    elsewhere = is_transient_status(status) or status == 402
    assert read_failure(found, now=NOW).retryable is elsewhere
    assert is_permanent(found) is not is_transient_status(status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": " 3 "}, 3.0),
        ({"Retry-After": 8}, 8.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Fri, 15 Jan 2020 08:01:00 GMT"}, 0.0),
        ([("Retry-After", "6")], 6.0),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "-1", "retry-after": "3"}, 3.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12ms"}, 0.012),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "59"}, 59.0),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "59"}, None),
        ({"x-ratelimit-reset-tokens": "59"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_waits_in_headers_are_read(headers: object, seconds: float | None) -> None:
    found = error(status_code=429, response=SimpleNamespace(headers=headers))
    wait = retry_after(found, now=NOW)
    assert wait == (None if seconds is None else pytest.approx(seconds))


GARBAGE = [
    *(-1, 10**400, True, float("nan"), float("inf"), "-3", "1e999", "soon", "", "\ud83d", "٣ ثوان"),
    *("Fri, 99 Jan 2027 08:01:00 GMT", "Mon, 01 Jan 9999 00:00:00 -9999", "9" * 5_000, b"\xff"),
    *([7], {"a": 1}, object(), print, None),
]


class RaisingError(Exception):
    """An error whose properties raise, as httpx's `request` does."""

    @property
    def response(self) -> Any:
        raise RuntimeError("not set")

    status_code = code = headers = details = retry_after = response


@pytest.mark.parametrize("value", GARBAGE)
def test_garbage_is_ignored(value: Any) -> None:
    for found in (
        error(retry_after=value),
        error(response=value),
        error(headers=value),
        error(details=value, body=value, code=value, status=value, type=value),
        error(status_code=value, response=SimpleNamespace(status_code=value, headers=value)),
        error(response={"Error": value, "ResponseMetadata": value}),
        error(headers={"Retry-After": value, "retry-after-ms": value, value_key(value): "7"}),
        error(details=[{"retryDelay": value}, SimpleNamespace(retry_delay=value)]),
    ):
        assert http_status(found) is None
        assert retry_after(found, now=NOW) is None
        assert not is_permanent(found)


def value_key(value: Any) -> Any:
    return value if isinstance(value, int | str | bytes) else "other"


def test_properties_that_raise_are_ignored() -> None:
    assert http_status(RaisingError()) is None
    assert retry_after(RaisingError(), now=NOW) is None


def test_details_that_contain_themselves_are_ignored() -> None:
    details: dict[str, Any] = {}
    details["error"] = details["details"] = details
    assert retry_after(error(details=details), now=NOW) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=JSON, text=st.text())
def test_reading_an_error_never_raises(value: Any, text: str) -> None:
    found = error(
        code=value,
        body=value,
        details={"error": {"details": [{"retryDelay": text}, value]}},
        headers={"retry-after": text, "x-ratelimit-reset-requests": text, text: json.dumps(value)},
        response=value,
    )
    failure = read_failure(found, now=NOW)
    assert failure.retry_after_s is None or failure.retry_after_s >= 0
    wait = retry_after(found, now=NOW)
    assert wait is None or 0 <= wait <= 7 * 86_400


def test_the_class_of_an_error_is_logged_and_its_message_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with FailOpen("tests.failures", "The call goes on"):
        raise ValueError("a prompt's text")
    assert caplog.messages == ["The call goes on (ValueError)."]


def test_nothing_is_logged_without_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with FailOpen("tests.failures", "The call goes on"):
        pass
    assert not caplog.messages


@pytest.mark.parametrize("interrupt", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_cancellation_and_interrupts_are_not_caught(interrupt: type[BaseException]) -> None:
    with pytest.raises(interrupt), FailOpen("tests.failures", "The call goes on"):
        raise interrupt
