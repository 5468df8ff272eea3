"""`CostCallbackHandler`: records every model run of a LangChain app in a ledger, once."""

from __future__ import annotations

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

from langchain_llm_optimizers.account import (
    SHARED_CALLS,
    RunInfo,
    call_of_run,
    call_of_share,
    hit_mark,
)
from langchain_llm_optimizers.messages import core_message
from llm_optimizers.costs import Ledger, Summary, Usage
from llm_optimizers.costs.call import status_of
from llm_optimizers.costs.context import context_of
from llm_optimizers.costs.records import Status
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.shown import safe_logger
from llm_optimizers.types import ChatRequest

if TYPE_CHECKING:
    from llm_optimizers.batching.combining import QuestionOutcome
    from llm_optimizers.prompts import TokenCounter

__all__ = ["CostCallbackHandler"]

_RUN_OF_ANSWER = re.compile(r"(?:lc_)?run-+([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_REMEMBERED = 4_096
_MAX_OPEN_RUNS = 20_000
"""With more open runs than this, the oldest is recorded as abandoned."""
logger = safe_logger("llm_optimizers.costs")


@dataclass(slots=True)
class _Run:
    """An open run; `alive` refers to its id, which LangChain holds until it reports the end."""

    info: RunInfo
    clock: float
    alive: weakref.ref[UUID]
    nested: bool = False


class CostCallbackHandler(PickledAsArguments, BaseCallbackHandler):
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
    `stream_usage=True`). A record keeps the run's metadata and tags, but no text. One handler can
    be shared by any number of threads and event loops.

    LangChain reports no end for a call that is cancelled in `ainvoke`. Its run is recorded as
    abandoned when the next run begins or ends, or when `ledger` or `summary()` is read.
    """

    def __init__(
        self, ledger: Ledger | None = None, *, counter: TokenCounter | None = None
    ) -> None:
        self._ledger = ledger if ledger is not None else Ledger()
        self._given_counter = counter
        self._runs: dict[str, _Run] = {}
        # Weak references call back at any time, in any thread, so they only append the id here.
        self._lost: deque[str] = deque()
        self._recorded: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"ledger": self._ledger}

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`: what LangChain reads of a handler."""
        return {n: vars(self)[n] for n in ("raise_error", "run_inline") if n in vars(self)}

    @property
    def ledger(self) -> Ledger:
        """The ledger that holds the records."""
        self._record_lost()
        return self._ledger

    def summary(self) -> Summary:
        """Return the ledger's summary so far."""
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
        self._end(str(run_id), _first(response), "ok", None, _reported(response))
        self._record_lost()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record a failed run, or an abandoned stream with the tokens used until then."""
        shared = SHARED_CALLS.get(str(run_id))
        if shared is not None:
            shared.when_done(lambda outcome: self._end_share(run_id, outcome))
            return
        response = kwargs.get("response")
        generations = _first(response) if isinstance(response, LLMResult) else []
        self._end(str(run_id), generations, status_of(error), type(error).__name__)
        self._record_lost()

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
        self._record_lost()
        params = kwargs.get("invocation_params") or {}
        asked = metadata.get("ls_model_name") or params.get("model") or params.get("model_name")
        key, lost = str(run_id), self._lost
        info = RunInfo(
            id=key,
            started=datetime.now(UTC),
            messages=messages,
            metadata=metadata,
            tags=tags,
            model=str(asked or ""),
            class_name=str(((serialized or {}).get("id") or [""])[-1]),
            context=context_of(key),
        )
        alive = weakref.ref(run_id, lambda _: lost.append(key))
        with self._lock:
            outer = self._runs.get(str(parent)) if parent is not None else None
            if outer is not None:
                outer.nested = True
            self._runs[key] = _Run(info, time.perf_counter(), alive)
            if len(self._runs) > _MAX_OPEN_RUNS:
                lost.append(next(iter(self._runs)))

    def _record_lost(self) -> None:
        """Record the runs whose end LangChain will not report.

        LangChain holds a run's id until it reports the end. It never reports the end of a cancelled
        `agenerate`, so an id that is gone means a cancelled run.
        """
        while self._lost:
            with suppress(IndexError):  # another thread may have taken the last one
                key = self._lost.popleft()
                run = self._runs.get(key)
                cancelled = run is not None and run.alive() is None
                self._end(key, (), "abandoned", "CancelledError" if cancelled else None)

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
        info, now = run.info, time.perf_counter()
        call_of_run(
            info,
            generations,
            # The end of a run that LangChain did not report is unknown.
            latency_s=now - run.clock if run.alive() is not None else None,
            status=status,
            error=error,
            reported=reported,
        ).account(self._ledger, lambda: self._count(info, generations))

    def _end_share(self, run_id: UUID, outcome: QuestionOutcome) -> None:
        """Record a run that failed, once its share of a combined call is known."""
        with self._lock:
            run = self._runs.pop(str(run_id), None)
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


def _first(response: LLMResult) -> list[Generation]:
    """Return the generations of the first prompt; LangChain opens a run for each prompt."""
    return list(response.generations[0]) if response.generations else []


def _reported(response: LLMResult) -> Usage | None:
    """Return the usage of a completion model's run, from `llm_output`.

    If several prompts were sent together, LangChain gives the whole usage to the first run and none
    to the others, so they add up.
    """
    raw = (response.llm_output or {}).get("token_usage")
    if not isinstance(raw, Mapping):
        return None
    chat = any(isinstance(each, ChatGeneration) for each in _first(response))
    return Usage.read(raw) if raw or chat else Usage()


def _message_id(generations: Sequence[Generation]) -> str:
    first = generations[0] if generations else None
    return (first.message.id or "") if isinstance(first, ChatGeneration) else ""
