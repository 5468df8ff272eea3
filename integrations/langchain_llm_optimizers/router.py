"""`ChatModelRouter`: a chat model that sends each call to one of several."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field, PrivateAttr

from langchain_llm_optimizers.attempts import (
    REPLY_READER,
    AttemptCaller,
    RoutedChatCall,
    without_mark,
)
from langchain_llm_optimizers.binding import (
    DeferredStructuredOutput,
    DeferredTools,
    deferred_in,
    deferring,
    settings_for,
)
from langchain_llm_optimizers.call import with_attached
from langchain_llm_optimizers.children import check_settings
from langchain_llm_optimizers.delegating import DelegatingChatModel, ModelCall
from langchain_llm_optimizers.messages import METADATA_KEY, request_of_messages
from langchain_llm_optimizers.profiles import named_models, routing_context, spec_of
from langchain_llm_optimizers.surface import ChildSignature, with_child_signature
from llm_optimizers.arguments import field, number, refuse
from llm_optimizers.costs import Ledger, PriceBook
from llm_optimizers.costs.context import context_of
from llm_optimizers.effects import closing_async
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.routing import ModelSpec, Policy, Router, UserTier

__all__ = ["ChatModelRouter"]


class ChatModelRouter(DelegatingChatModel):
    """Sends each call to the model that a policy chooses.

    Example:
        ```python
        model = ChatModelRouter(
            models={"small": "openai:gpt-4o-mini", "large": ChatOpenAI(model="gpt-4o")},
            policy=LearnedPolicy("router.json"),
            ledger=Ledger("costs.sqlite"),
        )
        ```

    List the models from weakest to strongest. Tools and schemas are bound on the child that is
    chosen, in its own format; its cache, rate limiter and callbacks work as without a router. If a
    model fails before the first chunk, another takes over (give the children `max_retries=0`, or
    they retry before the router does). The run's metadata may contain `user`, `session`, `tier` and
    `task`. A conversation stays with its model during tool calls.

    An agent finds the router as the class that all its models share, with the abilities and windows
    that hold for all. Middleware for one provider does not find a router of several providers: set
    what such a provider needs on its own model.
    """

    model_config = ConfigDict(ignored_types=(ChildSignature,))

    models: dict[str, BaseChatModel]
    """Children by the name that policies and records use; strings go to `init_chat_model`."""
    policy: Any = Field(default=None, exclude=True)
    """A `Policy`; without one every call goes to the safe model."""
    safe: str | None = None
    """The fallback model, against which savings are counted; by default the last one."""
    specs: dict[str, ModelSpec] = Field(default_factory=dict, exclude=True)
    """Facts about a child that its profile does not give: tier, window, capabilities, latency."""
    tiers: dict[str, UserTier] = Field(default_factory=dict, exclude=True)
    """Limits by the `tier` in a run's metadata."""
    ledger: Ledger | None = Field(default=None, exclude=True)
    """Where routing decisions are recorded."""
    prices: PriceBook | None = Field(default=None, exclude=True)
    deadline_s: Annotated[float | None, field(number, above=0, none=True)] = None
    """Seconds for all attempts together, until the answer or a stream's first chunk."""
    traffic: SampleStore | None = Field(default=None, exclude=True)
    """Stores a sample of the questions in your own file, for labelling and calibration."""
    _router: Router = PrivateAttr()
    _child_specs: dict[str, ModelSpec] = PrivateAttr()

    def __init__(
        self,
        models: Mapping[str, BaseChatModel | str] | Sequence[BaseChatModel | str],
        **settings: Any,
    ) -> None:
        children = named_models(models, type(self).__name__)
        check_settings(type(self), settings)
        super().__init__(models=children, **settings)  # type: ignore[call-arg]  # pydantic's own
        self._give_settings_to_models()
        # Not in a validator: pydantic would wrap the core's errors in its own.
        for name in self.specs.keys() - self.models.keys():
            refuse("specs", self.specs, f"specs of this router's models; it has no {name!r}")
        self._child_specs = {name: spec_of(name, each) for name, each in self.models.items()}
        self._router = Router(
            [self.specs.get(name, spec) for name, spec in self._child_specs.items()],
            policy=cast("Policy | None", self.policy),
            safe=self.safe,
            tiers=self.tiers,
            prices=self.prices,
            ledger=self.ledger,
        )

    @property
    def router(self) -> Router:
        """The core's router, for `feedback`, `health` and decisions without a call."""
        return self._router

    @property
    def _child(self) -> BaseChatModel:
        return self.models[self._router.safe]

    @property
    def _children(self) -> Sequence[BaseChatModel]:
        return tuple(self.models.values())

    @property
    def _own_part(self) -> Router:
        return self._router

    def _replace_children(self, made: Callable[[BaseChatModel], BaseChatModel]) -> None:
        self.models = {name: made(child) for name, child in self.models.items()}

    @property
    def _llm_type(self) -> str:
        # Only a type that holds for all decides which settings of one provider are sent.
        types = {child._llm_type for child in self._children}
        return types.pop() if len(types) == 1 else "chat-model-router"

    def _own_settings(self) -> Mapping[str, Any]:
        return {"names": list(self.models), "router": self._router}

    def _run_settings(self, call: ModelCall) -> dict[str, Any]:
        own = replace(call, config=with_attached(call.config, self))
        return {**super()._run_settings(call), **routing_context(own, streaming=False).decisive}

    def _settings_for(self, child: BaseChatModel, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        return settings_for(child, kwargs)

    @with_child_signature
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Keep the tools until a child is chosen, which binds them."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return deferring(self, DeferredTools(tools=tuple(tools), kwargs=kwargs))

    def with_structured_output(
        self, schema: dict[str, Any] | type, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Return structured output in the format of the child that is chosen."""
        deferred = DeferredStructuredOutput(schema=schema, kwargs=kwargs)
        parse = RunnableLambda(partial(_parse, self, deferred), name="parse")
        return deferring(self, deferred) | parse

    def _passed_on(
        self, call: ModelCall, answer: AIMessage | None
    ) -> tuple[BaseChatModel, ModelCall, AIMessage | None]:
        child = self._answered_by(answer)
        _, call, _ = super()._passed_on(call, answer)
        try:
            kwargs = settings_for(child, call.kwargs)
        except Exception:  # noqa: BLE001 - only the run's parameters would show what is bound
            _, kwargs = deferred_in(call.kwargs)
        inner = None if answer is None else without_mark(answer)
        return child, replace(call, kwargs=kwargs), inner

    def _answered_by(self, answer: AIMessage | None) -> BaseChatModel:
        """Return the model that gave an answer, by its mark; the safe one if there is none."""
        mark = {} if answer is None else answer.response_metadata.get(METADATA_KEY) or {}
        return self.models.get(mark.get("routed", ""), self._child)

    def _answer(self, call: ModelCall) -> ChatResult:
        caller = self._caller(call, streaming=False)
        return caller.routed_call.answer(caller)

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        caller = await self._router.adecided(partial(self._caller, call, streaming=False))
        return await caller.routed_call.aanswer(caller)

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        caller = self._caller(call, streaming=True)
        return caller.routed_call.stream(caller)

    async def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        caller = await self._router.adecided(partial(self._caller, call, streaming=True))
        async with closing_async(caller.routed_call.astream(caller)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _caller(self, call: ModelCall, *, streaming: bool) -> AttemptCaller:
        """Start a routed call, with its requirements from messages, settings and metadata."""
        deferred, settings = deferred_in(call.kwargs)
        params = {**settings, **(deferred.request_params() if deferred is not None else {})}
        run_id = call.config.get("run_id")
        first_call_id = None if run_id is None else str(run_id)
        routed_call = RoutedChatCall(
            self._router,
            request_of_messages(call.messages, params),
            routing_context(call, streaming=streaming),
            REPLY_READER,
            models=self._child_specs,
            call_context=context_of(first_call_id),
            traffic=self.traffic,
            deadline_s=self.deadline_s,
            first_call_id=first_call_id,
        )
        return AttemptCaller(call=call, routed_call=routed_call, models=self.models)


def _parse(router: ChatModelRouter, deferred: DeferredStructuredOutput, message: AIMessage) -> Any:
    """Return what the child that answered reads in its answer."""
    return deferred.parse(router._answered_by(message), without_mark(message))
