"""Jobs as a store holds them, which is not trusted.

Fields are parsed as JSON and numbers and checked, never unpickled or evaluated. A job that cannot
be read becomes a dead letter with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_optimizers.arguments import refuse
from llm_optimizers.batching.queue.job import Job, digest, load_json
from llm_optimizers.costs.records import JSON
from llm_optimizers.errors import ConfigurationError

__all__ = ["DAMAGED", "DamagedJobError", "read_job", "read_job_or_dead"]

DAMAGED = ("DamagedJob", "PoisonedPayload")
"""The kinds of dead letters that nobody can do; their keys may be submitted again."""


class DamagedJobError(ValueError):
    """The stored fields of a job cannot be used; `kind` is the kind of its dead letter."""

    def __init__(self, reason: str, kind: str = "DamagedJob") -> None:
        super().__init__(
            f"its stored data are damaged: {reason}" if kind == "DamagedJob" else reason
        )
        self.kind = kind


def read_job(fields: Mapping[str, Any]) -> Job:
    """Return the job that a store holds as these fields, typed (SQLite) or all text (Redis).

    Raises:
        DamagedJobError: they are not those of a job; the message says why.
    """
    try:
        read, result = _Fields(fields), fields.get("result")
        over = fields["state"] in ("done", "expired")  # such a job has no payload any more
        # Every finished job has how it ended; one without it was not ended by a worker.
        needed = {"done": "result", "dead": "error_kind"}.get(fields["state"])
        if needed is not None and fields.get(needed) is None:
            raise DamagedJobError(f"its state is {fields['state']!r} and it has no `{needed}`")
        return Job(
            id=fields["id"],
            queue=fields["queue"],
            payload=None if over else _payload(fields),
            submitted_at=read.moment("submitted_at") or 0.0,
            priority=fields["priority"],
            tokens=read.count("tokens"),
            expires_at=read.moment("expires_at"),
            state=fields["state"],
            attempts=read.count("attempts"),
            not_before=read.moment("not_before") or 0.0,
            started_at=read.moment("started_at"),
            finished_at=read.moment("finished_at"),
            result=None if result is None else _stored_json("result", result),
            error=_stored_text(fields.get("error")),
            error_kind=_stored_text(fields.get("error_kind")),
        )
    except LookupError as error:
        raise DamagedJobError(f"it has no {error}") from error
    except ConfigurationError as error:
        raise DamagedJobError(str(error)) from error


def read_job_or_dead(fields: Mapping[str, Any]) -> Job:
    """Return the job, or a dead one in place of a damaged one, so that lists can be read."""
    try:
        return read_job(fields)
    except DamagedJobError as error:
        read = _Fields(fields)
        dead = fields.get("state") == "dead"
        return Job(
            id=_stored_text(fields.get("id")) or "unknown",
            queue=_stored_text(fields.get("queue")) or "unknown",
            payload=None,
            submitted_at=read.finite("submitted_at") or 0.0,
            attempts=max(0, int(read.finite("attempts") or 0)),
            finished_at=read.finite("finished_at"),
            state="dead",
            error=(dead and _stored_text(fields.get("error"))) or str(error),
            error_kind=(dead and _stored_text(fields.get("error_kind"))) or error.kind,
        )


@dataclass(frozen=True, slots=True)
class _Fields:
    """The numbers among a job's stored fields, which are numbers or their text."""

    fields: Mapping[str, Any]

    def moment(self, name: str) -> float | None:
        """Return a time, None if there is none (on Redis: "inf")."""
        value = self.fields.get(name)
        if value is None or value == "inf":
            return None
        if type(value) is float and math.isfinite(value):  # as this package writes it
            return value
        found = self.finite(name)
        return found if found is not None else refuse(name, value, "a time in seconds")

    def count(self, name: str) -> int:
        """Return a whole number."""
        value = self.fields[name]
        if type(value) is int:
            return value
        found = self.finite(name)
        if found is None or not found.is_integer():
            refuse(name, value, "a whole number")
        return int(value) if isinstance(value, str | int) else int(found)

    def finite(self, name: str) -> float | None:
        """Return a finite number, None for anything else."""
        value: Any = self.fields.get(name)
        try:
            return float(value) if math.isfinite(float(value)) else None
        except (TypeError, ValueError, OverflowError):
            return None


def _payload(fields: Mapping[str, Any]) -> JSON:
    text = fields["payload"]
    payload = _stored_json("payload", text)
    if fields["state"] != "dead" and fields.get("digest", "") not in ("", digest(text)):
        raise DamagedJobError("its payload is not the one that was submitted")
    return payload


def _stored_json(name: str, value: Any) -> JSON:
    try:
        return load_json(value)
    except (TypeError, ValueError) as error:
        raise DamagedJobError(f"its stored {name} is not JSON", "PoisonedPayload") from error


def _stored_text(value: Any) -> str | None:
    """Return a text; one whose bytes are not UTF-8 is shown with marks in their place."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return None if value is None else str(value)
