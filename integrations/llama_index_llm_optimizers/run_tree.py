"""Translate LlamaIndex's spans into runs, so that each call knows its root, agent and step."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import BoundArguments
from typing import Any

from llama_index.core.workflow import Event, Workflow
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.dispatcher import active_instrument_tags

from llm_optimizers.costs.attribution import names_of
from llm_optimizers.costs.runs import Attribution, RunStart, RunTree

__all__ = ["TAG_PREFIX", "SpanRuns"]

TAG_PREFIX = "llm_optimizers."
"""Prefix of our own instrumentation tags."""
# LlamaIndex's own tags show the inputs of steps, which are texts of the user.
_INTERNAL = (TAG_PREFIX, "llamaindex.")
_RUN_ID = "llamaindex.run_id"
_ID_LENGTH = len("-00000000-0000-0000-0000-000000000000")


class SpanRuns(RunTree):
    """The runs that spans are."""

    def __init__(self) -> None:
        super().__init__(_user_tags)

    def enter(
        self, span: str, parent: str | None, function_of: object, arguments: BoundArguments
    ) -> None:
        """Note a span: a workflow's run, a step of one, or any other."""
        tags = dict(active_instrument_tags.get())
        self.begin(span, _start(span, parent, function_of, arguments.arguments, tags))

    def attribution_at(self, event: BaseEvent) -> Attribution:
        """Return whose money the call of an event is."""
        found = None if event.span_id is None else self.find(event.span_id)
        if found is None:
            return self.attribution_of(RunStart(parent=event.span_id, given=event.tags))
        return found


def _start(
    span: str, parent: str | None, function_of: object, arguments: Mapping[str, Any], tags: Any
) -> RunStart:
    function = span[:-_ID_LENGTH].rpartition(".")[2]
    if isinstance(function_of, Workflow):
        if function != "run":
            return RunStart(parent=parent, given=tags)
        name = getattr(function_of, "name", None)
        name = name if isinstance(name, str) and name else type(function_of).__name__
        # Users know a workflow's run by this id, which its handler has.
        root = str(tags.get(_RUN_ID) or "")
        return RunStart(parent=parent, given=tags, name=name, agent=name, root=root)
    if function_of is None:
        event = next((each for each in arguments.values() if isinstance(each, Event)), None)
        if event is not None:
            agent = getattr(event, "current_agent_name", None)
            agent = agent if isinstance(agent, str) else ""
            return RunStart(parent=parent, given=tags, agent=agent, step=function, is_step=True)
    return RunStart(parent=parent, given=tags)


def _user_tags(tags: Mapping[Any, Any]) -> dict[str, str]:
    """Return the names in the tags, without what the frameworks add."""
    return names_of(
        {
            name: value
            for name, value in tags.items()
            if isinstance(name, str) and not name.startswith(_INTERNAL)
        }
    )
