"""`RoutedLLM`: each call goes to the cheapest LLM that answers it well enough."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic import Field, PrivateAttr, SerializeAsAny, SkipValidation

from llama_index_llm_optimizers.attempts import REPLY_READER, AttemptCaller, Session
from llama_index_llm_optimizers.binding import DeferredTools, tool_selections
from llama_index_llm_optimizers.call import ModelCall, Reply
from llama_index_llm_optimizers.delegating import DelegatingLLM
from llama_index_llm_optimizers.messages import request_of
from llama_index_llm_optimizers.profiles import named, previous_answer, routing_context, spec_of
from llm_optimizers.costs import Ledger
from llm_optimizers.costs.context import context_of
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.routing import ModelSpec, Policy, Router, RoutingContext, UserTier

__all__ = ["RoutedLLM"]


class RoutedLLM(DelegatingLLM):
    """Several LLMs as one: a policy picks, failures fall back, cascades are checked.

    Example:
        ```python
        policy = KeywordPolicy(weak="gpt-4o-mini", strong="gpt-4o")
        llm = RoutedLLM([OpenAI(model="gpt-4o-mini"), OpenAI(model="gpt-4o")], policy=policy)
        ```

    Without a policy every call goes to the safe LLM. The LLMs may be of several providers: tools
    are written for the one that is chosen, and a conversation with a pending tool result stays
    with the one that asked for it. A stream may fall back until its first chunk; where a policy
    asks for a cascade all the same, it is streamed once its answer is accepted. What it reports
    of itself is what holds for every LLM: the smallest context window, and tools only if all
    have them. Responses say who answered in `additional_kwargs["routing"]`.

    Args:
        models: LLMs weakest first, by name or each by its model's name.
        policy: Who chooses; see `llm_optimizers.routing`.
        safe: The LLM that serves when nothing better is known, and the counterfactual that
            savings are counted against; the last by default.
        tiers: Bounds for kinds of users.
        ledger: Where decisions are noted.
        router: A configured core in place of `policy`, `safe`, `tiers` and `ledger`.
        deadline_s: Seconds for all attempts together.
        context: What is known of a call besides it; by default the instrumentation tags `user`,
            `session`, `tier` and `task`.
        traffic: Keeps a sample of the questions in a file of yours, to label and calibrate on.

    Raises:
        ConfigurationError: models, policy and safe LLM do not go together; says which.
    """

    models: dict[str, SerializeAsAny[LLM]]
    router: SkipValidation[Router] = Field(exclude=True)
    deadline_s: float | None = None
    context: Callable[[], RoutingContext] | None = Field(default=None, exclude=True)
    traffic: SkipValidation[SampleStore] | None = Field(default=None, exclude=True)
    _specs: dict[str, ModelSpec] = PrivateAttr(default_factory=dict)

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
        llms = named(models)
        if router is None:
            specs = [spec_of(name, llm) for name, llm in llms.items()]
            router = Router(specs, policy=policy, safe=safe, tiers=tiers, ledger=ledger)
        missing = [spec.name for spec in router.model_tiers.specs if spec.name not in llms]
        if missing:
            raise ConfigurationError(f"the router has models without an LLM: {', '.join(missing)}")
        super().__init__(models=llms, router=router, **data)
        # A router given by hand may call its models as it likes: prices go by the LLM's own name.
        self._specs = {name: spec_of(name, llm) for name, llm in llms.items()}

    @classmethod
    def class_name(cls) -> str:
        """See `BaseComponent.class_name`."""
        return "RoutedLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What holds for every LLM, under the safe one's name."""
        told = [llm.metadata for llm in self._children]
        tools = [isinstance(llm, FunctionCallingLLM) for llm in self._children]
        return told[0].model_copy(
            update={
                "context_window": min(each.context_window for each in told),
                "num_output": min(each.num_output for each in told),
                "is_chat_model": all(each.is_chat_model for each in told),
                "is_function_calling_model": all(tools)
                and all(each.is_function_calling_model for each in told),
            }
        )

    @property
    def _children(self) -> Sequence[LLM]:
        safe = self.models[self.router.safe]
        return (safe, *(llm for llm in self.models.values() if llm is not safe))

    def _answer(self, call: ModelCall) -> Reply:
        attempts = self._attempts(call)
        return attempts.session.answer(attempts)

    async def _aanswer(self, call: ModelCall) -> Reply:
        attempts = self._attempts(call)
        return await attempts.session.aanswer(attempts)

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        attempts = self._attempts(call, streaming=True)
        return attempts.session.stream(attempts)

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        attempts = self._attempts(call, streaming=True)
        return attempts.session.astream(attempts)

    def _attempts(self, call: ModelCall, *, streaming: bool = False) -> AttemptCaller:
        """Start a session.

        Raises:
            NoModelFitsError: no LLM can take it; lists each with its reason.
            ConfigurationError: a message holds something that cannot be seen.
        """
        known = call.context.copy().run(self.context or routing_context)
        session = Session(
            self.router,
            request_of(call, call.kwargs),
            replace(known, streaming=streaming, previous=known.previous or previous_answer(call)),
            REPLY_READER,
            models=self._specs,
            call_context=context_of(within=call.context),
            traffic=self.traffic,
            deadline_s=self.deadline_s,
        )
        return AttemptCaller(call=call, session=session, llms=self.models)

    # --- tools and structured output -------------------------------------------------------------

    @property
    def _uniform(self) -> bool:
        """Whether all LLMs are of one kind, so that one can speak for all."""
        return len({type(llm) for llm in self.models.values()}) == 1

    @property
    def _structuring(self) -> LLM:
        return super()._structuring if self._uniform else self

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
        offer = {
            "allow_parallel_tool_calls": allow_parallel_tool_calls,
            "tool_required": tool_required,
            **kwargs,
        }
        if self._uniform:
            return super()._prepare_chat_with_tools(
                tools, user_msg=user_msg, chat_history=chat_history, verbose=verbose, **offer
            )
        asked = ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg
        messages = [*(chat_history or []), *([] if asked is None else [asked])]
        return {"messages": messages, "tools": DeferredTools(tools, offer), **offer}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls of a response, whichever LLM gave it."""
        if self._uniform:
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
        if not self._uniform:
            return response
        return super()._validate_chat_with_tools_response(
            response, tools, allow_parallel_tool_calls=allow_parallel_tool_calls, **kwargs
        )
