"""Shorter prompts inside an agent: what the model is sent changes, the agent's state does not.

Each model call is shortened again from the whole conversation, and since the same conversation
always gives the same bytes, what the provider has cached stays a prefix of what it is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AnyMessage, BaseMessage, SystemMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_llm_optimizers.prompts import optimizing, request_of, rewritten
from llm_optimizers.prompts import Optimized, RequestOptimizer
from llm_optimizers.types import ChatRequest

__all__ = ["PromptMiddleware"]


class PromptMiddleware(AgentMiddleware[Any, Any, Any]):
    """Makes every model call cheaper: `create_agent(model, middleware=[PromptMiddleware()])`.

    The model's own name decides how tokens are counted and what its provider's cache allows.

    Args:
        context_tokens: A budget for retrieved context in each message; None leaves it alone.
        optimizer: A configured core in place of the defaults, for a history that is folded, say.
        embeddings: Adds likeness in meaning to the choice of context.

    Raises:
        ConfigurationError: `context_tokens` is below one, or given beside `optimizer`.
    """

    def __init__(
        self,
        *,
        context_tokens: int | None = None,
        optimizer: RequestOptimizer | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        super().__init__()
        self._optimizer = optimizing(context_tokens, optimizer, embeddings)

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Send the cheaper request; the request as it is if shortening fails."""
        return handler(self._optimizer.apply(*_translation(request), otherwise=request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`; long conversations do not hold the event loop up."""
        cheaper = await self._optimizer.aapply(*_translation(request), otherwise=request)
        return await handler(cheaper)


def _translation(
    request: ModelRequest[Any],
) -> tuple[Callable[[], ChatRequest], Callable[[Optimized], ModelRequest[Any]]]:
    """How the request is read for the core, and how it is written back."""
    return lambda: _core(request), lambda found: _shown(request, found)


def _core(request: ModelRequest[Any]) -> ChatRequest:
    """The core's request: the system message first, the tools in OpenAI's form."""
    tools = [convert_to_openai_tool(tool) for tool in request.tools]
    return request_of(_all(request), _model_name(request), tools=tools)


def _shown(request: ModelRequest[Any], found: Optimized) -> ModelRequest[Any]:
    """The request with the messages that are to be sent, and their settings."""
    before, sent = _all(request), rewritten(_all(request), found)
    same = len(before) == len(sent) and all(a is b for a, b in zip(before, sent, strict=True))
    settings = {k: v for k, v in found.request.params.items() if k != "tools"}
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


def _all(request: ModelRequest[Any]) -> list[BaseMessage]:
    system = [] if request.system_message is None else [request.system_message]
    return [*system, *request.messages]


def _model_name(request: ModelRequest[Any]) -> str:
    params = request.model._get_ls_params()  # LangChain's own way to name any chat model
    return str(params.get("ls_model_name") or "")
