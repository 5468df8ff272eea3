"""Whether a failed call was sent, so that the provider bills an answer that nobody waited for."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["is_unanswered"]

_BEFORE_SENDING = ("ConnectTimeout", "ConnectionTimeout", "ConnectTimeoutError", "PoolTimeout")
"""Classes of httpx, aiohttp, urllib3 and botocore: there was no connection to send on."""
_AFTER_SENDING = ("ReadTimeout", "ReadTimeoutError", "APITimeoutError", "SocketTimeoutError")
"""The same libraries' errors, and that of the OpenAI and Anthropic SDKs, which have a cause."""
_MOST_CAUSES = 10


def is_unanswered(error: BaseException | None) -> bool:
    """Whether a client stopped waiting for the answer to a call that it had sent."""
    found = list(_with_causes(error))
    names = {kind.__name__ for each in found for kind in type(each).__mro__}
    if names.intersection(_BEFORE_SENDING):
        return False
    # The system's own timeouts, of a connection, have an error number.
    waited = any(isinstance(each, TimeoutError) and each.errno is None for each in found)
    return waited or not names.isdisjoint(_AFTER_SENDING)


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
