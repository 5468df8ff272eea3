"""How long a server asks to wait before the next request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from llm_optimizers.failures.attributes import attribute, chain, headers_of

__all__ = ["retry_after"]

_LONGEST_S = 7 * 86_400.0  # a longer wait must be a mistake and is ignored
_DEEPEST = 5
_DURATION = re.compile(
    r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII
)
_RESET = re.compile(r"x-ratelimit-reset-[\w-]+|anthropic-ratelimit-[\w-]+-reset")


def retry_after(error: BaseException, *, now: float) -> float | None:
    """Return the seconds that the server asks to wait, None if it does not say.

    The first that an error or one of its causes states, of these:
    the attribute `retry_after`; the header `retry-after-ms` (also Azure's and gRPC's);
    `Retry-After` in seconds, as a date (RFC 9110, 10.2.3) or a duration ("3s"); Google's
    `RetryInfo` (https://cloud.google.com/apis/design/errors); the time until the exhausted rate
    limits are reset, in OpenAI's or Anthropic's headers.

    `now` is in seconds since the epoch. A value that cannot be read is ignored.
    """
    for each in chain(error):
        for seconds in _stated(each, now):
            if _usable(seconds):
                return seconds
    return None


def _stated(error: BaseException, now: float) -> Iterator[float]:
    headers = headers_of(error)
    yield from _number(attribute(error, "retry_after"))
    for name in ("retry-after-ms", "x-ms-retry-after-ms", "grpc-retry-pushback-ms"):
        yield from _number(headers.get(name), 0.001)
    yield from _number(headers.get("retry-after"))
    yield from _duration(headers.get("retry-after"))
    yield from _until(headers.get("retry-after"), now, parsedate_to_datetime)
    for name in ("details", "error_details", "body"):
        yield from _retry_info(attribute(error, name))
    yield from _resets(headers, now)


def _usable(seconds: float) -> bool:
    return 0.0 <= seconds <= _LONGEST_S


def _number(value: object, unit: float = 1.0) -> Iterator[float]:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            yield float(value) * unit
        except (ValueError, OverflowError):
            return


def _until(text: str | None, now: float, parse: Callable[[str], datetime]) -> Iterator[float]:
    """Yield the seconds from now until a date, 0 for a past one."""
    try:
        when = parse(text or "")
        aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        seconds = (aware - datetime.fromtimestamp(now, UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return
    yield max(seconds, 0.0)


def _duration(text: object) -> Iterator[float]:
    """Yield the seconds of a duration such as "6m0s", "58.93s" or "12ms"."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) and text else None
    if match is not None:
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
        yield 3_600 * hours + 60 * minutes + seconds + milliseconds / 1_000


def _retry_info(details: object, depth: int = _DEEPEST) -> Iterator[float]:
    """Yield the delays of every `RetryInfo` in an error's details (JSON or google.rpc messages)."""
    if depth == 0:
        return
    if isinstance(details, Mapping):
        yield from _duration(attribute(details, "retryDelay"))
        for name in ("error", "details"):
            yield from _retry_info(attribute(details, name), depth - 1)
    elif isinstance(details, list | tuple):
        for each in details:
            yield from _retry_info(each, depth - 1)
    else:
        delay = attribute(details, "retry_delay")
        for seconds in _number(attribute(delay, "seconds")):
            yield from (seconds + nanos for nanos in _number(attribute(delay, "nanos") or 0, 1e-9))


def _resets(headers: Mapping[str, str], now: float) -> Iterator[float]:
    """Yield the time until all exhausted limits are reset: seconds, a duration or a date.

    https://platform.openai.com/docs/guides/rate-limits (x-ratelimit-reset-requests: 6m0s)
    https://docs.anthropic.com/en/api/rate-limits (anthropic-ratelimit-requests-reset: RFC 3339)
    """
    waits = [
        seconds
        for name, text in headers.items()
        if _RESET.fullmatch(name) and headers.get(name.replace("reset", "remaining")) == "0"
        for seconds in (
            *_duration(text),
            *_number(text),
            *_until(text, now, datetime.fromisoformat),
        )
        if _usable(seconds)
    ]
    yield from [max(waits)] if waits else []
