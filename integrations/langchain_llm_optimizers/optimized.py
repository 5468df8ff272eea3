"""`OptimizedChatModel`: a chat model sent shorter prompts, and asked for shorter answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import Field

from langchain_llm_optimizers.binding import PORT
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.delegating import DelegatingChatModel
from langchain_llm_optimizers.messages import MARK
from langchain_llm_optimizers.prompts import request_of, rewritten
from langchain_llm_optimizers.usage import usage_of
from llm_optimizers.effects import closing_async
from llm_optimizers.prompts import Optimized, OutputLimits, RequestOptimizer
from llm_optimizers.prompts.outputs import Form, shaped, was_cut
from llm_optimizers.types import ChatRequest

__all__ = ["Limited", "OptimizedChatModel", "limited", "observed", "stopped"]

M = TypeVar("M", bound=BaseMessage)


class OptimizedChatModel(DelegatingChatModel):
    """`PromptOptimizer` as a chat model, for places that take a model and no chain.

    Behind a cache the question stays what the user asked, so that it is found again:

        CachedChatModel(model=OptimizedChatModel(model=ChatOpenAI(model="gpt-4o")))

    Answers get shorter where that is asked for: `limits=OutputLimits()` learns from each task's
    answers (`task` in the run's metadata) how long they get, caps the next ones, and asks again
    without the cap when it cut one; `form="line"` sets stop sequences. `limits.cap(task)` gives
    the cap and the share of answers cut.
    """

    model: BaseChatModel
    """The model that is sent the shorter prompts."""
    optimizer: RequestOptimizer = Field(default_factory=RequestOptimizer, exclude=True)
    """What shortens them; lossless only by default."""
    limits: OutputLimits | None = Field(default=None, exclude=True)
    """Learns caps on output tokens; streams are not capped, since they cannot be asked again."""
    form: Form | None = None
    """The form every answer is expected in, for stop sequences; none are set by default."""

    @property
    def _child(self) -> BaseChatModel:
        return self.model

    @property
    def _llm_type(self) -> str:
        return f"optimized-{self.model._llm_type}"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model._identifying_params}

    def _answer(self, call: ModelCall) -> ChatResult:
        first = limited(self._shorter(call), self.model, self.limits)
        result = first.call.generate(self.model)
        observed(self.limits, call, result)
        again = first.again(result)
        return _stamped(result if again is None else again.generate(self.model), first.call)

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        first = limited(await self._ashorter(call), self.model, self.limits)
        result = await first.call.agenerate(self.model)
        observed(self.limits, call, result)
        again = first.again(result)
        if again is not None:
            result = await again.agenerate(self.model)
        return _stamped(result, first.call)

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        shorter = self._shorter(call)
        stamp = _stamp(shorter)
        for chunk in shorter.stream(self.model):
            yield _with_stamp(chunk, stamp)
            stamp = {}  # Chunks add up: one of them carries it.

    async def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        shorter = await self._ashorter(call)
        stamp = _stamp(shorter)
        async with closing_async(shorter.astream(self.model)) as chunks:
            async for chunk in chunks:
                yield _with_stamp(chunk, stamp)
                stamp = {}

    def _shorter(self, call: ModelCall) -> ModelCall:
        call = stopped(call, self._name(call), self.form)
        return self.optimizer.apply(*self._translation(call), otherwise=call)

    async def _ashorter(self, call: ModelCall) -> ModelCall:
        call = stopped(call, self._name(call), self.form)
        return await self.optimizer.aapply(*self._translation(call), otherwise=call)

    def _translation(
        self, call: ModelCall
    ) -> tuple[Callable[[], ChatRequest], Callable[[Optimized], ModelCall]]:
        """How the call is read for the core, and how it is written back."""
        tools = call.kwargs.get("tools") or ()
        return (
            lambda: request_of(call.messages, self._name(call), tools=tools),
            lambda found: replace(call, messages=rewritten(call.messages, found)),
        )

    def _name(self, call: ModelCall) -> str:
        params = self.model._get_ls_params(stop=call.stop, **call.kwargs)
        return str(params.get("ls_model_name") or "")


def _stamp(call: ModelCall) -> dict[str, Any]:
    """What was removed, which the answer carries too: a cache prices what it serves by it."""
    return dict(call.messages[-1].additional_kwargs.get(MARK) or {}) if call.messages else {}


def _stamped(result: ChatResult, call: ModelCall) -> ChatResult:
    stamp = _stamp(call)
    generations = [
        g.model_copy(update={"message": _with_stamp(g.message, stamp)}) for g in result.generations
    ]
    return result.model_copy(update={"generations": generations})


def _with_stamp(message: M, stamp: dict[str, Any]) -> M:
    if not stamp:
        return message
    earlier = message.response_metadata.get(MARK) or {}
    metadata = {**message.response_metadata, MARK: {**earlier, **stamp}}
    return message.model_copy(update={"response_metadata": metadata})


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
    own = child._get_ls_params(stop=call.stop, **call.kwargs).get("ls_max_tokens")
    configured = own if isinstance(own, int) else None
    cap = limits.cap_for(_task(call), call.kwargs, configured=configured) if limits else None
    if cap is None:
        return Limited(call=call)
    capped = replace(call, kwargs={**call.kwargs, "max_tokens": cap.tokens})
    config = {name: value for name, value in call.config.items() if name != "run_id"}
    return Limited(call=capped, uncapped=replace(call, config=config))  # type: ignore[arg-type]


def stopped(call: ModelCall, model: str, form: Form | None) -> ModelCall:
    """The call with the stop sequences of a form, where the core sets any."""
    set_already = dict(call.kwargs)
    if call.stop is not None:
        set_already["stop"] = call.stop
    if PORT in call.kwargs:
        set_already["response_format"] = call.kwargs[PORT]
    request = ChatRequest(messages=(), model=model, params=set_already)
    stop = shaped(request, form=form).params.get("stop")
    return call if stop is None or "stop" in set_already else replace(call, stop=stop)


def observed(limits: OutputLimits | None, call: ModelCall, result: ChatResult) -> None:
    """Learn from an answer whose length the provider reported."""
    message = _said(result)
    usage = usage_of(message) if message is not None else None
    if limits is not None and usage is not None and usage.output_tokens:
        limits.observe(_task(call), usage.output_tokens, truncated=_was_cut(message))


def _task(call: ModelCall) -> str:
    """The `task` in the run's metadata."""
    metadata: Mapping[str, Any] = call.config.get("metadata") or {}
    return str(metadata.get("task") or "")


def _said(result: ChatResult) -> AIMessage | None:
    message = result.generations[0].message if result.generations else None
    return message if isinstance(message, AIMessage) else None


def _was_cut(message: AIMessage | None) -> bool:
    said = message.response_metadata if message is not None else {}
    return any(was_cut(said.get(name)) for name in ("finish_reason", "stop_reason"))
