"""What becomes of a job whose attempt failed: again later, or dead. Pure but for the dice given."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from llm_optimizers.batching.queue.job import Job, Settlement
from llm_optimizers.errors import ConfigurationError, RefusedError

__all__ = ["RetryPolicy", "after_failure", "is_permanent", "retry_after"]

_PERMANENT = frozenset({400, 401, 403, 404, 405, 410, 413, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """At most `max_attempts` starts; the nth wait is `base` · 2ⁿ⁻¹ seconds, at most `cap`.

    A quarter of each wait is left to chance, so that jobs that failed together do not come back
    together. A server's Retry-After wins where it is longer.
    """

    max_attempts: int = 5
    base: float = 1.0
    cap: float = 60.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.base < 0 or self.cap < 0:
            raise ConfigurationError("give max_attempts of 1 or more, base and cap of 0 s or more")


def after_failure(
    job: Job, error: Exception, policy: RetryPolicy, *, now: float, rng: random.Random
) -> Settlement:
    """Decide on a failed attempt; the text of the error is kept with the job, never logged."""
    # Half a surrogate pair cannot be stored.
    text = str(error)[:2_000].encode(errors="replace").decode()
    kind = type(error).__name__
    if is_permanent(error) or job.attempts >= policy.max_attempts:
        return Settlement(state="dead", error=text, error_kind=kind)
    wait = min(policy.cap, policy.base * 2 ** (job.attempts - 1)) * (1 - rng.random() / 4)
    asked = retry_after(error, now=now)
    return Settlement(
        state="waiting",
        error=text,
        error_kind=kind,
        not_before=now + max(wait, asked or 0.0),
    )


def is_permanent(error: Exception) -> bool:
    """Whether asking again cannot help: a refused request, a wrong key, a wrong setting."""
    status = getattr(error, "status_code", None)
    if status is not None:
        return status in _PERMANENT
    return isinstance(error, ConfigurationError | RefusedError)


def retry_after(error: Exception, *, now: float) -> float | None:
    """Seconds the server asked to wait, from `retry_after` or the response's headers, else None.

    Reads `retry-after-ms`, and `retry-after` as seconds or as a date (RFC 9110, 10.2.3).
    """
    own = getattr(error, "retry_after", None)
    if isinstance(own, int | float):
        return max(0.0, float(own))
    headers = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return None
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1_000)
        if (asked := headers.get("retry-after")) is None:
            return None
        return max(0.0, float(asked) if _is_number(asked) else _until(asked).timestamp() - now)
    except (TypeError, ValueError):
        return None


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()


def _until(text: str) -> datetime:
    return parsedate_to_datetime(text)
