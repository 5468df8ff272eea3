"""What an error means: retried, permanent, or how long to wait."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from llm_optimizers.errors import ConfigurationError, RefusedError
from llm_optimizers.failures import (
    FailOpen,
    Failure,
    WarningLog,
    is_permanent,
    read_failure,
    retry_after,
)

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def failing(**attributes: Any) -> Exception:
    error = Exception("no")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def response(status: int | None = None, **headers: str) -> object:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return type("Response", (), {"status_code": status, "headers": named})()


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529])
def test_a_passing_status_is_retried_elsewhere(status: int) -> None:
    for error in (
        failing(status_code=status),
        failing(response=response(status)),
        failing(code=status),
    ):
        assert read_failure(error, now=NOW) == Failure(name="Exception", retryable=True)
        assert not is_permanent(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422])
def test_a_permanent_status_is_not_retried(status: int) -> None:
    error = failing(status_code=status)
    assert not read_failure(error, now=NOW).retryable
    assert is_permanent(error)


def test_the_errors_own_status_comes_before_its_responses_and_a_code() -> None:
    assert is_permanent(failing(status_code=400, response=response(503), code=503))
    assert is_permanent(failing(response=response(400), code=503))


@pytest.mark.parametrize("status", [399, 600, 200, "400", None])
def test_what_is_no_error_status_is_passed_over(status: object) -> None:
    assert is_permanent(failing(status_code=status, code=404))
    assert not is_permanent(failing(status_code=status))


def test_the_bounds_of_a_status() -> None:
    assert not is_permanent(failing(status_code=599, code=400))
    assert is_permanent(failing(status_code=400, code=503))


@pytest.mark.parametrize("status", [None, 200, 429, 500, 503])
@pytest.mark.parametrize(
    "code", ["content_filter", "context_length_exceeded", "Content_Policy_Violation"]
)
def test_no_other_model_hides_what_is_wrong_with_a_prompt(code: str, status: int | None) -> None:
    for error in (
        failing(status_code=status, code=code),
        failing(status_code=status, body={"error": {"code": code}}),
        failing(status_code=status, body={"code": code, "type": "server_error"}),
    ):
        assert not read_failure(error, now=NOW).retryable
        assert is_permanent(error)


@pytest.mark.parametrize(
    "name",
    ["ContentFilterFinishReasonError", "ContentPolicyViolationError", "ContextWindowExceededError"],
)
def test_a_refused_prompt_is_not_read_as_what_was_handled_before(name: str) -> None:
    error = type(name, (Exception,), {})()
    error.__context__ = TimeoutError()
    assert is_permanent(error)
    assert is_permanent(type(name, (Exception,), {"status_code": 500})())


def test_an_error_may_hold_a_stream_s_event_whole() -> None:
    assert read_failure(ValueError({"error": {"code": 429}}), now=NOW).retryable
    assert is_permanent(ValueError({"error": {"code": "content_filter"}}))
    assert is_permanent(ValueError("content_filter: the prompt"))


@pytest.mark.parametrize(
    "name",
    [
        "APIConnectionError",
        "APITimeoutError",
        "ClientConnectorError",
        "ConnectError",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "InternalServerError",
        "OverloadedError",
        "RateLimitError",
        "ReadTimeout",
        "ReadTimeoutError",
        "RemoteProtocolError",
        "ServerDisconnectedError",
        "ServiceUnavailableError",
        "TimeoutException",
    ],
)
def test_errors_of_the_providers_clients_are_known_by_their_class(name: str) -> None:
    kind = type(name, (Exception,), {})
    derived = type("Derived", (kind,), {})
    assert read_failure(kind(), now=NOW) == Failure(name=name, retryable=True)
    assert read_failure(derived(), now=NOW) == Failure(name="Derived", retryable=True)


def test_without_a_status_the_class_decides() -> None:
    assert read_failure(TimeoutError(), now=NOW).retryable
    assert read_failure(ConnectionResetError(), now=NOW).retryable
    assert not read_failure(ValueError(), now=NOW).retryable
    assert is_permanent(ConfigurationError("x"))
    assert is_permanent(RefusedError("x"))
    assert not is_permanent(ValueError())


def test_only_what_is_retried_says_how_long_to_wait() -> None:
    headers = response(None, Retry_After="7")
    assert read_failure(failing(status_code=429, response=headers), now=NOW).retry_after_s == 7.0
    assert read_failure(failing(status_code=400, response=headers), now=NOW).retry_after_s is None


@pytest.mark.parametrize(
    ("own", "seconds"), [(7, 7.0), (1.5, 1.5), (0, 0.0), (-3, None), (math.inf, None), ("7", 7.0)]
)
def test_the_errors_own_wait_is_used(own: object, seconds: float | None) -> None:
    assert retry_after(failing(retry_after=own), now=NOW) == seconds


def test_a_wait_of_more_than_a_week_is_ignored() -> None:
    week = 7 * 24 * 3_600
    assert retry_after(failing(retry_after=week), now=NOW) == week
    assert retry_after(failing(retry_after=week + 1), now=NOW) is None


@pytest.mark.parametrize("name", ["details", "error_details", "body"])
def test_googles_retry_info_is_found_in_the_details_of_an_error(name: str) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}
    for details in ([info], {"error": {"details": [info]}}):
        assert retry_after(failing(**{name: details}), now=NOW) == 30.0
    delay = type("Duration", (), {"seconds": 30})()
    message = type("RetryInfo", (), {"retry_delay": delay})()
    assert retry_after(failing(**{name: [message]}), now=NOW) == 30.0


def test_a_list_of_details_that_contains_itself_is_ignored() -> None:
    details: list[Any] = []
    details.append(details)
    assert retry_after(failing(details=details), now=NOW) is None


def test_an_exhausted_limit_is_reset_after_a_duration_with_hours() -> None:
    headers = response(x_ratelimit_reset_requests="1h2m3s", x_ratelimit_remaining_requests="0")
    assert retry_after(failing(response=headers), now=NOW) == 3_600 + 2 * 60 + 3


def test_the_errors_own_wait_comes_before_the_headers() -> None:
    headers = response(None, retry_after="9", retry_after_ms="250")
    assert retry_after(failing(retry_after=7, response=headers), now=NOW) == 7.0
    assert retry_after(failing(response=headers), now=NOW) == 0.25


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("3s", 3.0),
        ("1m30s", 90.0),
        ("", None),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 08:00:30 -0000", 30.0),
        ("Fri, 15 Jan 2027 09:00:30 +0100", 30.0),
        ("Fri, 15 Jan 2027 07:59:59 GMT", 0.0),
    ],
)
def test_a_header_is_a_number_of_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(failing(response=response(None, RETRY_AFTER=value)), now=NOW) == seconds


@pytest.mark.parametrize("name", ["x_ms_retry_after_ms", "grpc_retry_pushback_ms"])
def test_azure_and_grpc_state_the_wait_in_milliseconds(name: str) -> None:
    assert retry_after(failing(response=response(None, **{name: "500"})), now=NOW) == 0.5


def test_without_headers_nothing_is_known() -> None:
    assert retry_after(failing(), now=NOW) is None
    assert retry_after(failing(response=None), now=NOW) is None
    assert retry_after(failing(response=response()), now=NOW) is None
    broken = type("Response", (), {"headers": ["retry-after: 7"]})()
    assert retry_after(failing(response=broken), now=NOW) is None


def test_a_warning_is_logged_once_by_its_words(caplog: pytest.LogCaptureFixture) -> None:
    warnings = WarningLog()
    for text in ("one", "two", "one", "50% off"):
        warnings.warn_once("tests.failures", text)
    WarningLog().warn_once("tests.failures", "one")
    assert caplog.messages == ["one", "two", "50% off", "one"]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_a_block_that_fails_open_says_what_follows(caplog: pytest.LogCaptureFixture) -> None:
    with FailOpen("tests.failures", "Sent unchanged"):
        raise KeyError("secret")
    assert caplog.record_tuples == [
        ("tests.failures", logging.WARNING, "Sent unchanged (KeyError).")
    ]
