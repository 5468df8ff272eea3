"""What an error's class says where it has no status and no code; read by name, in no SDK."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import ssl

from llm_optimizers.errors import ConfigurationError, RefusedError

__all__ = ["is_transient_class"]

_TRANSIENT = frozenset(
    {
        # OpenAI, Anthropic, google.genai; a bare `APIError` is one inside a stream
        *("APIConnectionError", "APITimeoutError", "InternalServerError", "OverloadedError"),
        *("RateLimitError", "ServiceUnavailableError", "APIError", "UnknownApiResponseError"),
        # httpx, httpx2, httpcore, h11; `TransportError` covers broken proxies too
        *("NetworkError", "TransportError", "TimeoutException", "ProtocolError", "ProxyError"),
        *("ConnectError", "ReadTimeout", "RemoteProtocolError", "DecodingError", "StreamError"),
        # urllib3, requests, aiohttp, botocore, websockets, anyio
        *("ConnectionError", "Timeout", "TimeoutError", "ClientConnectionError", "HTTPClientError"),
        *("MaxRetryError", "IncompleteRead", "DecodeError", "SSLError", "ChunkedEncodingError"),
        *("ContentDecodingError", "ClientPayloadError", "ContentTypeError", "IncompleteReadError"),
        *("ChecksumMismatch", "ConnectionClosed", "EndOfStream", "BrokenResourceError"),
        *("ClosedResourceError", "ConnectTimeoutError", "ReadTimeoutError"),
        *("ConnectionClosedError", "EndpointConnectionError", "ClientConnectorError"),
        "ServerDisconnectedError",
    }
)
# Refused here before anything was sent, or for what the request says, whatever their status.
_PERMANENT = frozenset(
    {
        *("ContextOverflowError", "NoCredentialsError", "PartialCredentialsError"),
        # OpenAI, LiteLLM
        *("ContentFilterFinishReasonError", "ContextWindowExceededError"),
        "ContentPolicyViolationError",
        *("NoRegionError", "ParamValidationError", "AuthenticationError", "UnsupportedProtocol"),
        *("InvalidURL", "InvalidSchema", "MissingSchema", "LocationValueError"),
    }
)
# Also transient: a stream of Ollama that broke. Other packages have a class of this name.
_OF_A_PACKAGE = frozenset({"ollama.ResponseError"})
_NETWORK = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN"),
        *("ENETRESET", "ENETUNREACH", "ENOTCONN", "EPIPE", "ESHUTDOWN", "ETIMEDOUT"),
        "EADDRNOTAVAIL",
    )
    if hasattr(errno, name)
)
# A body that is no JSON was cut off on its way, or written by a gateway.
_TRANSIENT_TYPES = (
    *(TimeoutError, ConnectionError, ssl.SSLError, socket.gaierror, socket.herror),
    *(http.client.IncompleteRead, http.client.BadStatusLine, json.JSONDecodeError),
)


def is_transient_class(error: BaseException) -> bool | None:
    """Whether errors of this class may pass; None if the class says nothing."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if not _PERMANENT.isdisjoint(names):
        return False
    if isinstance(error, _TRANSIENT_TYPES):
        return True
    if isinstance(error, OSError) and error.errno in _NETWORK:
        return True
    if isinstance(error, ConfigurationError | RefusedError):
        return False
    if not _TRANSIENT.isdisjoint(names):
        return True
    package = type(error).__module__.partition(".")[0]
    return True if f"{package}.{type(error).__name__}" in _OF_A_PACKAGE else None
