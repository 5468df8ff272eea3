"""`CostCallbackHandler`: records every model run of a LangChain app in a ledger, once."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from langchain_llm_optimizers.account import (
    SHARED_CALLS,
    RunInfo,
    call_of_run,
    call_of_share,
    count_run,
    first_generations,
    hit_mark,
)
from langchain_llm_optimizers.counting import own_counter
from langchain_llm_optimizers.hits import SERVED_RUNS
from langchain_llm_optimizers.received import Received
from langchain_llm_optimizers.run_tree import attribution_of, follow_runs
from langchain_llm_optimizers.running import when_running
from langchain_llm_optimizers.usage import reported_by_result
from llm_optimizers.arguments import with_methods
from llm_optimizers.costs import Ledger, Summary, Usage
from llm_optimizers.costs.answers import Reported
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.context import context_of
from llm_optimizers.costs.failed import Failure
from llm_optimizers.costs.ledger import checked_ledger
from llm_optimizers.costs.open_calls import OpenCalls
from llm_optimizers.costs.run_costs import CostsByRun
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.warming import WarmsUp, warm_up_all

if TYPE_CHECKING:
    from llm_optimizers.batching.combining import QuestionOutcome
    from llm_optimizers.prompts import TokenCounter

__all__ = ["CostCallbackHandler"]

_RUN_OF_ANSWER = re.compile(r"(?:lc_)?run-+([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_REMEMBERED = 4_096
_BATCHES = 64
_COMPLETION = "completion of a text"


@dataclass(slots=True)
class _Run:
    """An open run; LangChain's id of it is the `key`.

    `served` is the answer of a cache hit, whose cost is zero also if nobody waits for all of it.
    `nested` says whether another run was made inside, `sent` is False for a call that was cancelled
    before it was sent. `received` is what came of the answer so far, `prompts` the number of
    prompts that were sent with this run's.
    """

    key: str
    info: RunInfo
    clock: float
    served: Sequence[Generation] = ()
    nested: bool = False
    sent: bool = True
    received: Received = field(default_factory=Received)
    prompts: int = 1


class CostCallbackHandler(CostsByRun, WarmsUp, PickledAsArguments, BaseCallbackHandler):
    """Records what a LangChain app spends and saves.

    Example:
        ```python
        costs = CostCallbackHandler(Ledger("costs.sqlite"))
        chain.invoke(question, config={"callbacks": [costs], "metadata": {"user": "u17"}})
        print(costs.ledger.summary())
        ```

    A cache hit counts as a saving, never as spend. A model that wraps another counts once. Failed
    runs and abandoned streams are recorded with that status, and with the cost of what was sent and
    came. If a stream reports no usage, its tokens are counted here, and its record and the hits of
    its answer are marked as estimated (with OpenAI, set `stream_usage=True`). A record keeps the
    run's metadata and tags, but no text; `user`, `session` and the like under one name each (see
    `attributed`), and the root's id as `run`. One handler can be shared by any number of threads
    and event loops.

    A call that is given up is recorded as abandoned with an estimated cost: at once if it is
    cancelled, and at the latest before the ledger is read or closed, or when the process ends.
    """

    run_inline = True
    """LangChain then calls it in the task that makes the call, whose coroutine it follows."""

    def __init__(
        self, ledger: Ledger | None = None, *, counter: TokenCounter | None = None
    ) -> None:
        follow_runs()
        self._ledger = checked_ledger(ledger) or Ledger()
        if counter is not None:
            with_methods("counter", counter, "count_request", give="a TokenCounter()")
        self._given_counter = counter
        self._runs: OpenCalls[_Run] = OpenCalls(self._give_up, self._ledger)
        self._recorded: OrderedDict[str, int] = OrderedDict()  # how often each run id
        # The settings of runs that were sent together, of which the first has the usage of all.
        self._billed: deque[Mapping[str, Any]] = deque(maxlen=_BATCHES)
        self._lock = ProcessLock()

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"ledger": self._ledger}

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`: what LangChain reads of a handler."""
        return {n: vars(self)[n] for n in ("raise_error", "run_inline") if n in vars(self)}

    @property
    def ledger(self) -> Ledger:
        """The ledger that holds the records."""
        return self._ledger

    def summary(self) -> Summary:
        """Return the ledger's summary so far."""
        return self.ledger.summary()

    def warm_up(self) -> None:
        """Load the prices, and the vocabulary for models whose provider reports no usage."""
        warm_up_all([self._ledger, self._given_counter or own_counter()])

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep what LangChain reports only at the start of a run."""
        first = messages[0] if messages else []
        self._begin(run_id, parent_run_id, serialized, first, tags or [], metadata or {}, kwargs)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Do the same for completion models."""
        first: list[BaseMessage] = [HumanMessage(prompt) for prompt in prompts[:1]]
        kwargs = {**kwargs, _COMPLETION: True}
        self._begin(run_id, parent_run_id, serialized, first, tags or [], metadata or {}, kwargs)

    def on_llm_new_token(
        self, token: Any, *, chunk: Any = None, run_id: UUID, **kwargs: Any
    ) -> None:
        """Keep what came of an answer, which LangChain does not always report with an error."""
        run = self._runs.find(str(run_id))
        if run is not None:
            run.received.add_token(token, chunk)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Do the same for a stream of typed events."""
        run = self._runs.find(str(run_id))
        if run is not None:
            run.received.add_event(event)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the run, unless a run inside it was recorded already."""
        key = str(run_id)
        run = self._runs.find(key)
        answer = first_generations(response)
        if run is not None:
            answer = run.received.counted_once(answer)
        self._end(key, answer, reported=self._reported_beside(run, response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record a failed run, or an abandoned stream with the tokens used until then."""
        shared = SHARED_CALLS.get(str(run_id))
        if shared is not None:
            shared.when_done(lambda outcome: self._end_share(str(run_id), outcome))
            return
        run = self._runs.find(str(run_id))
        came = [] if run is None else run.received.answer()
        self._end(str(run_id), came, failure=Failure.of(error, received=bool(came)))

    def _begin(
        self,
        run_id: UUID,
        parent: UUID | None,
        serialized: dict[str, Any] | None,
        messages: Sequence[BaseMessage],
        tags: Sequence[str],
        metadata: dict[str, Any],
        kwargs: dict[str, Any],
    ) -> None:
        params = kwargs.get("invocation_params") or {}
        asked = metadata.get("ls_model_name") or params.get("model") or params.get("model_name")
        key = str(run_id)
        context = context_of(key)
        info = RunInfo(
            id=self._record_id(key),
            started=datetime.now(UTC),
            messages=messages,
            metadata=metadata,
            attribution=attribution_of(run_id, parent, metadata, tags, root=context.run),
            model=str(asked or ""),
            class_name=str(((serialized or {}).get("id") or [""])[-1]),
            context=context,
            params=params,
            completion=_COMPLETION in kwargs,
        )
        outer = None if parent is None else self._runs.find(str(parent))
        if outer is not None:
            outer.nested = True
        hit = SERVED_RUNS.get(key)
        run = _Run(key, info, time.perf_counter(), () if hit is None else hit.generations)
        run.prompts = kwargs.get("batch_size") or 1
        self._runs.begin(key, run)
        # LangChain holds the id until it has reported the end; a trace may hold it longer.
        self._runs.watch(key, run_id)

        def follow(coroutine: object | None, unsent: bool) -> None:
            if coroutine is not None:
                run.sent = not unsent
                self._runs.watch(key, coroutine)

        when_running(follow)

    def _give_up(self, run: _Run, *, cancelled: bool) -> None:
        """Record a run whose end LangChain does not report, or not in time."""
        shared = SHARED_CALLS.get(run.key) if cancelled else None
        if shared is not None:  # Its share is known when the combined call ends.
            self._runs.begin(run.key, run)
            shared.when_done(lambda outcome: self._end_share(run.key, outcome))
        elif not run.nested:
            error = asyncio.CancelledError.__name__ if cancelled else None
            failure = Failure(status="abandoned", error=error)
            came = run.received.answer()
            call = call_of_run(run.info, came, latency_s=None, failure=failure)
            self._account(run, call, came, counted=run.sent)

    def _end(
        self,
        run_id: str,
        generations: Sequence[Generation],
        *,
        failure: Failure | None = None,
        reported: Reported | None = None,
    ) -> None:
        run = self._runs.end(run_id)
        if run is None or run.nested or self._counted_inside(run_id, generations):
            return
        call = call_of_run(
            run.info,
            generations,
            latency_s=time.perf_counter() - run.clock,
            reported=reported,
            failure=failure,
        )
        self._account(run, call, generations)

    def _account(
        self,
        run: _Run,
        call: Call,
        generations: Sequence[Generation] = (),
        *,
        counted: bool = True,
    ) -> None:
        info = run.info
        if run.served:
            call = call_of_run(info, run.served, latency_s=call.latency_s)
            generations = run.served

        def count() -> Usage | None:
            return count_run(self._given_counter, info, generations) if counted else None

        self._runs.account(call, count)

    def _reported_beside(self, run: _Run | None, response: LLMResult) -> Reported | None:
        """Return what was reported outside the messages; no tokens if another run has them.

        Of prompts that were sent together, LangChain gives the usage of all to the first run and
        none to the others. Then only the first run shows whether the provider reported any.
        """
        reported = reported_by_result(response)
        usage = None if reported is None else reported.usage
        if run is None or usage is None:
            return reported
        if usage != Usage():
            if run.prompts > 1:
                self._billed.append(run.info.params)
            return reported
        return reported if any(each is run.info.params for each in self._billed) else None

    def _end_share(self, run_id: str, outcome: QuestionOutcome) -> None:
        """Record a run that failed, once its share of a combined call is known."""
        run = self._runs.end(run_id)
        if run is not None:
            call_of_share(run.info, outcome).account(self._ledger)

    def _record_id(self, run_id: str) -> str:
        """Return a run's id, made different if an earlier call had it: an app may keep a config."""
        with self._lock:
            before = self._recorded.get(run_id, 0)
        return f"{run_id}~{before + 1}" if before else run_id

    def _counted_inside(self, run_id: str, generations: Sequence[Generation]) -> bool:
        """Whether the answer comes from another recorded run, made inside this one.

        Such a run often has no parent id, but LangChain puts the run id into the answer's id.
        """
        answer_id = _RUN_OF_ANSWER.match(_message_id(generations))
        with self._lock:
            self._recorded[run_id] = self._recorded.pop(run_id, 0) + 1
            while len(self._recorded) > _REMEMBERED:
                self._recorded.popitem(last=False)
            other = None if answer_id is None or answer_id[1] == run_id else answer_id[1]
            inside = other is not None and other in self._recorded
        # A hit of another cache keeps the id of the run that made the answer.
        return inside and hit_mark(generations) is None


def _message_id(generations: Sequence[Generation]) -> str:
    first = generations[0] if generations else None
    return (first.message.id or "") if isinstance(first, ChatGeneration) else ""
