"""`DelegatingLLM`: the base of LLMs that wrap others.

LlamaIndex's decorated LLM methods emit a start and an end event for each call. If a wrapper and the
LLM inside it both did, every token would count twice, so the eight methods here are not decorated:
only the child emits the events. Tools and structured output are in the child's own format, and
their calls go through the wrapper.
"""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from inspect import isfunction
from typing import Any, Self, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic import SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from llama_index_llm_optimizers.attributes import SET_ON_CHILDREN, ModelAttributes
from llama_index_llm_optimizers.binding import PROMPT_FIELDS, rebind
from llama_index_llm_optimizers.call import (
    ChatCall,
    CompletionCall,
    ModelCall,
    Reply,
    as_async_generator,
    as_generator,
)
from llama_index_llm_optimizers.pickling import WholeComponent
from llama_index_llm_optimizers.wrappers import check_settings, checked_child, run_settings
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest
from llm_optimizers.pickling import check_function
from llm_optimizers.warming import WarmsUp, warm_up_all

__all__ = ["DelegatingLLM"]


class DelegatingLLM(ModelAttributes, WarmsUp, WholeComponent, FunctionCallingLLM):
    """Maps the eight call methods of an LLM to four methods that answer a call.

    Subclasses define these (`_answer`, `_aanswer`, `_answer_stream`, `_aanswer_stream`) and their
    children. The first child's tools, structured output and prompt settings (unless given) are used
    before a child is chosen.

    Pickled, a wrapper takes its settings along, and the LLM in it as that LLM is pickled: without
    its connections and callback manager. Deep copies have another LLM and the same cache, router,
    ledger and optimizer.
    """

    def __init__(self, **data: Any) -> None:
        if "llm" in data:
            checked_child(data["llm"], type(self).__name__)
        check_settings(type(self), data)
        super().__init__(**data)
        first = self._children[0]
        for name in PROMPT_FIELDS:
            if name not in data:
                setattr(self, name, getattr(first, name))
        if "callback_manager" not in data:
            LLM.__setattr__(self, "callback_manager", first.callback_manager)
        for name in SET_ON_CHILDREN:
            if data.get(name) is not None:
                setattr(self, name, data[name])

    def warm_up(self) -> None:
        """Load now what this wrapper and those in it would load in the first call."""
        warm_up_all([self._own_part, *self._children])

    @property
    def _own_part(self) -> object:
        """What loads something on first use: the cache, the router; None if nothing does."""
        return None

    @property
    @abstractmethod
    def _children(self) -> Sequence[LLM]:
        """The wrapped LLMs, at least one."""

    def _travelling_fields(self) -> dict[str, Any]:
        """Leave out what is the first child's, which decides how it travels."""
        for child in self._children:
            for name in PROMPT_FIELDS:
                # LlamaIndex would leave out such a function, and send other prompts without it.
                if isfunction(found := getattr(child, name)):
                    check_function(f"{type(child).__name__}.{name}", found)
        fields, first = super()._travelling_fields(), self._children[0]
        for name in (*PROMPT_FIELDS, *SET_ON_CHILDREN):
            if name in SET_ON_CHILDREN or getattr(self, name) is getattr(first, name):
                fields.pop(name, None)
        return fields

    def _complete(self) -> None:
        first = self._children[0]
        for name in type(self).model_fields.keys() - vars(self).keys():
            default = type(self).model_fields[name].get_default(call_default_factory=True)
            vars(self)[name] = getattr(first, name, default)

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:  # noqa: ARG003 - never used
        """Raise: `to_dict` describes an LLM, for hashes; what a wrapper uses is not in it.

        Raises:
            ConfigurationError: always; the message says how to get the same LLM again.
        """
        raise ConfigurationError(
            f"a {cls.__name__} cannot be made from a dict, which has none of its cache, router, "
            "optimizer and functions: pickle it, or make the wrapped LLM from its dict and wrap it"
        )

    @model_serializer(mode="wrap")
    def custom_model_dump(
        self,
        handler: SerializerFunctionWrapHandler,
        info: SerializationInfo,
    ) -> dict[str, Any]:
        """Add a digest of what this wrapper does to an answer, for hashes of transformations.

        An `IngestionPipeline` would otherwise serve nodes that another router's LLM wrote. Settings
        that cannot be read get another digest each time, which no hash matches.
        """
        data: dict[str, Any] = {**handler(self), "class_name": self.class_name()}
        own = self._own_settings()
        if own:
            try:
                data["own_settings"] = digest(own)
            except ConfigurationError:
                data["own_settings"] = f"unknown-{secrets.token_hex(8)}"
        return data

    def _own_settings(self) -> Mapping[str, Any]:
        """What this wrapper itself does to an answer, as part of a cache key."""
        return {}

    def _run_settings(self, call: ModelCall) -> dict[str, Any]:
        """What a call's context says that affects its answer, as part of a cache key."""
        found: dict[str, Any] = {}
        for child in self._children:
            found |= run_settings(child, call)
        return found

    # Not abstract, as LlamaIndex would make a second span of each call in the wrapper.

    def _answer(self, call: ModelCall) -> Reply:
        """Answer a call."""
        raise NotImplementedError

    async def _aanswer(self, call: ModelCall) -> Reply:
        """Answer a call asynchronously."""
        raise NotImplementedError

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        """Answer a call in chunks."""
        raise NotImplementedError

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        """Answer a call in chunks asynchronously."""
        raise NotImplementedError

    # --- the eight call methods ----------------------------------------------------------------

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """See `LLM.chat`."""
        return cast("ChatResponse", self._answer(ChatCall(messages=messages, kwargs=kwargs)))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """See `LLM.achat`."""
        call = ChatCall(messages=messages, kwargs=kwargs)
        return cast("ChatResponse", await self._aanswer(call))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """See `LLM.complete`."""
        call = CompletionCall(prompt=prompt, formatted=formatted, kwargs=kwargs)
        return cast("CompletionResponse", self._answer(call))

    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """See `LLM.acomplete`."""
        call = CompletionCall(prompt=prompt, formatted=formatted, kwargs=kwargs)
        return cast("CompletionResponse", await self._aanswer(call))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """See `LLM.stream_chat`."""
        call = ChatCall(messages=messages, kwargs=kwargs)
        return cast("ChatResponseGen", as_generator(self._answer_stream(call)))

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """See `LLM.astream_chat`."""
        call = ChatCall(messages=messages, kwargs=kwargs)
        return cast("ChatResponseAsyncGen", as_async_generator(self._aanswer_stream(call)))

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """See `LLM.stream_complete`."""
        call = CompletionCall(prompt=prompt, formatted=formatted, kwargs=kwargs)
        return cast("CompletionResponseGen", as_generator(self._answer_stream(call)))

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """See `LLM.astream_complete`."""
        call = CompletionCall(prompt=prompt, formatted=formatted, kwargs=kwargs)
        return cast("CompletionResponseAsyncGen", as_async_generator(self._aanswer_stream(call)))

    # --- answered by the child -----------------------------------------------------------------

    @property
    def metadata(self) -> LLMMetadata:
        """The child's metadata; function calling only if the child is a FunctionCallingLLM."""
        child = self._children[0]
        found = child.metadata
        if found.is_function_calling_model and not isinstance(child, FunctionCallingLLM):
            return found.model_copy(update={"is_function_calling_model": False})
        return found

    @property
    def _structurer(self) -> LLM:
        """The LLM that builds structured output: the child, or this LLM in the default way."""
        return rebind(self._children[0], self)

    def structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        """Structured output in the child's own format, through this LLM."""
        chosen = self._structurer
        predict = super().structured_predict if chosen is self else chosen.structured_predict
        return predict(*args, **kwargs)

    async def astructured_predict(self, *args: Any, **kwargs: Any) -> Any:
        """Async version of `structured_predict`."""
        chosen = self._structurer
        predict = super().astructured_predict if chosen is self else chosen.astructured_predict
        return await predict(*args, **kwargs)

    def stream_structured_predict(self, *args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        """Partial structured output in the child's own format, through this LLM."""
        chosen = self._structurer
        own = chosen is self
        predict = super().stream_structured_predict if own else chosen.stream_structured_predict
        return predict(*args, **kwargs)

    async def astream_structured_predict(
        self, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        """Async version of `stream_structured_predict`."""
        chosen = self._structurer
        own = chosen is self
        predict = super().astream_structured_predict if own else chosen.astream_structured_predict
        return await predict(*args, **kwargs)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of a response in the child's format."""
        return self._function_calling_child().get_tool_calls_from_response(
            response, error_on_no_tool_call=error_on_no_tool_call, **kwargs
        )

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        return self._function_calling_child()._prepare_chat_with_tools_compat(
            tools,
            user_msg=user_msg,
            # The child may append the question to the list it is given.
            chat_history=None if chat_history is None else list(chat_history),
            verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        return self._function_calling_child()._validate_chat_with_tools_response(
            response, tools, allow_parallel_tool_calls=allow_parallel_tool_calls, **kwargs
        )

    def _function_calling_child(self) -> FunctionCallingLLM:
        child = self._children[0]
        if not isinstance(child, FunctionCallingLLM):
            raise ConfigurationError(
                f"{type(child).__name__} cannot call tools, so neither can this "
                f"{type(self).__name__} around it: use a FunctionCallingLLM, or a ReActAgent"
            )
        return child
