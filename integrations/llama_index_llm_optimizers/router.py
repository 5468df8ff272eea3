"""`RoutedLLM`: each call goes to the cheapest LLM that answers it well enough."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic import Field, SerializeAsAny, SkipValidation

from llama_index_llm_optimizers.binding import ToolBox, selections
from llama_index_llm_optimizers.call import ModelCall, Reply
from llama_index_llm_optimizers.delegating import DelegatingLLM
from llama_index_llm_optimizers.messages import request_of
from llama_index_llm_optimizers.profiles import context_of_tags, led_by, named, spec_of
from llama_index_llm_optimizers.routed import Route, interrupted, read_reply
from llama_index_llm_optimizers.streams import agenerated, chunks_of
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.samples import TrafficSample
from llm_optimizers.routing import Policy, Router, RoutingContext, UserTier
from llm_optimizers.routing.shells import arun, run

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
            savings are reckoned against; the last by default.
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
    traffic: SkipValidation[TrafficSample] | None = Field(default=None, exclude=True)

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
        missing = [spec.name for spec in router.ladder.specs if spec.name not in llms]
        if missing:
            raise ConfigurationError(f"the router has models without an LLM: {', '.join(missing)}")
        super().__init__(models=llms, router=router, **data)

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
        route = self._route(call)
        served: Reply | None = None
        try:
            served = run(
                self.router,
                route.decision,
                route.request,
                route.ask,
                read=read_reply,
                deadline_s=self.deadline_s,
            )
        finally:
            route.settle(served)
        return served

    async def _aanswer(self, call: ModelCall) -> Reply:
        route = self._route(call)
        served: Reply | None = None
        try:
            served = await arun(
                self.router,
                route.decision,
                route.request,
                route.aask,
                read=read_reply,
                deadline_s=self.deadline_s,
            )
        finally:
            route.settle(served)
        return served

    def _answer_stream(self, call: ModelCall) -> Iterator[Reply]:
        route = self._route(call, streaming=True)
        if route.decision.escalation is not None:
            yield from chunks_of(self._answer(call))
            return
        opened = run(
            self.router, route.decision, route.request, route.open, deadline_s=self.deadline_s
        )
        read: list[str] = []
        try:
            for chunk in opened.chunks:
                read.append(chunk.delta or "")
                yield chunk
        except Exception as error:
            raise interrupted(self.router, opened.model, error, "".join(read)) from error
        finally:
            opened.close()

    async def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[Reply]:
        route = self._route(call, streaming=True)
        if route.decision.escalation is not None:
            for chunk in chunks_of(await self._aanswer(call)):
                yield chunk
            return
        opened = await arun(
            self.router, route.decision, route.request, route.aopen, deadline_s=self.deadline_s
        )
        read: list[str] = []
        try:
            async for chunk in agenerated(opened.chunks):
                read.append(chunk.delta or "")
                yield chunk
        except Exception as error:
            raise interrupted(self.router, opened.model, error, "".join(read)) from error

    def _route(self, call: ModelCall, *, streaming: bool = False) -> Route:
        """Where the call goes.

        Raises:
            NoModelFitsError: no LLM can take it; lists each with its reason.
            ConfigurationError: a message holds something that cannot be seen.
        """
        request = request_of(call, call.kwargs)
        told = call.context.copy().run(self.context or context_of_tags)
        context = replace(told, streaming=streaming, previous=told.previous or led_by(call))
        if self.traffic is not None and request.question:
            self.traffic.offer(request.question, task=context.task)
        decision = self.router.decide(request, context)
        return Route(llms=self.models, call=call, request=request, decision=decision)

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
        return {"messages": messages, "tools": ToolBox(tools, offer), **offer}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls of a response, whichever LLM gave it."""
        if self._uniform:
            return super().get_tool_calls_from_response(
                response, error_on_no_tool_call=error_on_no_tool_call, **kwargs
            )
        return selections(response, required=error_on_no_tool_call)

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
