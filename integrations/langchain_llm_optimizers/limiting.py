"""Shorter answers, only where asked for: a learned cap and stop sequences put on a call.

The cap comes from the lengths that a task's answers had; an answer that our cap cut is asked for
again without it, so that nobody is served half an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatResult

from langchain_llm_optimizers.calls import ModelCall
from langchain_llm_optimizers.ports import PORT
from langchain_llm_optimizers.usage import usage_of
from llm_optimizers.prompts import OutputLimits
from llm_optimizers.prompts.outputs import Form, shaped
from llm_optimizers.types import ChatRequest

__all__ = ["Limited", "limited", "observed", "stopped"]

_OWN = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_FORMED = ("tools", "functions", "response_format", PORT)
_CUT = ("length", "max_tokens", "MAX_TOKENS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A call as it is made, and the same without our cap, None where there is no cap of ours."""

    call: ModelCall
    uncapped: ModelCall | None = None

    def again(self, result: ChatResult) -> ModelCall | None:
        """The call to make in place of an answer that our cap cut."""
        return self.uncapped if self.uncapped is not None and _was_cut(_said(result)) else None


def limited(call: ModelCall, child: BaseChatModel, limits: OutputLimits | None) -> Limited:
    """The call with its task's cap, unless the caller set a lower one or too little is known."""
    cap = limits.cap(_task(call)) if limits is not None else None
    own = child._get_ls_params(stop=call.stop, **call.kwargs).get("ls_max_tokens")
    if cap is None or any(name in call.kwargs for name in _OWN):
        return Limited(call=call)
    if isinstance(own, int) and own <= cap.tokens:
        return Limited(call=call)
    capped = replace(call, kwargs={**call.kwargs, "max_tokens": cap.tokens})
    config = {name: value for name, value in call.config.items() if name != "run_id"}
    return Limited(call=capped, uncapped=replace(call, config=config))  # type: ignore[arg-type]


def stopped(call: ModelCall, model: str, form: Form | None) -> ModelCall:
    """The call with the stop sequences of a form, where the model takes them.

    Tools and schemas have a form of their own, and the caller's own sequences stay.
    """
    if form is None or call.stop is not None or any(name in call.kwargs for name in _FORMED):
        return call
    given = {"stop": call.kwargs["stop"]} if "stop" in call.kwargs else {}
    stop = shaped(ChatRequest(messages=(), model=model, params=given), form=form).params.get("stop")
    return call if stop is None or given else replace(call, stop=list(stop))


def observed(limits: OutputLimits | None, call: ModelCall, result: ChatResult) -> None:
    """Learn from an answer whose length the provider told."""
    message = _said(result)
    usage = usage_of(message) if message is not None else None
    if limits is not None and usage is not None and usage.output_tokens:
        limits.observe(_task(call), usage.output_tokens, truncated=_was_cut(message))


def _task(call: ModelCall) -> str:
    """The `task` in the run's metadata."""
    told: Mapping[str, Any] = call.config.get("metadata") or {}
    return str(told.get("task") or "")


def _said(result: ChatResult) -> AIMessage | None:
    message = result.generations[0].message if result.generations else None
    return message if isinstance(message, AIMessage) else None


def _was_cut(message: AIMessage | None) -> bool:
    if message is None:
        return False
    told = message.response_metadata
    return any(told.get(name) in _CUT for name in ("finish_reason", "stop_reason"))
