"""`ProviderBatch`: thousands of requests at half price.

Everything is stored on disk before it is sent, so the process may end at any time: the next
`collect` finds what was sent, sends the rest, and sends missing requests again. Every request
appears once in the results and at most once in the ledger.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from llm_optimizers.arguments import function, number, optional, refuse, text, whole
from llm_optimizers.batching.provider.anthropic import AnthropicBatches
from llm_optimizers.batching.provider.client import BatchClient, BatchResult, BatchStatus
from llm_optimizers.batching.provider.journal import BatchJournal
from llm_optimizers.batching.provider.openai import OpenAIBatches
from llm_optimizers.batching.provider.prepared import PreparedRequest, RequestContext
from llm_optimizers.batching.provider.requests import estimate_tokens, read_batch, read_jsonl
from llm_optimizers.batching.provider.runner import BatchRunner
from llm_optimizers.connections.opening import database_path
from llm_optimizers.costs import CallRecord, Ledger, PriceBook, Usage
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.context import CallContext
from llm_optimizers.costs.ledger import checked_ledger
from llm_optimizers.costs.reports import Report
from llm_optimizers.costs.runs import Attribution
from llm_optimizers.effects import Plan, RunFunction, adrive, aperform, drive, perform
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.pickling import NotPickled
from llm_optimizers.types import ChatRequest, Clock

__all__ = ["ProviderBatch", "batch_client"]


class ProviderBatch(NotPickled):
    """Batches of one provider account.

    Args:
        client: an `openai.OpenAI`, an `anthropic.Anthropic` or a `BatchClient`; OpenAI's from
            the environment if not given.
        path: the journal, a SQLite file; keep it until the results are collected.
        ledger: records the answers, at batch price.
        max_enqueued_tokens: limit of estimated input tokens at the provider at a time.
        max_rounds: how often a request is sent if it expires or goes missing.
        poll_s: seconds between two checks while `collect` waits.
        count_tokens: counts the input tokens of a body; one per four bytes by default.
        clock: seconds since the epoch.
        sleep: waits some seconds.

    Raises:
        ConfigurationError: an argument is out of range or of another kind.
    """

    pickle_advice = "create one in each process, with the same path and a client of its own"

    def __init__(
        self,
        client: Any = None,
        *,
        path: str | os.PathLike[str],
        ledger: Ledger | None = None,
        max_enqueued_tokens: int | None = None,
        max_rounds: int = 3,
        poll_s: float = 30.0,
        count_tokens: Callable[[Mapping[str, Any]], int] = estimate_tokens,
        clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if database_path(path) is None:
            refuse("path", path, "the path of a file; what was sent must outlive this process")
        checked_ledger(ledger)
        self._poll_s = number("poll_s", poll_s, least=0)
        self._count_tokens = function("count_tokens", count_tokens)
        self._clock = function("clock", clock)
        self._sleep = function("sleep", sleep)
        optional(whole, "max_enqueued_tokens", max_enqueued_tokens, least=1)
        whole("max_rounds", max_rounds, least=1)
        self._client: BatchClient = batch_client(client)
        self._journal = BatchJournal(path)
        self._ledger = ledger
        self._prices = ledger.prices if ledger is not None else PriceBook()
        self._runner = BatchRunner(
            self._client,
            self._journal,
            max_enqueued_tokens=max_enqueued_tokens,
            max_rounds=max_rounds,
            clock=clock,
        )

    def submit(
        self,
        requests: Iterable[Mapping[str, Any] | ChatRequest | PreparedRequest]
        | str
        | os.PathLike[str],
        *,
        id: str | None = None,  # noqa: A002
    ) -> str:
        """Store the requests, send what may be sent, and return the batch's id.

        Takes bodies, `ChatRequest`s, lines of OpenAI's batch format, or a JSONL file of these; and
        `PreparedRequest`s. With an `id` it is safe to submit twice.

        Raises:
            ConfigurationError: some requests are invalid, which the message names; none was sent.
            StoreError: the journal failed; nothing was sent.
        """
        optional(text, "id", id)
        if isinstance(requests, str | os.PathLike):
            read = read_jsonl(requests, self._count_tokens)
        else:
            read = read_batch(requests, self._count_tokens)
        limits = self._client.limits
        for request in read:
            heavy = limits.max_tokens is not None and request.tokens > limits.max_tokens
            if request.size > limits.max_bytes or heavy:
                raise ConfigurationError(
                    f"request {request.id!r} is larger than a whole batch may be "
                    f"({request.size:,} bytes, about {request.tokens:,} tokens); shorten it"
                )
        job = id or f"batch-{uuid.uuid4().hex[:16]}"
        self._journal.add(job, self._client.provider, read, self._clock())
        self._runner.step(job)
        return job

    def status(self, id: str) -> BatchStatus:  # noqa: A002
        """Take one step and return the batch's progress.

        Raises:
            ConfigurationError: the journal has no such batch.
        """
        status = self._journal.status(id)
        if not status.finished:
            self._runner.step(id)
            status = self._journal.status(id)
        self._record_answers(id)
        return status

    def collect(
        self,
        id: str,  # noqa: A002
        *,
        timeout: float | None = None,
        progress: Callable[[BatchStatus], None] | None = None,
    ) -> list[BatchResult]:
        """Wait until every request has ended; returns their results in the order submitted.

        `progress` is called after every check. May be called repeatedly and from another process.

        Raises:
            TimeoutError: requests were pending after `timeout` seconds; the batch continues.
            ConfigurationError: the journal has no such batch.
        """
        return drive(self._collect_plan(*_checked(id, timeout, progress)), perform)

    def results(self, id: str) -> Iterator[BatchResult]:  # noqa: A002
        """Iterate over the results known so far, without asking the provider."""
        for row in self._journal.results(id):
            yield self._result(id, row)

    def hand_over(self, id: str) -> bool:  # noqa: A002
        """Return whether this is the first time that the answers are handed over.

        For what must happen once with them, however often they are collected.

        Raises:
            ConfigurationError: the journal has no such batch.
        """
        return self._journal.hand_over(id)

    def cancel(self, id: str) -> BatchStatus:  # noqa: A002
        """Send no more requests and cancel at the provider; `collect` returns what was done."""
        self._runner.cancel(id)
        return self.status(id)

    def jobs(self) -> list[str]:
        """Return the ids of all batches in the journal, newest first."""
        return self._journal.jobs()

    def forget(self, id: str) -> None:  # noqa: A002
        """Delete a batch with its requests and answers from the journal."""
        self._journal.forget(id)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    async def asubmit(
        self,
        requests: Iterable[Mapping[str, Any] | ChatRequest | PreparedRequest]
        | str
        | os.PathLike[str],
        *,
        id: str | None = None,  # noqa: A002
    ) -> str:
        """`submit` without blocking the event loop."""
        return await asyncio.to_thread(self.submit, requests, id=id)

    async def astatus(self, id: str) -> BatchStatus:  # noqa: A002
        """`status` without blocking the event loop."""
        return await asyncio.to_thread(self.status, id)

    async def acollect(
        self,
        id: str,  # noqa: A002
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the batch continues after it
        progress: Callable[[BatchStatus], None] | None = None,
    ) -> list[BatchResult]:
        """`collect` without blocking the event loop; cancelling it does not cancel the batch."""
        return await adrive(self._collect_plan(*_checked(id, timeout, progress)), aperform)

    async def acancel(self, id: str) -> BatchStatus:  # noqa: A002
        """`cancel` without blocking the event loop."""
        return await asyncio.to_thread(self.cancel, id)

    def _collect_plan(
        self, job: str, timeout: float | None, progress: Callable[[BatchStatus], None] | None
    ) -> Plan[list[BatchResult]]:
        deadline = None if timeout is None else self._clock() + timeout
        pause = RunFunction(lambda: self._sleep(self._poll_s), lambda: asyncio.sleep(self._poll_s))
        while True:
            status = yield from RunFunction(lambda: self.status(job))
            if progress is not None:
                progress(status)
            if status.finished:
                return (yield from RunFunction(lambda: list(self.results(job))))
            if deadline is not None and self._clock() + self._poll_s > deadline:
                raise TimeoutError(f"{status.pending} requests of {job} are pending; collect later")
            yield from pause

    def _record_answers(self, job: str) -> None:
        """Record new answers in the ledger, which ignores those it already has.

        They are marked once they are written, so that a process killed in between loses none.
        """
        if self._ledger is None:
            return
        rows = self._journal.unrecorded(job)
        if not rows:
            return
        try:
            self._ledger.flush()  # those of the last time may still wait
            for row in rows:
                self._ledger.record(self._record(job, row))
            self._ledger.flush()
        except StoreError:
            return  # the next time
        self._journal.mark_recorded(job, [row["position"] for row in rows])

    def _record(self, job: str, row: sqlite3.Row) -> CallRecord:
        context, usage = RequestContext.load(row["context"]), Usage(**json.loads(row["usage"]))
        reported = Report().add(json.loads(row["answer"])).reported()
        call = Call(
            id=f"{job}:{row['position']}",
            time=datetime.fromtimestamp(row["ended_at"], UTC),
            asked=row["model"],
            answered=reported.model,
            provider=self._client.provider,
            reported=None if usage == Usage() else usage,
            tier="batch",
            context=CallContext(
                baseline_model=context.baseline_model,
                baseline_provider=context.baseline_provider,
                removed=context.removed,
            ),
            attribution=Attribution(tags={**context.tags, "batch": job}),
            suspicious=reported.suspicious,
            billed=reported.cost,
            kind="embedding" if row["endpoint"].endswith("/embeddings") else "answer",
        )
        return call.record(self._prices)

    def _result(self, job: str, row: sqlite3.Row) -> BatchResult:
        note = RequestContext.load(row["context"]).note
        if row["state"] != "answered":
            return BatchResult(
                id=row["id"],
                note=note,
                state=row["state"] if row["state"] in ("failed", "cancelled") else "pending",
                error=row["error"],
                error_kind=row["error_kind"],
            )
        record = self._record(job, row)
        return BatchResult(
            id=row["id"],
            state="answered",
            body=json.loads(row["answer"]),
            usage=record.usage,
            cost=record.cost if row["shard"] is not None else Decimal(0),
            note=note,
        )


def _checked(
    job: str, timeout: float | None, progress: Callable[[BatchStatus], None] | None
) -> tuple[str, float | None, Callable[[BatchStatus], None] | None]:
    """Check what `collect` takes."""
    text("id", job)
    optional(number, "timeout", timeout, least=0)
    return job, timeout, optional(function, "progress", progress)


def batch_client(client: Any) -> BatchClient:
    """Wrap an SDK's client, recognised by its attributes; a `BatchClient` is returned unchanged.

    Raises:
        ConfigurationError: the client is not supported; the message says what is.
    """
    if client is None:
        return OpenAIBatches()
    if isinstance(client, BatchClient) and not isinstance(client, type):
        return client
    if hasattr(client, "files") and hasattr(client, "batches"):
        return OpenAIBatches(client)
    batches = getattr(getattr(client, "messages", None), "batches", None)
    if batches is not None:
        return AnthropicBatches(batches)
    give = "an openai.OpenAI, an anthropic.Anthropic or another BatchClient"
    return refuse("client", client, give)
