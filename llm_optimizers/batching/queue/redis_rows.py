"""How jobs lie on Redis: one hash a job, everything as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from llm_optimizers.batching.queue.codec import digest, load_json
from llm_optimizers.batching.queue.job import (
    PRIORITIES,
    Job,
    JobState,
    QueueStats,
    Times,
    check_priority,
)

__all__ = ["fields_of", "job_of", "job_or_dead", "stats_of"]


def fields_of(job: Job, payload: str, place: float) -> list[str]:
    """A new job's hash but for its state; always the same number of entries."""
    fields = {
        "queue": job.queue,
        "id": job.id,
        "payload": payload,
        "digest": digest(payload),
        "priority": job.priority,
        "tokens": str(job.tokens),
        "submitted_at": repr(job.submitted_at),
        "turn": repr(place),
        "attempts": "0",
        # A job without a deadline gets one that never comes.
        "expires_at": "inf" if job.expires_at is None else repr(job.expires_at),
    }
    return [text for field in fields.items() for text in field]


def job_of(flat: Sequence[str]) -> Job | None:
    """Read a hash; None if there is none. Raises ValueError when its text is damaged."""
    if not flat:
        return None
    fields = _pairs(flat)
    return Job(
        id=fields["id"],
        queue=fields["queue"],
        payload=load_json(fields["payload"]),
        submitted_at=float(fields["submitted_at"]),
        priority=check_priority(fields["priority"]),
        tokens=int(fields["tokens"]),
        expires_at=_time(fields, "expires_at"),
        state=cast("JobState", fields["state"]),
        attempts=int(fields["attempts"]),
        not_before=float(fields.get("not_before", 0)),
        started_at=_time(fields, "started_at"),
        finished_at=_time(fields, "finished_at"),
        result=load_json(fields["result"]) if "result" in fields else None,
        error=fields.get("error"),
        error_kind=fields.get("error_kind"),
    )


def job_or_dead(flat: Sequence[str]) -> Job | None:
    """Read a hash; a damaged one is shown as dead instead of failing others."""
    try:
        return job_of(flat)
    except ValueError:
        fields = _pairs(flat)
        return Job(
            id=fields["id"],
            queue=fields["queue"],
            payload=None,
            submitted_at=0.0,
            attempts=int(fields["attempts"]),
            finished_at=_time(fields, "finished_at"),
            state="dead",
            error="its stored text is not JSON",
            error_kind="PoisonedPayload",
        )


def stats_of(
    queue: str, counts: Sequence[str], oldest: str, latest: Sequence[str], now: float
) -> QueueStats:
    """Read the counters and the times of the jobs finished last."""
    numbers = {name: int(number) for name, number in _pairs(counts).items()}
    times = [[float(time) for time in line.split()] for line in latest]
    return QueueStats(
        queue=queue,
        waiting={priority: numbers.get(f"waiting:{priority}", 0) for priority in PRIORITIES},
        running=numbers.get("running", 0),
        done=numbers.get("done", 0),
        dead=numbers.get("dead", 0),
        expired=numbers.get("expired", 0),
        oldest_waiting_s=max(0.0, now - float(oldest)) if oldest else None,
        waited=Times.of([started - submitted for submitted, started, _ in times]),
        ran=Times.of([finished - started for _, started, finished in times]),
    )


def _pairs(flat: Sequence[str]) -> Mapping[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _time(fields: Mapping[str, str], name: str) -> float | None:
    value = float(fields.get(name, "inf"))
    return None if value == float("inf") else value
