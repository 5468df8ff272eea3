"""`ChatModelRouter`: one chat model that stands for several and asks the one that suffices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr

from langchain_llm_optimizers.binding import PORT, Port, StructurePort, ToolsPort
from langchain_llm_optimizers.delegating import DelegatingChatModel, ModelCall
from langchain_llm_optimizers.messages import MARK, request_of_messages
from langchain_llm_optimizers.profiles import context_of, model_of_name, name_of, spec_of
from langchain_llm_optimizers.routed import REPLIES, Attempts, Session
from llm_optimizers.costs import Ledger, PriceBook
from llm_optimizers.costs.context import context_of as known_of_call
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.routing import ModelSpec, Policy, Router, UserTier

__all__ = ["ChatModelRouter"]


class ChatModelRouter(DelegatingChatModel):
    """Sends each call to one of several models, as a policy decides.

    Example:
        ```python
        model = ChatModelRouter(
            models={"small": "openai:gpt-4o-mini", "large": ChatOpenAI(model="gpt-4o")},
            policy=LearnedPolicy("router.json"),
            ledger=Ledger("costs.sqlite"),
        )
        ```

    List the models weakest first. Tools and schemas are bound on whichever child is chosen, in
    its own format; its cache, rate limiter and callbacks work as they do without a router. A
    model that fails is replaced before the first chunk (give the children `max_retries=0`, or
    they wait before the router hears of it). The run's metadata may say `user`, `session`, `tier`
    and `task`. A conversation keeps its model through tool calls.
    """

    models: dict[str, BaseChatModel]
    """Children by the name that policies and records use; text is given to `init_chat_model`."""
    policy: Any = Field(default=None, exclude=True)
    """A `Policy`; without one everything goes to the safe model."""
    safe: str | None = None
    """Who serves when nothing better is known; the last of the models by default."""
    specs: dict[str, ModelSpec] = Field(default_factory=dict, exclude=True)
    """What is known of a child beyond its profile: tier, window, capabilities, latency."""
    tiers: dict[str, UserTier] = Field(default_factory=dict, exclude=True)
    """Bounds by the `tier` in a run's metadata."""
    ledger: Ledger | None = Field(default=None, exclude=True)
    """Where decision records go."""
    prices: PriceBook | None = Field(default=None, exclude=True)
    deadline_s: float | None = None
    """Seconds for all attempts, until the answer or a stream's first chunk."""
    traffic: SampleStore | None = Field(default=None, exclude=True)
    """Keeps a sample of the questions in a file of yours, to label and calibrate on."""
    _router: Router = PrivateAttr()
    _named: dict[str, ModelSpec] = PrivateAttr()

    def __init__(
        self,
        models: Mapping[str, BaseChatModel | str] | Sequence[BaseChatModel | str],
        **settings: Any,
    ) -> None:
        if not isinstance(models, Mapping):
            models = {name_of(model): model for model in models}
        children = {name: model_of_name(model) for name, model in models.items()}
        super().__init__(models=children, **settings)  # type: ignore[call-arg]  # pydantic's own
        # Not in a validator, which would wrap the core's errors in its own.
        self._named = {name: spec_of(name, each) for name, each in self.models.items()}
        self._router = Router(
            [self.specs.get(name, spec) for name, spec in self._named.items()],
            policy=cast("Policy | None", self.policy),
            safe=self.safe,
            tiers=self.tiers,
            prices=self.prices,
            ledger=self.ledger,
        )

    @property
    def router(self) -> Router:
        """The core's router: `feedback`, `health`, and decisions without a call."""
        return self._router

    @property
    def _child(self) -> BaseChatModel:
        return self.models[self._router.safe]

    @property
    def _children(self) -> Sequence[BaseChatModel]:
        return tuple(self.models.values())

    @property
    def _llm_type(self) -> str:
        return "chat-model-router"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {name: child._identifying_params for name, child in self.models.items()}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Keep the tools for whichever child is chosen."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(**{PORT: ToolsPort(tools=tuple(tools), kwargs=kwargs)})

    def with_structured_output(
        self, schema: dict[str, Any] | type, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Structured output in the way of whichever child answers."""
        port = StructurePort(schema=schema, kwargs=kwargs)

        def read(message: AIMessage) -> Any:
            served = message.response_metadata[MARK]["routed"]
            return port.read(self.models[served], message)

        return self.bind(**{PORT: port}) | RunnableLambda(read)

    def _answer(self, call: ModelCall) -> ChatResult:
        attempts = self._attempts(call, streaming=False)
        return attempts.session.answer(attempts)

    async def _aanswer(self, call: ModelCall) -> ChatResult:
        attempts = self._attempts(call, streaming=False)
        return await attempts.session.aanswer(attempts)

    def _answer_stream(self, call: ModelCall) -> Iterator[AIMessageChunk]:
        attempts = self._attempts(call, streaming=True)
        return attempts.session.stream(attempts)

    def _aanswer_stream(self, call: ModelCall) -> AsyncIterator[AIMessageChunk]:
        attempts = self._attempts(call, streaming=True)
        return attempts.session.astream(attempts)

    def _attempts(self, call: ModelCall, *, streaming: bool) -> Attempts:
        """Start a session; what the call needs is read from its messages, settings and metadata."""
        port: Port | None = call.kwargs.get(PORT)
        settings = {name: value for name, value in call.kwargs.items() if name != PORT}
        params = {**settings, **(port.needs() if port is not None else {})}
        run_id = call.config.get("run_id")
        first_call_id = None if run_id is None else str(run_id)
        session = Session(
            self._router,
            request_of_messages(call.messages, params),
            context_of(call, streaming=streaming),
            REPLIES,
            models=self._named,
            call_context=known_of_call(first_call_id),
            traffic=self.traffic,
            deadline_s=self.deadline_s,
            first_call_id=first_call_id,
        )
        return Attempts(call=call, session=session, models=self.models)
