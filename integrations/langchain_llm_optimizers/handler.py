"""`CostCallbackHandler`: every model run of a LangChain app, once, into the ledger."""

from __future__ import annotations

import logging
import re
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from langchain_llm_optimizers.account import SHARED, RunFacts, call_of_run, call_of_share, hit_mark
from langchain_llm_optimizers.messages import core_message
from llm_optimizers.costs import Ledger, Summary, Usage
from llm_optimizers.costs.call import status_of
from llm_optimizers.costs.context import context_of
from llm_optimizers.costs.records import Status
from llm_optimizers.types import ChatRequest

if TYPE_CHECKING:
    from llm_optimizers.batching.combining import QuestionOutcome
    from llm_optimizers.prompts import TokenCounter

__all__ = ["CostCallbackHandler"]

_RUN_OF_ANSWER = re.compile(r"(?:lc_)?run-+([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_REMEMBERED = 4_096
_MOST_OPEN = 20_000
"""Runs under way at once; of more the oldest is given up."""
logger = logging.getLogger("llm_optimizers.costs")


@dataclass(slots=True)
class _Run:
    """A run under way; `alive` until LangChain has forgotten the id that it would end it by."""

    facts: RunFacts
    clock: float
    alive: weakref.ref[UUID]
    nested: bool = False


class CostCallbackHandler(BaseCallbackHandler):
    """Counts what a LangChain app spends and saves.

    Example:
        ```python
        costs = CostCallbackHandler(Ledger("costs.sqlite"))
        chain.invoke(question, config={"callbacks": [costs], "metadata": {"user": "u17"}})
        print(costs.ledger.summary())
        ```

    A served answer counts as a saving and never as spend; a model that wraps another counts
    once; runs that fail or are left midway are recorded as such. Where a stream reports no usage
    the tokens are counted here and the record is marked as estimated (for OpenAI set
    `stream_usage=True`). The run's metadata and tags are kept for attribution, its texts are not.
    One handler serves any number of threads and event loops.

    LangChain says nothing of a call that is cancelled in `ainvoke`. Its run is recorded as
    abandoned when the next run begins or ends, or `ledger` or `summary()` is asked for.
    """

    def __init__(
        self, ledger: Ledger | None = None, *, counter: TokenCounter | None = None
    ) -> None:
        self._ledger = ledger if ledger is not None else Ledger()
        self._given_counter = counter
        self._runs: dict[str, _Run] = {}
        # A reference's callback may run at any moment, in any thread: it only puts the id here.
        self._lost: deque[str] = deque()
        self._recorded: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def ledger(self) -> Ledger:
        """Where the records go."""
        self._record_lost()
        return self._ledger

    def summary(self) -> Summary:
        """The ledger's summary so far."""
        return self.ledger.summary()

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
        """Remember what is only told at the start."""
        turn = messages[0] if messages else []
        self._begin(run_id, parent_run_id, serialized, turn, tags or [], metadata or {}, kwargs)

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
        """The same for completion models."""
        turn: list[BaseMessage] = [HumanMessage(prompt) for prompt in prompts[:1]]
        self._begin(run_id, parent_run_id, serialized, turn, tags or [], metadata or {}, kwargs)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the run, unless a run inside it was already recorded."""
        self._end(str(run_id), _first(response), "ok", None, _reported(response))
        self._record_lost()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record what failed, or what its consumer left midway with the tokens used by then."""
        shared = SHARED.get(str(run_id))
        if shared is not None:
            shared.when_done(lambda settled: self._end_share(run_id, settled))
            return
        response = kwargs.get("response")
        generations = _first(response) if isinstance(response, LLMResult) else []
        self._end(str(run_id), generations, status_of(error), type(error).__name__)
        self._record_lost()

    @cached_property
    def _counter(self) -> TokenCounter:
        """Loaded when a provider first reports no usage; most always do."""
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
        self._record_lost()
        params = kwargs.get("invocation_params") or {}
        asked = metadata.get("ls_model_name") or params.get("model") or params.get("model_name")
        key, lost = str(run_id), self._lost
        facts = RunFacts(
            id=key,
            started=datetime.now(UTC),
            messages=messages,
            metadata=metadata,
            tags=tags,
            model=str(asked or ""),
            kind=str(((serialized or {}).get("id") or [""])[-1]),
            context=context_of(key),
        )
        alive = weakref.ref(run_id, lambda _: lost.append(key))
        with self._lock:
            outer = self._runs.get(str(parent)) if parent is not None else None
            if outer is not None:
                outer.nested = True
            self._runs[key] = _Run(facts, time.perf_counter(), alive)
            if len(self._runs) > _MOST_OPEN:
                lost.append(next(iter(self._runs)))

    def _record_lost(self) -> None:
        """Record the runs that will never end, as far as anyone knows: their ids are forgotten.

        LangChain keeps a run's id until it has reported the end, and reports every end but that
        of an `agenerate` that is cancelled.
        """
        while self._lost:
            with suppress(IndexError):  # another thread may have been quicker
                key = self._lost.popleft()
                run = self._runs.get(key)
                forgotten = run is not None and run.alive() is None
                self._end(key, (), "abandoned", "CancelledError" if forgotten else None)

    def _end(
        self,
        run_id: str,
        generations: Sequence[Generation],
        status: Status,
        error: str | None,
        reported: Usage | None = None,
    ) -> None:
        with self._lock:
            run = self._runs.pop(run_id, None)
        if run is None or run.nested or self._counted_inside(run_id, generations):
            return
        facts, now = run.facts, time.perf_counter()
        call_of_run(
            facts,
            generations,
            # When a run ended that nobody reported is not known.
            latency_s=now - run.clock if run.alive() is not None else None,
            status=status,
            error=error,
            reported=reported,
        ).account(self._ledger, lambda: self._count(facts, generations))

    def _end_share(self, run_id: UUID, settled: QuestionOutcome) -> None:
        """Record a run without an answer whose share of a combined call is known by now."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
        if run is not None:
            call_of_share(run.facts, settled).account(self._ledger)

    def _counted_inside(self, run_id: str, generations: Sequence[Generation]) -> bool:
        """Whether the answer is that of another run, which a model asked inside its own.

        Such runs often have no parent that says so, but LangChain names an answer after its run.
        """
        named = _RUN_OF_ANSWER.match(_message_id(generations))
        with self._lock:
            self._recorded[run_id] = None
            while len(self._recorded) > _REMEMBERED:
                self._recorded.popitem(last=False)
            inside = named is not None and named[1] != run_id and named[1] in self._recorded
        # Answers of other caches keep the name of the run that made them.
        return inside and hit_mark(generations) is None

    def _count(self, facts: RunFacts, generations: Sequence[Generation]) -> Usage | None:
        """The run's tokens counted here, None where they cannot be."""
        try:
            messages = tuple(core_message(message) for message in facts.messages)
            request = ChatRequest(messages=messages, model=facts.model)
            text = "".join(generation.text for generation in generations)
            return self._counter.count_call(request, text)
        except Exception as error:  # noqa: BLE001 - a call that cannot be counted still happened
            logger.debug("no estimate of a run's tokens: %s", type(error).__name__)
            return None


def _first(response: LLMResult) -> list[Generation]:
    """The generations of the first prompt; LangChain reports each prompt as a run of its own."""
    return list(response.generations[0]) if response.generations else []


def _reported(response: LLMResult) -> Usage | None:
    """The tokens of a completion model's run, which come beside the texts.

    Of several prompts sent together LangChain gives the whole to the first and nothing to the
    others, so that they add up.
    """
    raw = (response.llm_output or {}).get("token_usage")
    if not isinstance(raw, Mapping):
        return None
    chat = any(isinstance(each, ChatGeneration) for each in _first(response))
    return Usage.read(raw) if raw or chat else Usage()


def _message_id(generations: Sequence[Generation]) -> str:
    first = generations[0] if generations else None
    return (first.message.id or "") if isinstance(first, ChatGeneration) else ""
