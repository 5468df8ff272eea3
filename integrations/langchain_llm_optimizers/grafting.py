"""Putting one model in another's place inside a runnable that the other has built.

`bind_tools` and `with_structured_output` are every provider's own. The child builds the
runnable, and the wrapper then takes the child's place in it, so that the calls come through the
wrapper in exactly the form the child chose.
"""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.passthrough import RunnableAssign

__all__ = ["graft"]


def graft(
    runnable: Runnable[Any, Any], old: BaseChatModel, new: Runnable[Any, Any]
) -> Runnable[Any, Any]:
    """The runnable with `new` wherever `old`, or a bound copy of it, stands."""
    if runnable is old:
        return new
    if isinstance(runnable, BaseChatModel):
        # Some providers bind by copying themselves: the copy becomes the wrapper's child.
        if isinstance(new, BaseChatModel) and type(runnable) is type(old):
            return new.model_copy(update={"model": runnable})
        return new
    if isinstance(runnable, RunnableBindingBase):
        return runnable.model_copy(update={"bound": graft(runnable.bound, old, new)})
    if isinstance(runnable, RunnableSequence):
        steps = [graft(step, old, new) for step in runnable.steps]
        return RunnableSequence(*steps, name=runnable.name)
    if isinstance(runnable, RunnableParallel):
        branches = {name: graft(step, old, new) for name, step in runnable.steps__.items()}
        return RunnableParallel(branches)
    if isinstance(runnable, RunnableAssign):
        mapper = graft(runnable.mapper, old, new)
        return runnable.model_copy(update={"mapper": mapper})
    if isinstance(runnable, RunnableWithFallbacks):
        return runnable.model_copy(
            update={
                "runnable": graft(runnable.runnable, old, new),
                "fallbacks": [graft(each, old, new) for each in runnable.fallbacks],
            }
        )
    return runnable
