"""One caller's handle of a combined call: its answer, and its outcome for the ledger.

A call has one outcome, by whichever comes first: its answer, its error, or its caller leaving
before it was sent. If the caller leaves while the call is in flight, the call continues; the
outcome is reported when the answer comes, with the share of the bill and the status that the
caller saw.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from llm_optimizers.batching.coalescing import SharedCall
from llm_optimizers.batching.combining.ask import Question, QuestionOutcome, SharedAnswer
from llm_optimizers.costs import Usage
from llm_optimizers.costs.call import status_of
from llm_optimizers.failures import FailOpen
from llm_optimizers.forks import ProcessLock

__all__ = ["CombinedCall"]


class CombinedCall:
    """One caller's handle of a combined call, with the methods of `SharedCall`.

    `join` creates the shared call of a question. The question's `caller` is returned in its
    `QuestionOutcome`.
    """

    def __init__(
        self,
        question: Question,
        *,
        join: Callable[[Question], SharedCall[Question, SharedAnswer]],
        observe: Callable[[QuestionOutcome], None] | None = None,
    ) -> None:
        self._caller = question.caller
        self._request = question.request
        self._shared = join(replace(question, caller=self))
        self._started: datetime | None = None
        self._clock = 0.0
        self._left: BaseException | None = None
        self._latency_s: float | None = None
        self._outcome: QuestionOutcome | None = None
        self._waiting = [] if observe is None else [observe]
        self._lock = ProcessLock()

    def submit(self) -> Future[SharedAnswer]:
        """Join a group now; see `Coalescer.submit`."""
        self._start()
        try:
            return self._shared.submit()
        except BaseException as error:
            self._leave(error)
            raise

    def cancel(self) -> None:
        """Leave the group if its call has not started."""
        self._shared.cancel()
        if self._started is not None:
            self._leave(asyncio.CancelledError())

    def result(self) -> SharedAnswer:
        """Wait for the answer in this thread; raises what `Coalescer.call` raises."""
        self._start()
        try:
            return self._shared.result()
        except BaseException as error:
            self._leave(error)
            raise

    async def aresult(self) -> SharedAnswer:
        """Wait for the answer in the event loop; raises what `Coalescer.call` raises."""
        self._start()
        try:
            return await self._shared.aresult()
        except BaseException as error:
            self._leave(error)
            raise

    def when_done(self, callback: Callable[[QuestionOutcome], None]) -> None:
        """Pass the outcome to `callback` once it is known, in the thread that learns of it."""
        with self._lock:
            outcome = self._outcome
            if outcome is None:
                self._waiting.append(callback)
                return
        callback(outcome)

    def finish(self, found: QuestionOutcome) -> None:
        """Set the outcome and report it; a caller that has left keeps the status it saw."""
        with self._lock:
            if self._outcome is not None:
                return
            outcome = self._outcome = self._seen(found)
            waiting, self._waiting = self._waiting, []
        for callback in waiting:
            with FailOpen(__name__, "a share of a combined call is missing from the ledger"):
                callback(outcome)

    def _start(self) -> None:
        if self._started is None:
            self._started, self._clock = datetime.now(UTC), time.perf_counter()

    def _leave(self, error: BaseException) -> None:
        """Keep the error that the caller saw; finish, unless the call continues without it."""
        with self._lock:
            if self._outcome is not None:
                return
            self._left, self._latency_s = error, self._waited()
        if self._shared.in_flight:
            # The answer finishes it; without one, the end of the call does.
            self._shared.when_done(lambda _: self._end(error))
        else:
            self._end(error)

    def _end(self, error: BaseException) -> None:
        self.finish(QuestionOutcome(request=self._request, usage=Usage(), error=error, caller=self))

    def _seen(self, found: QuestionOutcome) -> QuestionOutcome:
        """Return the outcome with what the caller saw."""
        latency_s = self._waited() if self._latency_s is None else self._latency_s
        known: dict[str, Any] = {
            "caller": self._caller,
            "started": self._started,
            "latency_s": latency_s,
        }
        if self._left is not None:
            known |= {"error": self._left, "status": status_of(self._left)}
        return replace(found, **known)

    def _waited(self) -> float | None:
        return None if self._started is None else time.perf_counter() - self._clock
