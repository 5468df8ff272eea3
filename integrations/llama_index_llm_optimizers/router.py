"""`RoutedLLM`: an LLM that sends each call to one of several."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic import Field, PrivateAttr, SerializeAsAny, SkipValidation

from llama_index_llm_optimizers.attempts import REPLY_READER, AttemptCaller, RoutedLLMCall
from llama_index_llm_optimizers.binding import DeferredTools, tool_selections
from llama_index_llm_optimizers.call import ModelCall, Reply
from llama_index_llm_optimizers.delegating import DelegatingLLM
from llama_index_llm_optimizers.messages import ROUTING_KEY, request_of
from llama_index_llm_optimizers.profiles import (
    metadata_of,
    named_llms,
    previous_answer,
    routing_context,
    spec_of,
)
from llama_index_llm_optimizers.wrappers import underlying_models
from llm_optimizers.arguments import field, function, instance, number, optional, refuse
from llm_optimizers.costs import Ledger
from llm_optimizers.costs.context import context_of
from llm_optimizers.effects import closing_async
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.routing import ModelSpec, Policy, Router, RoutingContext, UserTier

__all__ = ["RoutedLLM"]


class RoutedLLM(DelegatingLLM):
    """Sends each call to the LLM that a policy chooses, with fallbacks and cascades.

    Example:
        ```python
        policy = KeywordPolicy(weak="gpt-4o-mini", strong="gpt-4o")
        llm = RoutedLLM([OpenAI(model="gpt-4o-mini"), OpenAI(model="gpt-4o")], policy=policy)
        ```

    Without a policy every call goes to the safe LLM. The LLMs may be of several providers: tools
    are written in the format of the chosen one, and the LLM that called a tool also gets its
    result. A stream can fall back until its first chunk; a cascade's stream starts once its answer
    is accepted. `metadata` is what holds for every LLM: the smallest context window, and function
    calling only if all have it. Responses say which LLM answered in `additional_kwargs["routing"]`.

    Args:
        models: LLMs from weakest to strongest, in a mapping by name, or named after their models.
        policy: Chooses the LLM; see `llm_optimizers.routing`.
        safe: The fallback LLM, against which savings are counted; by default the last one.
        tiers: Limits by the user's tier.
        ledger: Where routing decisions are recorded.
        router: A configured `Router` instead of `policy`, `safe`, `tiers` and `ledger`.
        deadline_s: Seconds for all attempts together.
        context: Returns the call's `RoutingContext`; by default read from the instrumentation tags
            `user`, `session`, `tier` and `task`.
        traffic: Stores a sample of the questions in your own file, for labelling and calibration.

    Raises:
        ConfigurationError: models, policy and safe LLM do not fit together; the message says which.
    """

    models: dict[str, SerializeAsAny[LLM]]
    router: SkipValidation[Router] = Field(exclude=True)
    deadline_s: Annotated[float | None, field(number, above=0, none=True)] = None
    context: Annotated[Callable[[], RoutingContext] | None, field(function, none=True)] = Field(
        default=None, exclude=True
    )
    traffic: Annotated[
        SkipValidation[SampleStore] | None, field(instance, SampleStore, none=True)
    ] = Field(default=None, exclude=True)
    _child_specs: dict[str, ModelSpec] = PrivateAttr(default_factory=dict)

    def __init__(
        self,
        models: Mapping[str, LLM] | Sequence[LLM],
        *,
        policy: Policy | None = None,
        safe: str | None = None,
        tiers: Mapping[str, UserTier] | None = None,
        ledger: Ledger | None = None,
        router: Router | None = None,
        **data: Any,
    ) -> None:
        llms = named_llms(models, type(self).__name__)
        optional(instance, "router", router, Router)
        if router is not None and any(each is not None for each in (policy, safe, tiers, ledger)):
            give = "either a Router, or `policy`, `safe`, `tiers` and `ledger`"
            refuse("router", router, give)
        if router is None:
            specs = [spec_of(name, llm) for name, llm in llms.items()]
            router = Router(specs, policy=policy, safe=safe, tiers=tiers, ledger=ledger)
        missing = [spec.name for spec in router.model_tiers.specs if spec.name not in llms]
        if missing:
            raise ConfigurationError(
                f"the router has models that are not among the LLMs: {', '.join(missing)}"
            )
        super().__init__(models=llms, router=router, **data)
        # A given router may use other names for its models; prices need the LLMs' own names.
        self._child_specs = {name: spec_of(name, llm) for name, llm in llms.items()}

    @classmethod
    def class_name(cls) -> str:
        """See `BaseComponent.class_name`."""
        return "RoutedLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What holds for every LLM, under the safe LLM's name."""
        found = [metadata_of(llm) for llm in self._children]
        tools = [isinstance(llm, FunctionCallingLLM) for llm in self._children]
        return found[0].model_copy(
            update={
                "context_window": min(each.context_window for each in found),
                "num_output": min(each.num_output for each in found),
                "is_chat_model": all(each.is_chat_model for each in found),
                "is_function_calling_model": all(tools)
                and all(each.is_function_calling_model for each in found),
            }
        )

    @property
    def _children(self) -> Sequence[LLM]:
        safe = self.models[self.router.safe]
        return (safe, *(llm for llm in self.models.values() if llm is not safe))

    @property
    def _own_part(self) -> Router:
        return self.router

    def _replace_children(self, made: Callable[[LLM], LLM]) -> None:
        self.models = {name: made(llm) for name, llm in self.models.items()}
        self._child_specs = {name: spec_of(name, llm) for name, llm in self.models.items()}

    def _own_settings(self) -> Mapping[str, Any]:
        return {"router": self.router}

    def _run_settings(self, call: ModelCall) -> dict[str, Any]:
        return {**super()._run_settings(call), **self._known(call).decisive}

    def _answer(self, call: ModelCall) -> Reply:
        caller = self._caller(call)
        return caller.routed_call.answer(caller)

    async def _aanswer(self, call: ModelCall) -> Reply:
        caller = await self.router.adecided(partial(self._caller, call))
        return await caller.routed_call.aanswer(caller)

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        caller = self._caller(call, streaming=True)
        return caller.routed_call.stream(caller)

    async def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        caller = await self.router.adecided(partial(self._caller, call, streaming=True))
        async with closing_async(caller.routed_call.astream(caller)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _caller(self, call: ModelCall, *, streaming: bool = False) -> AttemptCaller:
        """Start a routed call.

        Raises:
            NoModelFitsError: no LLM can take the call; the message says why for each.
            ConfigurationError: a message has content that cannot be read.
        """
        known = self._known(call)
        routed_call = RoutedLLMCall(
            self.router,
            request_of(call, call.kwargs),
            replace(known, streaming=streaming, previous=known.previous or previous_answer(call)),
            REPLY_READER,
            models=self._child_specs,
            call_context=context_of(within=call.context),
            traffic=self.traffic,
            deadline_s=self.deadline_s,
        )
        return AttemptCaller(call=call, routed_call=routed_call, llms=self.models)

    def _known(self, call: ModelCall) -> RoutingContext:
        """Return what the code that made the call says of it."""
        return call.context.copy().run(self.context or routing_context)

    # --- tools and structured output -------------------------------------------------------------

    @property
    def _same_class(self) -> bool:
        """Whether all LLMs are of one class in their wrappers, so that they share a tool format."""
        return len({type(each) for each in underlying_models(self)}) == 1

    @property
    def _structurer(self) -> LLM:
        return super()._structurer if self._same_class else self

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
        options = {
            "allow_parallel_tool_calls": allow_parallel_tool_calls,
            "tool_required": tool_required,
            **kwargs,
        }
        if self._same_class:
            return super()._prepare_chat_with_tools(
                tools, user_msg=user_msg, chat_history=chat_history, verbose=verbose, **options
            )
        question = ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg
        messages = [*(chat_history or []), *([] if question is None else [question])]
        return {"messages": messages, "tools": DeferredTools(tools, options), **options}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of a response of any of the LLMs."""
        if self._same_class:
            return super().get_tool_calls_from_response(
                response, error_on_no_tool_call=error_on_no_tool_call, **kwargs
            )
        return tool_selections(response, required=error_on_no_tool_call)

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        mark = response.additional_kwargs.get(ROUTING_KEY) or {}
        answered = self.models.get(mark.get("model", ""), self._children[0])
        if isinstance(answered, FunctionCallingLLM):
            response = answered._validate_chat_with_tools_response(
                response, tools, allow_parallel_tool_calls=allow_parallel_tool_calls, **kwargs
            )
        return response
