"""What an error means: ask again, ask another model, or go on without a saving.

Providers' clients are recognised by what their errors carry (`status_code`, a response with
headers), as openai, anthropic and httpx have them, so that none of them need be installed.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType

from llm_optimizers.errors import ConfigurationError, RefusedError

__all__ = ["FailOpen", "Failure", "WarningLog", "is_permanent", "read_failure", "retry_after"]

_PERMANENT_STATUS = frozenset({400, 401, 403, 404, 405, 410, 413, 422})
_RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_RETRYABLE_NAMES = (
    "APIConnectionError",
    "APITimeoutError",
    "ConnectError",
    "InternalServerError",
    "OverloadedError",
    "RateLimitError",
    "ReadTimeout",
    "RemoteProtocolError",
    "ServiceUnavailableError",
    "TimeoutException",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Whether another model may be tried, and how long (seconds) the provider asks to wait."""

    name: str
    retryable: bool
    retry_after_s: float | None = None


def read_failure(error: BaseException, *, now: float) -> Failure:
    """Judge an error by its status, its class and its `Retry-After`.

    Rate limits, server errors, timeouts and broken connections may be retried elsewhere. A bad
    request or a bad key would fail anywhere else too, or should be mended rather than hidden.
    """
    status = _status(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    if status is not None:
        retryable = status in _RETRYABLE_STATUS
    else:
        retryable = isinstance(error, TimeoutError | ConnectionError) or bool(
            names.intersection(_RETRYABLE_NAMES)
        )
    return Failure(
        name=type(error).__name__,
        retryable=retryable,
        retry_after_s=retry_after(error, now=now) if retryable else None,
    )


def is_permanent(error: BaseException) -> bool:
    """Whether asking again cannot help: a refused request, a wrong key, a wrong setting."""
    status = _status(error)
    if status is not None:
        return status in _PERMANENT_STATUS
    return isinstance(error, ConfigurationError | RefusedError)


def retry_after(error: BaseException, *, now: float) -> float | None:
    """Seconds the server asks to wait, None if it does not say.

    From the error's `retry_after`, or its response's `retry-after-ms` or `Retry-After`: a number
    or a date (RFC 9110, 10.2.3).
    """
    own = getattr(error, "retry_after", None)
    if isinstance(own, int | float) and math.isfinite(own):
        return max(0.0, float(own))
    headers = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return None
    lowered = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(lowered[name]) * unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    try:
        when = parsedate_to_datetime(lowered["retry-after"])
    except (KeyError, ValueError):
        return None
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max((aware - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0)


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error carries: openai's, httpx's, or Google's `code`."""
    response = getattr(error, "response", None)
    for status in (
        getattr(error, "status_code", None),
        getattr(response, "status_code", None),
        getattr(error, "code", None),
    ):
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None


class FailOpen:
    """A block whose errors are logged instead of raised, so that the user still gets an answer.

    The warning gives the `consequence` and the error's class, but not its message, which may
    contain a prompt. Cancellation is not caught.
    """

    def __init__(self, log: logging.Logger, consequence: str) -> None:
        self._log = log
        self._consequence = consequence

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if kind is None or not isinstance(error, Exception):
            return False
        self._log.warning("%s (%s).", self._consequence, kind.__name__)
        return True


class WarningLog:
    """Logs each warning text once, so that a repeated failure does not fill the log.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._lock = threading.Lock()

    def warn_once(self, log: logging.Logger, text: str) -> None:
        """Log a warning unless the same text was logged before."""
        with self._lock:
            if text in self._logged:
                return
            self._logged.add(text)
        log.warning("%s", text)
