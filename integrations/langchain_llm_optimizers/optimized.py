"""`OptimizedChatModel`: a chat model with shorter prompts and shorter answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import Field

from langchain_llm_optimizers.binding import DEFERRED_BINDING
from langchain_llm_optimizers.call import ModelCall, nested_call
from langchain_llm_optimizers.children import WrapperOfOne
from langchain_llm_optimizers.codec import finish_reason_of
from langchain_llm_optimizers.messages import METADATA_KEY
from langchain_llm_optimizers.prompts import prompt_request, rewritten
from langchain_llm_optimizers.usage import usage_of
from llm_optimizers.costs import Usage
from llm_optimizers.costs.context import CallContext, call_scope, context_of
from llm_optimizers.effects import closing_async
from llm_optimizers.prompts import Optimized, OutputLimits, RequestOptimizer
from llm_optimizers.prompts.building import build_optimizer
from llm_optimizers.prompts.outputs import AnswerForm, CappedCall, with_answer_form
from llm_optimizers.types import ChatRequest

__all__ = ["OptimizedChatModel", "with_stop_sequences"]

M = TypeVar("M", bound=BaseMessage)


class OptimizedChatModel(WrapperOfOne):
    """`PromptOptimizer` as a chat model, for code that takes a model instead of a chain.

    Put it behind the cache, so that the cache sees the user's own question:

        CachedChatModel(OptimizedChatModel(ChatOpenAI(model="gpt-4o")))

    `context_tokens` limits the retrieved context in each message, chosen by meaning with
    `embeddings` (the bundled static model by default); or give an `optimizer` with all settings.

    It can also shorten answers. `limits=OutputLimits()` learns how long each task's answers are
    (`task` in the run's metadata), caps later ones, and calls again without the cap if it cut an
    answer off. `form="line"` sets stop sequences. `limits.cap(task)` returns the cap and the share
    of answers that it cut off.
    """

    optimizer: RequestOptimizer = Field(default_factory=RequestOptimizer, exclude=True)
    """Shortens the prompts; by default without loss of information."""
    limits: OutputLimits | None = Field(default=None, exclude=True)
    """Learns caps on output tokens; streams are not capped, since they cannot be repeated."""
    form: AnswerForm | None = None
    """The expected form of every answer, for stop sequences; none by default."""

    def __init__(
        self,
        model: BaseChatModel | str,
        optimizer: RequestOptimizer | None = None,
        *,
        context_tokens: int | None = None,
        embeddings: Embeddings | None = None,
        **settings: Any,
    ) -> None:
        settings["optimizer"] = build_optimizer(context_tokens, optimizer, embeddings)
        super().__init__(model, **settings)

    def warm_up(self) -> None:
        """See `DelegatingChatModel.warm_up`."""
        self.optimizer.warm_up(self._name(nested_call([], None, {})))
        super().warm_up()

    def _own_settings(self) -> Mapping[str, Any]:
        return {"optimizer": self.optimizer, "form": self.form}

    def _answer(self, call: ModelCall) -> ChatResult:
        shorter = self._shorter(call)
        with self._capped(shorter) as capped:
            with call_scope(capped.first):
                result = _first_call(shorter, capped).generate(self.model)
            if capped.needs_retry(*_end_of(result)):
                with call_scope(capped.retry):
                    result = _with_run_id(shorter, capped.retry).generate(self.model)
        return _marked(result, shorter)

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        shorter = await self._ashorter(call)
        with self._capped(shorter) as capped:
            with call_scope(capped.first):
                result = await _first_call(shorter, capped).agenerate(self.model)
            if capped.needs_retry(*_end_of(result)):
                with call_scope(capped.retry):
                    result = await _with_run_id(shorter, capped.retry).agenerate(self.model)
        return _marked(result, shorter)

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        shorter = self._shorter(call)
        mark = _mark(shorter)
        for chunk in shorter.stream(self.model):
            yield _with_mark(chunk, mark)
            mark = {}  # Chunks are added up, so only the first carries the mark.

    async def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        shorter = await self._ashorter(call)
        mark = _mark(shorter)
        async with closing_async(shorter.astream(self.model)) as chunks:
            async for chunk in chunks:
                yield _with_mark(chunk, mark)
                mark = {}

    def _shorter(self, call: ModelCall) -> ModelCall:
        call = with_stop_sequences(call, self._name(call), self.form)
        return self.optimizer.apply(*self._translation(call), otherwise=call)

    async def _ashorter(self, call: ModelCall) -> ModelCall:
        call = with_stop_sequences(call, self._name(call), self.form)
        return await self.optimizer.aapply(*self._translation(call), otherwise=call)

    def _translation(
        self, call: ModelCall
    ) -> tuple[Callable[[], ChatRequest], Callable[[Optimized], ModelCall]]:
        """Return functions that read the core request, and write the optimised one back."""
        tools = call.kwargs.get("tools") or ()
        return (
            lambda: prompt_request(call.messages, self._name(call), tools=tools),
            lambda optimized: replace(call, messages=rewritten(call.messages, optimized)),
        )

    def _capped(self, call: ModelCall) -> CappedCall:
        """Return the task's cap for this call, unless the call or the model sets a limit itself."""
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


def _mark(call: ModelCall) -> dict[str, Any]:
    """Return the record of removed tokens, which the answer carries so that hits include it."""
    return (
        dict(call.messages[-1].additional_kwargs.get(METADATA_KEY) or {}) if call.messages else {}
    )


def _marked(result: ChatResult, call: ModelCall) -> ChatResult:
    mark = _mark(call)
    generations = [
        g.model_copy(update={"message": _with_mark(g.message, mark)}) for g in result.generations
    ]
    return result.model_copy(update={"generations": generations})


def _with_mark(message: M, mark: dict[str, Any]) -> M:
    if not mark:
        return message
    earlier = message.response_metadata.get(METADATA_KEY) or {}
    metadata = {**message.response_metadata, METADATA_KEY: {**earlier, **mark}}
    return message.model_copy(update={"response_metadata": metadata})


def _first_call(call: ModelCall, capped: CappedCall) -> ModelCall:
    """Return the call with its task's cap, if it has one."""
    if capped.cap is None:
        return call
    kwargs = {**call.kwargs, "max_tokens": capped.cap.tokens}
    return replace(_with_run_id(call, capped.first), kwargs=kwargs)


def _with_run_id(call: ModelCall, context: CallContext) -> ModelCall:
    """Return the call with the id under which it is recorded."""
    return replace(call, config={**call.config, "run_id": UUID(context.id)})


def with_stop_sequences(call: ModelCall, model: str, form: AnswerForm | None) -> ModelCall:
    """Return the call with the answer form's stop sequences, unless its settings rule them out."""
    set_already = dict(call.kwargs)
    if call.stop is not None:
        set_already["stop"] = call.stop
    if DEFERRED_BINDING in call.kwargs:
        set_already["response_format"] = call.kwargs[DEFERRED_BINDING]
    request = ChatRequest(messages=(), model=model, params=set_already)
    stop = with_answer_form(request, form=form).params.get("stop")
    return call if stop is None or "stop" in set_already else replace(call, stop=stop)


def _end_of(result: ChatResult) -> tuple[str | None, Usage | None]:
    """Return why the answer ended, and the tokens it used."""
    message = result.generations[0].message if result.generations else None
    if not isinstance(message, AIMessage):
        return None, None
    return finish_reason_of(message.response_metadata), usage_of(message)
