"""`OptimizedChatModel`: a chat model sent shorter prompts, and asked for shorter answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import Field

from langchain_llm_optimizers.binding import PORT
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.codec import finish_of
from langchain_llm_optimizers.delegating import DelegatingChatModel
from langchain_llm_optimizers.messages import MARK
from langchain_llm_optimizers.prompts import request_of, rewritten
from langchain_llm_optimizers.usage import usage_of
from llm_optimizers.costs import Usage
from llm_optimizers.costs.context import CallContext, call_scope, context_of
from llm_optimizers.effects import closing_async
from llm_optimizers.prompts import Optimized, OutputLimits, RequestOptimizer
from llm_optimizers.prompts.outputs import AnswerForm, CappedCall, with_answer_form
from llm_optimizers.types import ChatRequest

__all__ = ["OptimizedChatModel", "stopped"]

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
    form: AnswerForm | None = None
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
        shorter = self._shorter(call)
        with self._capped(shorter) as capped:
            with call_scope(capped.first):
                result = _first_call(shorter, capped).generate(self.model)
            if capped.needs_retry(*_end_of(result)):
                with call_scope(capped.retry):
                    result = _under(shorter, capped.retry).generate(self.model)
        return _stamped(result, shorter)

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        shorter = await self._ashorter(call)
        with self._capped(shorter) as capped:
            with call_scope(capped.first):
                result = await _first_call(shorter, capped).agenerate(self.model)
            if capped.needs_retry(*_end_of(result)):
                with call_scope(capped.retry):
                    result = await _under(shorter, capped.retry).agenerate(self.model)
        return _stamped(result, shorter)

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

    def _capped(self, call: ModelCall) -> CappedCall:
        """The call as its task's limits want it; what the call or the model sets itself stays."""
        configured = self.model._get_ls_params(stop=call.stop, **call.kwargs).get("ls_max_tokens")
        run_id = call.config.get("run_id")
        call_id = None if run_id is None else str(run_id)
        return CappedCall(
            self.limits,
            str((call.config.get("metadata") or {}).get("task") or ""),
            call.kwargs,
            context=context_of(call_id),
            call_id=call_id,
            configured=configured if isinstance(configured, int) else None,
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


def _first_call(call: ModelCall, capped: CappedCall) -> ModelCall:
    """The call with its task's cap, if it has one."""
    if capped.cap is None:
        return call
    kwargs = {**call.kwargs, "max_tokens": capped.cap.tokens}
    return replace(_under(call, capped.first), kwargs=kwargs)


def _under(call: ModelCall, context: CallContext) -> ModelCall:
    """The call under the id that the account knows it by."""
    return replace(call, config={**call.config, "run_id": UUID(context.id)})


def stopped(call: ModelCall, model: str, form: AnswerForm | None) -> ModelCall:
    """The call with the stop sequences of a form, where the core sets any."""
    set_already = dict(call.kwargs)
    if call.stop is not None:
        set_already["stop"] = call.stop
    if PORT in call.kwargs:
        set_already["response_format"] = call.kwargs[PORT]
    request = ChatRequest(messages=(), model=model, params=set_already)
    stop = with_answer_form(request, form=form).params.get("stop")
    return call if stop is None or "stop" in set_already else replace(call, stop=stop)


def _end_of(result: ChatResult) -> tuple[str | None, Usage | None]:
    """Why the answer ended, and the tokens it used."""
    message = result.generations[0].message if result.generations else None
    if not isinstance(message, AIMessage):
        return None, None
    return finish_of(message.response_metadata), usage_of(message)
