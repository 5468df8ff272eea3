"""`PromptMiddleware`: shorter prompts inside an agent, without a change of the agent's state.

Each model call is shortened from the whole conversation. The same conversation always gives the
same bytes, so what the provider has cached stays a prefix of the next request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AnyMessage, BaseMessage, SystemMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_llm_optimizers.binding import chosen_now, models_in
from langchain_llm_optimizers.prompts import build_optimizer, prompt_request, rewritten
from llm_optimizers.prompts import Optimized, RequestOptimizer
from llm_optimizers.types import ChatRequest
from llm_optimizers.warming import WarmsUp

__all__ = ["PromptMiddleware"]


class PromptMiddleware(WarmsUp, AgentMiddleware[Any, Any, Any]):
    """Shortens every model call: `create_agent(model, middleware=[PromptMiddleware()])`.

    The model's name decides how tokens are counted and what its provider's cache allows.

    Args:
        context_tokens: Maximum tokens of retrieved context in each message; None keeps it all.
        optimizer: A configured `RequestOptimizer`, for example one that summarises the history.
            An agent that edits JSON files by their exact text needs them as they are:
            `RequestOptimizer(passes=frozenset())`.
        embeddings: Used to choose context by meaning.

    Raises:
        ConfigurationError: `context_tokens` is below one, or given together with `optimizer`.
    """

    def __init__(
        self,
        *,
        context_tokens: int | None = None,
        optimizer: RequestOptimizer | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        super().__init__()
        self._optimizer = build_optimizer(context_tokens, optimizer, embeddings)

    def warm_up(self) -> None:
        """Load now what the first model call would load."""
        self._optimizer.warm_up()

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Send the shorter request; the original one if shortening fails."""
        return handler(self._optimizer.apply(*_translation(request), otherwise=request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Async version of `wrap_model_call`; long conversations do not block the event loop."""
        shorter = await self._optimizer.aapply(*_translation(request), otherwise=request)
        return await handler(shorter)


def _translation(
    request: ModelRequest[Any],
) -> tuple[Callable[[], ChatRequest], Callable[[Optimized], ModelRequest[Any]]]:
    """Return functions that read the core request, and write the optimised one back."""
    return lambda: _core_request(request), lambda optimized: _rewritten(request, optimized)


def _core_request(request: ModelRequest[Any]) -> ChatRequest:
    """Return the core's request: the system message first, the tools in OpenAI's format."""
    tools = [convert_to_openai_tool(tool) for tool in request.tools]
    return prompt_request(_all_messages(request), _model_name(request), tools=tools)


def _rewritten(request: ModelRequest[Any], optimized: Optimized) -> ModelRequest[Any]:
    """Return the request with the optimised messages and settings."""
    before, sent = _all_messages(request), rewritten(_all_messages(request), optimized)
    same = len(before) == len(sent) and all(a is b for a, b in zip(before, sent, strict=True))
    settings = {k: v for k, v in optimized.request.params.items() if k != "tools"}
    if same and not settings:
        return request
    system = None
    if request.system_message is not None and isinstance(first := sent[0], SystemMessage):
        system, sent = first, sent[1:]
    messages: list[AnyMessage] = list(sent)  # type: ignore[arg-type]  # BaseMessage, as it came
    return request.override(
        system_message=system,
        messages=messages,
        model_settings={**request.model_settings, **settings},
    )


def _all_messages(request: ModelRequest[Any]) -> list[BaseMessage]:
    system = [] if request.system_message is None else [request.system_message]
    return [*system, *request.messages]


def _model_name(request: ModelRequest[Any]) -> str:
    """Return the name of the model, or of the first in its bindings and fallbacks."""
    models = models_in(chosen_now(request.model))
    return str(next((each._get_ls_params().get("ls_model_name") for each in models), "") or "")
