"""Refuse the answers that a parser did not accept, in any chain that a cache gives answers to.

A cache sees neither the parser after the model nor the retry around both. LangChain reports them to
callback handlers, so once the first cache is made, one small handler joins every run through
`register_configure_hook`. It keeps the open runs, their parents and the keys of the answers given
inside them, no text:

    a parser's run fails, or      the answers given to its chain are refused
    makes nothing of a stream
    a chain's run fails           those given inside it, unless a provider, a tool or the transport
                                  failed
    a tool's schema refuses its   the last answer before it is refused
    arguments
    an agent's step reports an    its `response_format` refused the answer
    error to its own model
    a parser asks a model         it repairs an answer (`OutputFixingParser`), which is refused

A refused answer leaves the cache, and a retry's call goes to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.callbacks.base import BaseCallbackManager
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook
from pydantic import ValidationError

from langchain_llm_optimizers.codec import Generations
from langchain_llm_optimizers.endings import whole_answers
from langchain_llm_optimizers.hits import SERVED_RUNS
from langchain_llm_optimizers.messages import METADATA_KEY
from llm_optimizers.caching import CallOptions, GivenAnswer, fresh_answers
from llm_optimizers.caching.refusals.run_tree import RunTree
from llm_optimizers.freshness import fresh_asked_for

__all__ = [
    "fresh_answers",
    "options_of_config",
    "options_of_running_model",
    "wants_fresh_answer",
    "watch_runs",
]


@dataclass(frozen=True, slots=True)
class _ModelRun:
    run: int | None
    parent: int | None
    metadata: Mapping[str, Any] | None


_RUNS = RunTree()
_CONTROL_FLOW = frozenset({"GraphBubbleUp"})
"""LangGraph's interrupts and commands, which are raised but are no failures."""


def options_of_config(
    config: RunnableConfig, accepts: Callable[[Generations], bool] | None = None
) -> CallOptions[Generations]:
    """Return the options of a call with this configuration."""
    if isinstance(config.get("callbacks"), BaseCallbackManager):
        options = _options_within(config)
    else:
        # No run around the call is named, but there may be one all the same.
        options = options_of_running_model()
    fresh = options.fresh or _fresh(config.get("metadata"))
    return replace(options, fresh=fresh, accepts=accepts)


def wants_fresh_answer(config: RunnableConfig) -> bool:
    """Return whether a call with this configuration asks for a fresh answer."""
    return fresh_asked_for() or _fresh(config.get("metadata"))


def options_of_running_model() -> CallOptions[Generations]:
    """Return the options of the model run that asks LangChain's cache.

    LangChain gives its cache the prompt only. The handler has seen the run start, just before. A
    completion model asks before its run starts and stores after its end: then the run around it is
    read from the context.
    """
    running = _running_model.get()
    if running is not None and _RUNS.is_open(running.run):
        return _options(running.parent, running.metadata)
    options = _options_within(var_child_runnable_config.get() or {})
    if running is not None and options.on_given is None:
        return replace(options, on_given=_giver(running.parent))
    return options


def _options_within(config: RunnableConfig) -> CallOptions[Generations]:
    callbacks = config.get("callbacks")
    parent = callbacks.parent_run_id if isinstance(callbacks, BaseCallbackManager) else None
    return _options(_key(parent), config.get("metadata"))


def _options(parent: int | None, metadata: Mapping[str, Any] | None) -> CallOptions[Generations]:
    _RUNS.ask(parent)
    batch = _RUNS.batch_of(parent)
    return CallOptions(
        fresh=_fresh(metadata),
        accepts=whole_answers((metadata or {}).get("ls_provider")),
        on_given=_giver(parent),
        batches=() if batch is None else (batch,),
    )


def _fresh(metadata: Mapping[str, Any] | None) -> bool:
    own = (metadata or {}).get(METADATA_KEY)
    return isinstance(own, Mapping) and bool(own.get("fresh"))


def _key(run: UUID | None) -> int | None:
    """Return a run's number. The id itself is not kept: others watch when LangChain drops it."""
    return None if run is None else run.int


def _giver(parent: int | None) -> Callable[[GivenAnswer], None] | None:
    return None if parent is None else partial(_RUNS.give, (parent,))


@lru_cache(maxsize=1)
def watch_runs() -> None:
    """Let the handler join every run from now on; further calls do nothing."""
    # LangGraph's nodes only have the handlers that they inherit.
    register_configure_hook(_handler, inheritable=True)


class _RunWatcher(BaseCallbackHandler):
    """Follows the runs that give answers to parsers."""

    run_inline = True
    """In the caller's own context, so that the cache knows which model run asks it."""

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Open a chain's or parser's run."""
        _RUNS.start(_key(run_id), _key(parent_run_id), parsing=kwargs.get("run_type") == "parser")

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Close a run that succeeded, unless it is an agent's that refuses its model's answer."""
        if isinstance(outputs, list) and outputs and _reports_refusal(outputs[0]):
            _RUNS.refuse(_key(run_id))
        # LangChain's parsers raise no error in a stream; only there their input is reported.
        _RUNS.end(_key(run_id), empty=outputs is None and "inputs" in kwargs)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Close a run that failed; its answers may be the cause."""
        names = {kind.__name__ for kind in type(error).__mro__}
        _RUNS.fail(_key(run_id), error, excused=not _CONTROL_FLOW.isdisjoint(names))

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Open a tool's run."""
        _RUNS.start(_key(run_id), _key(parent_run_id))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Close a tool's run."""
        _RUNS.end(_key(run_id))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Close a tool's run; an answer is the cause only of arguments that its schema refuses."""
        if isinstance(error, ValidationError):
            # An agent reports this error to its model, so that no run around the tool's fails.
            _RUNS.refuse_latest(_key(run_id))
        _RUNS.fail(_key(run_id), error, excused=not isinstance(error, ValidationError))

    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Open a retriever's run."""
        _RUNS.start(_key(run_id), _key(parent_run_id))

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Close a retriever's run."""
        _RUNS.end(_key(run_id))

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Close a retriever's run that failed."""
        _RUNS.fail(_key(run_id), error, excused=True)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember for the cache which run asks it."""
        self._model_starts(run_id, parent_run_id, metadata)
        if str(run_id) not in SERVED_RUNS:
            _RUNS.ask(_key(parent_run_id))

    def on_llm_start(
        self,
        serialized: dict[str, Any] | None,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember for the cache which run asks it."""
        self._model_starts(run_id, parent_run_id, metadata)

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Close a model's run."""
        _RUNS.end(_key(run_id))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Close a model's run that failed: no answer is the cause."""
        _RUNS.fail(_key(run_id), error, excused=True)

    def _model_starts(
        self, run: UUID, parent: UUID | None, metadata: dict[str, Any] | None
    ) -> None:
        _running_model.set(_ModelRun(_key(run), _key(parent), metadata))
        _RUNS.start(_key(run), _key(parent))


def _reports_refusal(command: Any) -> bool:
    """Whether an agent's model step answers its own model: its schema refused the answer.

    LangChain names no `structured_response` in this update before version 1.4, None since then. A
    tool's update has no call of the model's, or leads elsewhere, as a handoff does.
    """
    update = getattr(command, "update", None)
    if not isinstance(update, Mapping) or update.get("structured_response") is not None:
        return False
    messages = update.get("messages")
    if not isinstance(messages, list) or not messages or getattr(command, "goto", None):
        return False
    *before, last = messages
    return isinstance(last, ToolMessage) and any(
        call["id"] == last.tool_call_id
        for message in before
        if isinstance(message, AIMessage)
        for call in message.tool_calls
    )


_running_model: ContextVar[_ModelRun | None] = ContextVar(
    "langchain_llm_optimizers_running_model", default=None
)
_handler: ContextVar[Any] = ContextVar(
    "langchain_llm_optimizers_run_watcher",
    default=_RunWatcher(),  # noqa: B039 - one for all contexts, and it holds nothing
)
