"""`CostCallbackHandler`: records every model run of a LangChain app in a ledger, once."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
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
    first_generations,
    hit_mark,
)
from langchain_llm_optimizers.hits import SERVED_RUNS
from langchain_llm_optimizers.messages import core_message
from langchain_llm_optimizers.run_tree import attribution_of, follow_runs
from langchain_llm_optimizers.running import when_running
from langchain_llm_optimizers.usage import reported_by_result
from llm_optimizers.arguments import with_methods
from llm_optimizers.costs import Ledger, Summary, Usage
from llm_optimizers.costs.call import Call, Reported, status_of
from llm_optimizers.costs.context import context_of
from llm_optimizers.costs.ledger import checked_ledger
from llm_optimizers.costs.open_calls import OpenCalls
from llm_optimizers.costs.records import Status
from llm_optimizers.costs.run_costs import TellsRunCosts
from llm_optimizers.costs.unanswered import is_unanswered
from llm_optimizers.forks import ProcessLock
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.shown import safe_logger
from llm_optimizers.types import ChatRequest
from llm_optimizers.warming import WarmsUp, warm_up_all

if TYPE_CHECKING:
    from llm_optimizers.batching.combining import QuestionOutcome
    from llm_optimizers.prompts import TokenCounter

__all__ = ["CostCallbackHandler"]

_RUN_OF_ANSWER = re.compile(r"(?:lc_)?run-+([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_REMEMBERED = 4_096
logger = safe_logger("llm_optimizers.costs")


@dataclass(slots=True)
class _Run:
    """An open run.

    `served` is the answer of a cache hit, whose cost is zero also if nobody waits for all of it.
    `nested` says whether another run was made inside, `sent` is False for a call that was cancelled
    before it was sent.
    """

    info: RunInfo
    clock: float
    served: Sequence[Generation] = ()
    nested: bool = False
    sent: bool = True


class CostCallbackHandler(TellsRunCosts, WarmsUp, PickledAsArguments, BaseCallbackHandler):
    """Records what a LangChain app spends and saves.

    Example:
        ```python
        costs = CostCallbackHandler(Ledger("costs.sqlite"))
        chain.invoke(question, config={"callbacks": [costs], "metadata": {"user": "u17"}})
        print(costs.ledger.summary())
        ```

    A cache hit counts as a saving, never as spend. A model that wraps another counts once. Failed
    runs and abandoned streams are recorded with that status. If a stream reports no usage, its
    tokens are counted here and the record is marked as estimated (with OpenAI, set
    `stream_usage=True`). A record keeps the run's metadata and tags, but no text; `user`, `session`
    and the like under one name each (see `attributed`), and the root's id as `run`. One handler can
    be shared by any number of threads and event loops.

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
        self._recorded: OrderedDict[str, None] = OrderedDict()
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
        warm_up_all([self._ledger, self._counter])

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
        self._begin(run_id, parent_run_id, serialized, first, tags or [], metadata or {}, kwargs)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the run, unless a run inside it was recorded already."""
        reported = reported_by_result(response)
        self._end(str(run_id), first_generations(response), "ok", None, reported)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record a failed run, or an abandoned stream with the tokens used until then."""
        shared = SHARED_CALLS.get(str(run_id))
        if shared is not None:
            shared.when_done(lambda outcome: self._end_share(str(run_id), outcome))
            return
        response = kwargs.get("response")
        generations = first_generations(response) if isinstance(response, LLMResult) else []
        self._end(
            str(run_id),
            generations,
            status_of(error),
            type(error).__name__,
            unanswered=is_unanswered(error),
        )

    @cached_property
    def _counter(self) -> TokenCounter:
        """Loaded only if a provider reports no usage, which is rare."""
        from llm_optimizers.prompts import TokenCounter

        return self._given_counter if self._given_counter is not None else TokenCounter()

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
            id=key,
            started=datetime.now(UTC),
            messages=messages,
            metadata=metadata,
            attribution=attribution_of(run_id, parent, metadata, tags, root=context.run),
            model=str(asked or ""),
            class_name=str(((serialized or {}).get("id") or [""])[-1]),
            context=context,
        )
        outer = None if parent is None else self._runs.find(str(parent))
        if outer is not None:
            outer.nested = True
        hit = SERVED_RUNS.get(key)
        run = _Run(info, time.perf_counter(), () if hit is None else hit.generations)
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
        shared = SHARED_CALLS.get(run.info.id) if cancelled else None
        if shared is not None:  # Its share is known when the combined call ends.
            self._runs.begin(run.info.id, run)
            shared.when_done(lambda outcome: self._end_share(run.info.id, outcome))
        elif not run.nested:
            error = asyncio.CancelledError.__name__ if cancelled else None
            call = call_of_run(run.info, (), latency_s=None, status="abandoned", error=error)
            self._account(run, call, counted=run.sent)

    def _end(
        self,
        run_id: str,
        generations: Sequence[Generation],
        status: Status,
        error: str | None,
        reported: Reported | None = None,
        *,
        unanswered: bool = False,
    ) -> None:
        run = self._runs.end(run_id)
        if run is None or run.nested or self._counted_inside(run_id, generations):
            return
        call = call_of_run(
            run.info,
            generations,
            latency_s=time.perf_counter() - run.clock,
            status=status,
            error=error,
            reported=reported,
            unanswered=unanswered,
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
        self._runs.account(call, lambda: self._count(info, generations) if counted else None)

    def _end_share(self, run_id: str, outcome: QuestionOutcome) -> None:
        """Record a run that failed, once its share of a combined call is known."""
        run = self._runs.end(run_id)
        if run is not None:
            call_of_share(run.info, outcome).account(self._ledger)

    def _counted_inside(self, run_id: str, generations: Sequence[Generation]) -> bool:
        """Whether the answer comes from another recorded run, made inside this one.

        Such a run often has no parent id, but LangChain puts the run id into the answer's id.
        """
        answer_id = _RUN_OF_ANSWER.match(_message_id(generations))
        with self._lock:
            self._recorded[run_id] = None
            while len(self._recorded) > _REMEMBERED:
                self._recorded.popitem(last=False)
            other = None if answer_id is None or answer_id[1] == run_id else answer_id[1]
            inside = other is not None and other in self._recorded
        # A hit of another cache keeps the id of the run that made the answer.
        return inside and hit_mark(generations) is None

    def _count(self, info: RunInfo, generations: Sequence[Generation]) -> Usage | None:
        """Count the run's tokens; None if its messages cannot be read."""
        try:
            messages = tuple(core_message(message) for message in info.messages)
            request = ChatRequest(messages=messages, model=info.model)
            text = "".join(generation.text for generation in generations)
            return self._counter.count_call(request, text)
        except Exception as error:  # noqa: BLE001 - the call is recorded even without a count
            logger.debug("could not estimate a run's tokens: %s", type(error).__name__)
            return None


def _message_id(generations: Sequence[Generation]) -> str:
    first = generations[0] if generations else None
    return (first.message.id or "") if isinstance(first, ChatGeneration) else ""
