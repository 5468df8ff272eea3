"""`DelegatingChatModel`: the base of chat models that wrap others.

LangChain opens a run in `invoke`, `stream` and `generate`. If a wrapper and the model inside it
both opened one, every token would count twice. So these methods are delegated: the child opens the
only run, with its own cache, rate limiter, callbacks and tracing parameters.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import RunnableConfig, ensure_config
from pydantic import ConfigDict, model_validator

from langchain_llm_optimizers.attributes import SETTINGS_OF_MODELS, ModelAttributes
from langchain_llm_optimizers.call import (
    ModelCall,
    calls_of_generate,
    nested_call,
    with_attached,
)
from langchain_llm_optimizers.llm_string import string_of_call
from langchain_llm_optimizers.surface import ModelSurface
from langchain_llm_optimizers.wrappers import underlying_models
from llm_optimizers.effects import closing_async
from llm_optimizers.pickling.models import PickledWhole
from llm_optimizers.warming import WarmsUp, warm_up_all

__all__ = ["DelegatingChatModel", "ModelCall"]


class DelegatingChatModel(ModelSurface, ModelAttributes, WarmsUp, PickledWhole, BaseChatModel):
    """Maps the public methods of a chat model to four methods that answer a call.

    Subclasses define these (`_answer`, `_aanswer`, `_answer_stream`, `_aanswer_stream`) and the
    child (`_child`) whose formats for tools and structured output, token counts and tracing
    parameters are used (`ModelSurface`).

    It can be pickled if its child can, and takes its settings along. Deep copies have another child
    and the same cache, router, ledger and optimizer.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    copied_fields: ClassVar[frozenset[str]] = frozenset(BaseChatModel.model_fields)
    settings_of_models: ClassVar[frozenset[str]] = SETTINGS_OF_MODELS

    def warm_up(self) -> None:
        """Load now what this wrapper and those in it would load in the first call."""
        warm_up_all([self._own_part, *self._children])

    @property
    def _own_part(self) -> object:
        """What loads something on first use: the cache, the router; None if nothing does."""
        return None

    def to_json(self) -> Any:
        """See `Serializable.to_json`: that this cannot be written, and the classes in it.

        LangChain would write the `repr`, which may show a secret that the child's own JSON hides.
        """
        written = super().to_json()
        if written["type"] == "not_implemented":
            children = ", ".join(type(child).__name__ for child in self._children)
            written = {**written, "repr": f"{type(self).__name__}({children})"}
        return written

    @model_validator(mode="after")
    def _without_settings_of_models(self) -> Self:
        """Leave to the models inside what was not given: their profile and their settings."""
        profile = {"profile"} if self.__dict__.get("profile") is None else set[str]()
        for name in profile | (self.settings_of_models - self.model_fields_set):
            self.__dict__.pop(name, None)
            self.model_fields_set.discard(name)
        return self

    @property
    @abstractmethod
    def _child(self) -> BaseChatModel:
        """The model whose formats and parameters are used before a child is chosen."""

    @property
    def _children(self) -> Sequence[BaseChatModel]:
        """The models behind this one, at least one."""
        return (self._child,)

    def _passed_on(
        self, call: ModelCall, answer: AIMessage | None
    ) -> tuple[BaseChatModel, ModelCall, AIMessage | None]:
        """Return the child that gets a call, and the call and its answer as the child has them.

        `answer` is what such a call brought earlier; None if that is not known.
        """
        return self._child, replace(call, config=with_attached(call.config, self)), answer

    def _own_settings(self) -> Mapping[str, Any]:
        """What this wrapper itself does to an answer, as part of a cache key."""
        return {}

    def _run_settings(self, call: ModelCall) -> dict[str, Any]:
        """What a call's run says that affects its answer, as part of a cache key."""
        found: dict[str, Any] = {}
        wrappers = [each for each in self._children if isinstance(each, DelegatingChatModel)]
        if wrappers:
            inner = replace(call, config=with_attached(call.config, self))
            for wrapper in wrappers:
                found |= wrapper._run_settings(inner)
        return found

    def _settings_for(self, child: BaseChatModel, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings with which a call with these reaches a child."""
        return kwargs

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"models": [child._identifying_params for child in self._children]}

    @property
    def _serialized(self) -> dict[str, Any]:
        # Of a run that LangChain opens for this model (typed event streams).
        return self._child._serialized

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return self._child._get_invocation_params(stop=stop, **kwargs)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> Any:
        return self._child._combine_llm_outputs(llm_outputs)

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return the text by which a cache of LangChain's knows a call, in LangChain's format."""
        return string_of_call(self, stop, kwargs)

    @abstractmethod
    def _answer(self, call: ModelCall) -> ChatResult:
        """Answer a call."""

    @abstractmethod
    async def _aanswer(self, call: ModelCall) -> ChatResult:
        """Answer a call asynchronously."""

    @abstractmethod
    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        """Answer a call in chunks."""

    @abstractmethod
    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        """Answer a call in chunks asynchronously."""

    # --- public methods ------------------------------------------------------------------------

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """See `BaseChatModel.invoke`."""
        return _message(self._answer(self._call(input, config, stop, kwargs)))

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """See `BaseChatModel.ainvoke`."""
        return _message(await self._aanswer(self._call(input, config, stop, kwargs)))

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """See `BaseChatModel.stream`; the tenant is read now, not at the first chunk."""
        return self._answer_stream(self._call(input, config, stop, kwargs))

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Async version of `stream`."""
        return self._aanswer_stream(self._call(input, config, stop, kwargs))

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """See `BaseChatModel.generate`."""
        calls = calls_of_generate(self, messages, stop, callbacks, kwargs)
        return self._llm_result([self._answer(call) for call in calls])

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """See `BaseChatModel.agenerate`."""
        calls = calls_of_generate(self, messages, stop, callbacks, kwargs)
        return self._llm_result(await asyncio.gather(*(self._aanswer(call) for call in calls)))

    # --- called inside a run that LangChain opened for this model (typed event streams) --------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._answer(nested_call(messages, stop, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await self._aanswer(nested_call(messages, stop, kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for message in self._answer_stream(nested_call(messages, stop, kwargs)):
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with closing_async(
            self._aanswer_stream(nested_call(messages, stop, kwargs))
        ) as messages_of_stream:
            async for message in messages_of_stream:
                chunk = ChatGenerationChunk(message=message)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    # --- translation ---------------------------------------------------------------------------

    def _call(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None,
        stop: list[str] | None,
        kwargs: dict[str, Any],
    ) -> ModelCall:
        return ModelCall(
            messages=self._convert_input(input).to_messages(),
            config=with_attached(ensure_config(config), self),
            stop=stop,
            kwargs=kwargs,
        )

    def _llm_result(self, results: Sequence[ChatResult]) -> LLMResult:
        """Return the answers to several prompts, with what their model says of them together."""
        outputs = [each.llm_output or None for each in results]
        if len(results) != 1:
            kinds = {type(each) for each in underlying_models(self)}
            # A class adds up its own outputs only.
            outputs = [self._combine_llm_outputs(outputs)] if len(kinds) == 1 else [None]
        runs = [run for each in results for run in getattr(each, "runs", None) or ()]
        return LLMResult(
            generations=[list(each.generations) for each in results],
            llm_output=outputs[0] or {},
            run=runs or None,
        )


def _message(result: ChatResult) -> AIMessage:
    return cast("AIMessage", result.generations[0].message)
