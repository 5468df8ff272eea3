"""Translate LangChain's model profiles and a call's metadata for the router."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.children import chat_model_for
from langchain_llm_optimizers.messages import METADATA_KEY
from llm_optimizers.costs.prices.names import provider_of
from llm_optimizers.routing import ModelSpec, Previous, RoutingContext
from llm_optimizers.routing.specs import ALL_CAPABILITIES, Capability, named

__all__ = ["named_models", "routing_context", "spec_of"]

_PROFILE: Mapping[str, Capability] = {
    "tool_calling": "tools",
    "image_inputs": "vision",
    "audio_inputs": "audio",
    "pdf_inputs": "files",
}


def named_models(
    models: Mapping[str, Any] | Iterable[Any], router: str
) -> dict[str, BaseChatModel]:
    """Return a router's models by name: the one given, or the model's own.

    Raises:
        ConfigurationError: as `named`, or one is no chat model.
    """
    by_name = named(models, _default_name, router=router)
    return {name: chat_model_for(model, f"{router}([{{}}, …])") for name, model in by_name.items()}


def _default_name(model: Any) -> str:
    """Return the name of a model in a list without names."""
    if isinstance(model, BaseChatModel):
        return str(model._get_ls_params().get("ls_model_name") or type(model).__name__)
    return model if isinstance(model, str) else type(model).__name__


def spec_of(name: str, child: BaseChatModel) -> ModelSpec:
    """Return what a child states of its name, provider, context window and capabilities."""
    params: Mapping[str, Any] = dict(child._get_ls_params())
    profile: Mapping[str, Any] = child.profile or {}
    missing = {capability for key, capability in _PROFILE.items() if profile.get(key) is False}
    window = profile.get("max_input_tokens")
    return ModelSpec(
        name,
        model=str(params.get("ls_model_name") or name),
        provider=provider_of(type(child).__name__, str(params.get("ls_provider") or "")),
        context_window=window if isinstance(window, int) and window > 0 else None,
        capabilities=ALL_CAPABILITIES - missing,
    )


def routing_context(call: ModelCall, *, streaming: bool) -> RoutingContext:
    """Return user, conversation, tier and task, from the run's metadata and configuration."""
    return RoutingContext.from_tags(
        {**(call.config.get("configurable") or {}), **(call.config.get("metadata") or {})},
        previous=_previous(call.messages),
        streaming=streaming,
    )


def _previous(messages: list[BaseMessage]) -> Previous | None:
    """Return the model that gave the last answer, if it still carries a router's mark."""
    last = next((m for m in reversed(messages) if isinstance(m, AIMessage)), None)
    mark = last.response_metadata.get(METADATA_KEY) if last is not None else None
    if not isinstance(mark, Mapping) or not isinstance(mark.get("routed"), str):
        return None
    at = mark.get("at")
    return Previous(model=mark["routed"], at=at if isinstance(at, int | float) else None)
