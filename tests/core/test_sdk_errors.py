"""The errors that providers' own packages raise, made by their own constructors."""

from __future__ import annotations

import enum
import errno
import http.client
import json
import socket
import ssl
import urllib.error
from typing import Any

import aiohttp
import anthropic
import anyio
import httpx
import openai
import pytest
import requests
import tenacity
import urllib3
from langchain_core.exceptions import OutputParserException
from openai.types.responses import ResponseError
from yarl import URL

from llm_optimizers.failures import http_status, is_permanent, may_pass, read_failure, retry_after

NOW = 1_800_000_000.0
REQUEST = httpx.Request("POST", "https://provider.test/v1")
ASKED = aiohttp.RequestInfo(URL("https://provider.test"), "POST", {}, URL("https://provider.test"))  # type: ignore[arg-type]


def of_httpx(status: int, **headers: str) -> httpx.HTTPStatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx.Response(status, headers=named, json={}, request=REQUEST)
    return httpx.HTTPStatusError("m", request=REQUEST, response=response)


def of_openai(status: int, code: str | None, kind: str = "x") -> Exception:
    client = openai.OpenAI(api_key="k", http_client=httpx.Client())
    body = {"error": {"message": "m", "type": kind, "code": code}}
    answer = httpx.Response(status, json=body, request=REQUEST)
    return client._make_status_error_from_response(answer)  # noqa: SLF001 - as the SDK makes it


def in_openai_stream(code: object, kind: str | None = None) -> Exception:
    return openai.APIError("m", REQUEST, body={"code": code, "type": kind, "message": "m"})


def of_anthropic(status: int, kind: str) -> Exception:
    client = anthropic.Anthropic(api_key="k", http_client=httpx.Client())
    body = {"type": "error", "error": {"type": kind, "message": "m"}}
    answer = httpx.Response(status, json=body, request=REQUEST)
    return client._make_status_error("m", body=body, response=answer)  # noqa: SLF001


def of_botocore(code: str, status: int, **more: Any) -> Exception:
    exceptions = pytest.importorskip("botocore.exceptions")
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": {"retry-after": "7"}}
    parsed = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": metadata, **more}
    return exceptions.ClientError(parsed, "Converse")


def in_bedrock_stream(code: str) -> Exception:
    exceptions = pytest.importorskip("botocore.exceptions")
    return exceptions.EventStreamError({"Error": {"Code": code, "Message": "m"}}, "ConverseStream")


def botocore(name: str, **kwargs: Any) -> Exception:
    exceptions = pytest.importorskip("botocore.exceptions")
    return getattr(exceptions, name)(**kwargs)


def genai(code: int | None, status: str) -> Exception:
    errors = pytest.importorskip("google.genai.errors")
    body = {"error": {"code": code, "status": status, "message": "m"}}
    return errors.APIError(code, body, None)


def ollama(status: int) -> Exception:
    return pytest.importorskip("ollama").ResponseError("m", status)


class StatusCode(enum.Enum):
    """As in grpc: the numbers are no HTTP statuses."""

    INVALID_ARGUMENT = (3, "invalid argument")
    RESOURCE_EXHAUSTED = (8, "resource exhausted")
    UNAVAILABLE = (14, "unavailable")
    UNAUTHENTICATED = (16, "unauthenticated")


class RpcError(Exception):
    """As in grpc: what is an attribute elsewhere is a method."""

    def __init__(self, code: StatusCode) -> None:
        super().__init__("m")
        self._code = code

    def code(self) -> StatusCode:
        return self._code

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("retry-after", "5"),)


def caused(outer: Exception, cause: BaseException) -> Exception:
    outer.__cause__ = cause
    return outer


def retried(error: Exception) -> Exception:
    attempt: tenacity.Future = tenacity.Future(1)
    attempt.set_exception(error)
    return tenacity.RetryError(attempt)


def half_a_body() -> Exception:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads('{"choices": [')
    return caught.value


TRANSIENT = {
    "openai rate": lambda: of_openai(429, "rate_limit_exceeded"),
    "openai conflict": lambda: of_openai(409, None),
    "openai connection": lambda: openai.APIConnectionError(request=REQUEST),
    "openai stream": lambda: in_openai_stream(None),
    "openai stream code": lambda: in_openai_stream("engine_overloaded_error"),
    "openai stream number": lambda: in_openai_stream(502),
    "openai stream digits": lambda: in_openai_stream("503"),
    "langchain event": lambda: ValueError("server_error: it broke"),
    "langchain response": lambda: ValueError("ResponseError(code='server_error', message='m')"),
    "langchain body": lambda: ValueError({"code": 429, "message": "m"}),
    "langchain object": lambda: ValueError(ResponseError(code="server_error", message="m")),
    "anthropic stream": lambda: of_anthropic(200, "overloaded_error"),
    "anthropic unknown": lambda: of_anthropic(200, "new_error"),
    "bedrock": lambda: of_botocore("ThrottlingException", 400),
    "bedrock model": lambda: of_botocore("ModelNotReadyException", 429),
    "aws": lambda: of_botocore("ProvisionedThroughputExceededException", 400),
    "aws timeout": lambda: of_botocore("RequestTimeout", 400),
    "bedrock stream": lambda: in_bedrock_stream("modelStreamErrorException"),
    "botocore read": lambda: botocore("ReadTimeoutError", endpoint_url="x"),
    "botocore connect": lambda: botocore("ConnectTimeoutError", endpoint_url="x"),
    "botocore endpoint": lambda: botocore("EndpointConnectionError", endpoint_url="x"),
    "botocore closed": lambda: botocore("ConnectionClosedError", endpoint_url="x"),
    "botocore stream": lambda: botocore("ResponseStreamingError", error="e"),
    "botocore half": lambda: botocore("IncompleteReadError", actual_bytes=1, expected_bytes=2),
    "genai": lambda: genai(503, "UNAVAILABLE"),
    "genai status": lambda: genai(None, "RESOURCE_EXHAUSTED"),
    "grpc": lambda: RpcError(StatusCode.UNAVAILABLE),
    "grpc quota": lambda: RpcError(StatusCode.RESOURCE_EXHAUSTED),
    "ollama": lambda: ollama(503),
    "ollama stream": lambda: ollama(-1),
    "httpx read": lambda: httpx.ReadError("m"),
    "httpx write": lambda: httpx.WriteError("m"),
    "httpx close": lambda: httpx.CloseError("m"),
    "httpx pool": lambda: httpx.PoolTimeout("m"),
    "httpx proxy": lambda: httpx.ProxyError("m"),
    "httpx remote": lambda: httpx.RemoteProtocolError("m"),
    "httpx local": lambda: httpx.LocalProtocolError("m"),
    "httpx body": lambda: httpx.DecodingError("m"),
    "httpx stream": lambda: httpx.StreamError("m"),
    "aiohttp status": lambda: aiohttp.ClientResponseError(ASKED, (), status=503),
    "aiohttp body": lambda: aiohttp.ClientPayloadError("m"),
    "aiohttp server": aiohttp.ServerDisconnectedError,
    "aiohttp page": lambda: aiohttp.ContentTypeError(ASKED, (), status=200),
    "requests chunk": lambda: requests.exceptions.ChunkedEncodingError("m"),
    "requests proxy": lambda: requests.exceptions.ProxyError("m"),
    "urllib3 protocol": lambda: urllib3.exceptions.ProtocolError("m"),
    "urllib3 half": lambda: urllib3.exceptions.IncompleteRead(1, 2),
    "urllib": lambda: urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "m")),
    "http half": lambda: http.client.IncompleteRead(b"x", 5),
    "anyio": anyio.EndOfStream,
    "ssl": lambda: ssl.SSLEOFError("m"),
    "dns": lambda: socket.gaierror(socket.EAI_AGAIN, "m"),
    "network": lambda: OSError(errno.ENETUNREACH, "m"),
    "host": lambda: OSError(errno.EHOSTUNREACH, "m"),
    "half a body": half_a_body,
    "wrapped": lambda: caused(ValueError("m"), of_httpx(503)),
    "first argument": lambda: ValueError(of_httpx(503)),
    "parser": lambda: caused(OutputParserException("m"), of_httpx(502)),
    "group": lambda: ExceptionGroup("m", [ValueError("m"), of_httpx(503)]),
    "tenacity": lambda: retried(openai.APITimeoutError(REQUEST)),
}
PERMANENT = {
    "openai key": lambda: of_openai(401, "invalid_api_key", "invalid_request_error"),
    "openai context": lambda: of_openai(400, "context_length_exceeded"),
    "openai filter": lambda: of_openai(400, "content_filter"),
    "openai stream filter": lambda: in_openai_stream("content_filter"),
    "openai stream context": lambda: in_openai_stream("context_length_exceeded"),
    "langchain event": lambda: ValueError("invalid_prompt: no"),
    "anthropic stream": lambda: of_anthropic(200, "invalid_request_error"),
    "bedrock": lambda: of_botocore("ValidationException", 400),
    "bedrock access": lambda: of_botocore("AccessDeniedException", 403),
    "aws token": lambda: of_botocore("ExpiredTokenException", 403),
    "bedrock stream": lambda: in_bedrock_stream("validationException"),
    "botocore keys": lambda: botocore("NoCredentialsError"),
    "botocore arguments": lambda: botocore("ParamValidationError", report="r"),
    "genai": lambda: genai(None, "INVALID_ARGUMENT"),
    "grpc": lambda: RpcError(StatusCode.INVALID_ARGUMENT),
    "grpc key": lambda: RpcError(StatusCode.UNAUTHENTICATED),
    "httpx scheme": lambda: httpx.UnsupportedProtocol("m"),
    "group": lambda: ExceptionGroup("m", [of_httpx(503), of_httpx(400)]),
    "tenacity": lambda: retried(of_openai(400, None)),
}
OUT_OF_MONEY = {
    "openai": lambda: of_openai(429, "insufficient_quota", "insufficient_quota"),
    "openai limit": lambda: of_openai(400, "billing_hard_limit_reached"),
    "openai stream": lambda: in_openai_stream("insufficient_quota"),
    "anthropic": lambda: of_anthropic(402, "billing_error"),
    "anthropic stream": lambda: of_anthropic(200, "billing_error"),
    "bedrock": lambda: of_botocore("ServiceQuotaExceededException", 400),
    "http": lambda: of_httpx(402),
}
UNKNOWN = {
    "value": lambda: ValueError("unknown: the row has no name"),
    "file": lambda: FileNotFoundError(errno.ENOENT, "m"),
    "disk": lambda: OSError(errno.ENOSPC, "m"),
    "group": lambda: ExceptionGroup("m", [ValueError("m"), KeyError("m")]),
    "coroutine": lambda: type("Odd", (Exception,), {"code": aiohttp.request})("m"),
    "parser": lambda: OutputParserException("m"),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_what_may_pass_is_asked_again_and_elsewhere(name: str) -> None:
    error = TRANSIENT[name]()
    assert read_failure(error, now=NOW).retryable
    assert not is_permanent(error)


@pytest.mark.parametrize("name", PERMANENT)
def test_what_cannot_pass_is_asked_nowhere_again(name: str) -> None:
    error = PERMANENT[name]()
    assert not read_failure(error, now=NOW).retryable
    assert is_permanent(error)


@pytest.mark.parametrize("name", OUT_OF_MONEY)
def test_a_used_up_account_is_asked_no_more_but_another_model_may_be(name: str) -> None:
    error = OUT_OF_MONEY[name]()
    failure = read_failure(error, now=NOW)
    assert (failure.retryable, failure.retry_after_s) == (True, None)
    assert is_permanent(error)
    assert http_status(error) == 402


@pytest.mark.parametrize("name", UNKNOWN)
def test_errors_of_the_callers_own_code_are_neither(name: str) -> None:
    error = UNKNOWN[name]()
    assert not read_failure(error, now=NOW).retryable
    assert not is_permanent(error)


def test_waits_of_grpc_and_of_members_of_a_group_are_read() -> None:
    assert retry_after(RpcError(StatusCode.UNAVAILABLE), now=NOW) == 5.0
    assert retry_after(ExceptionGroup("m", [of_httpx(503, retry_after="3")]), now=NOW) == 3.0


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (429, "rate_limit_exceeded", True),
        (429, "insufficient_quota", False),
        (400, "billing_hard_limit_reached", False),
        (None, "overloaded_error", True),
        (None, "invalid_request_error", False),
        (None, "never_seen", None),
        (200, None, None),
    ],
)
def test_a_line_of_a_batch_states_its_failure(
    status: int | None, code: str | None, verdict: bool | None
) -> None:
    assert may_pass(status, code) is verdict
