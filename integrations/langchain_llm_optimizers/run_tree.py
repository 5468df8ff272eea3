"""Follow LangChain's nested runs, so that each model call knows its root run, agent and step.

LangChain gives a handler only the id of the run around a run, and a handler that was given to a
model sees nothing else of the chain or graph around it. So one follower sees all runs of the
process, as LangChain's own tracers do, from the first `CostCallbackHandler` on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from typing import Any, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook

from langchain_llm_optimizers.messages import METADATA_KEY
from llm_optimizers.costs.aliases import rank_of
from llm_optimizers.costs.attribution import names_of
from llm_optimizers.costs.runs import Attribution, RunStart, RunTree

__all__ = ["attribution_in", "attribution_of", "follow_runs", "user_tags"]

_INTERNAL_TAGS = ("seq:step", "map:key", "graph:step", "langsmith:")
_INTERNAL = ("ls_", "lc_", "langgraph_", "checkpoint", "__", METADATA_KEY)
_STEP_TAG = "graph:step:"
_UNNAMED = "LangGraph"  # what LangGraph calls a graph without a name


def user_tags(metadata: Mapping[Any, Any], tags: Sequence[Any]) -> dict[str, str]:
    """Return the names in a run's metadata and tags, without what the frameworks add."""
    own = {
        name: value
        for name, value in metadata.items()
        if isinstance(name, str) and (rank_of(name) or not name.startswith(_INTERNAL))
    }
    kept = [tag for tag in tags if isinstance(tag, str) and not tag.startswith(_INTERNAL_TAGS)]
    return names_of({**own, "tags": ",".join(kept)} if kept else own)


def _read(given: tuple[Mapping[str, Any], Sequence[str]]) -> dict[str, str]:
    return user_tags(*given)


_RUNS = RunTree(_read)


def attribution_of(
    run: UUID | str,
    parent: UUID | str | None,
    metadata: Mapping[str, Any] | None,
    tags: Sequence[str] | None,
    *,
    root: str = "",
) -> Attribution:
    """Note a run and return whose money it is; `root` is the run's id if it is in no other."""
    start = replace(_start(parent, metadata, tags), root=root)
    _RUNS.begin(str(run), start)
    return _RUNS.find(str(run)) or _RUNS.attribution_of(start)


def attribution_in(
    config: RunnableConfig, metadata: Mapping[str, Any], tags: Sequence[str], *, root: str = ""
) -> Attribution:
    """Return whose money a call with this config is, for which there may be no run."""
    callbacks = config.get("callbacks")
    if callbacks is None or isinstance(callbacks, list):
        callbacks = (var_child_runnable_config.get() or {}).get("callbacks")
    parent = getattr(callbacks, "parent_run_id", None)
    start = _start(parent, metadata, tags)
    return _RUNS.attribution_of(replace(start, root=root or str(config.get("run_id") or "")))


def _start(
    parent: UUID | str | None,
    metadata: Mapping[str, Any] | None,
    tags: Sequence[Any] | None,
    name: object = None,
) -> RunStart:
    metadata, tags = metadata or {}, tags or ()
    agent, step = metadata.get("lc_agent_name"), metadata.get("langgraph_node")
    return RunStart(
        parent=None if parent is None else str(parent),
        given=(metadata, tags),
        name=name if isinstance(name, str) else "",
        named=name != _UNNAMED,
        agent=agent if isinstance(agent, str) else "",
        step=step if isinstance(step, str) else "",
        is_step=any(isinstance(tag, str) and tag.startswith(_STEP_TAG) for tag in tags),
    )


class _Follower(BaseCallbackHandler):
    """Notes the beginning and end of each run."""

    run_inline = True
    """LangChain then calls it in the context of the code that begins the run."""
    ignore_retry = ignore_custom_event = True

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return _follower, ()

    def _begin(self, *args: Any, **kwargs: Any) -> None:
        start = _start(
            kwargs.get("parent_run_id"),
            kwargs.get("metadata"),
            kwargs.get("tags"),
            kwargs.get("name"),
        )
        _RUNS.begin(str(kwargs["run_id"]), start)

    def _end(self, *args: Any, **kwargs: Any) -> None:
        _RUNS.end(str(kwargs["run_id"]))

    on_chain_start = on_tool_start = on_retriever_start = _begin
    on_llm_start = on_chat_model_start = _begin
    on_chain_end = on_tool_end = on_retriever_end = on_llm_end = _end
    on_chain_error = on_tool_error = on_retriever_error = on_llm_error = _end


@cache
def _follower() -> _Follower:
    return _Follower()


@cache
def follow_runs() -> None:
    """Follow all runs of this process from now on; a second call changes nothing."""
    hook: ContextVar[Any] = ContextVar("llm_optimizers_runs", default=_follower())  # noqa: B039 - never changed
    register_configure_hook(hook, inheritable=True)
