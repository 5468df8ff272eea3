"""What of a failed call is billed: nothing, what was sent and came, or a whole answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from llm_optimizers.costs.answers import Reported
from llm_optimizers.costs.call import status_of
from llm_optimizers.costs.records import Progress, Status
from llm_optimizers.costs.reports import Report

__all__ = ["Failure"]

_BEFORE_SENDING = ("ConnectTimeout", "ConnectionTimeout", "ConnectTimeoutError", "PoolTimeout")
"""Classes of httpx, aiohttp, urllib3 and botocore: there was no connection to send on."""
_AFTER_SENDING = ("ReadTimeout", "ReadTimeoutError", "APITimeoutError", "SocketTimeoutError")
"""The same libraries' errors, and that of the OpenAI and Anthropic SDKs, which have a cause."""
_MOST_CAUSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a call failed; `reported` is what the provider said in an answer that the error holds.

    `error` is the class's name, never its text, which may quote the prompt.
    """

    status: Status = "error"
    error: str | None = None
    progress: Progress = "unsent"
    reported: Reported = field(default_factory=Reported)

    @classmethod
    def of(cls, error: BaseException | None, *, received: bool) -> Failure:
        """Read an error; `received` says whether part of an answer came before it."""
        answer = _answer_in(error)
        progress: Progress = "sent" if received or _is_unanswered(error) else "unsent"
        return cls(
            status=status_of(error),
            error=None if error is None else type(error).__name__,
            progress=progress if answer is None else "answered",
            reported=Reported() if answer is None else Report().add(answer).reported(),
        )


def _is_unanswered(error: BaseException | None) -> bool:
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


def _answer_in(error: BaseException | None) -> Mapping[str, Any] | None:
    """Return the provider's whole answer that the client refused, None if there is none.

    OpenAI's SDK parses structured output: an answer that was cut off or does not fit its class is
    raised as an error, which has the `completion`, or (of langchain-openai) the HTTP `response`.
    An error in the midst of a stream may have a response too, but that is no JSON.
    """
    completion = getattr(error, "completion", None)
    if isinstance(completion, BaseModel):
        return completion.model_dump(warnings=False)
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if not isinstance(status, int) or not 200 <= status < 300:
        return None
    try:
        body = response.json()  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001 - any client's response, which may be closed or no JSON
        return None
    return body if isinstance(body, Mapping) and not body.get("error") else None
