"""What LangChain knows of a model and a call, in the core's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from langchain_llm_optimizers.delegating import ModelCall
from langchain_llm_optimizers.messages import MARK
from llm_optimizers.costs.prices.names import provider_of
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing import ModelSpec, Previous, RoutingContext
from llm_optimizers.routing.specs import ALL_CAPABILITIES, Capability

__all__ = ["context_of", "model_of_name", "name_of", "spec_of"]

_PROFILE: Mapping[str, Capability] = {
    "tool_calling": "tools",
    "image_inputs": "vision",
    "audio_inputs": "audio",
    "pdf_inputs": "files",
}


def model_of_name(model: Any) -> Any:
    """A model given by name, as `openai:gpt-4o-mini`; anything else as it is.

    Raises:
        ConfigurationError: names need the `langchain` package, which is missing.
    """
    if not isinstance(model, str):
        return model
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise ConfigurationError(
            f"to give {model!r} by name: pip install 'llm-optimizers[langchain]'"
        ) from error
    return init_chat_model(model)


def name_of(model: Any) -> str:
    """What a model without a name of its own is called."""
    if isinstance(model, str):
        return model
    if isinstance(model, BaseChatModel):
        stated = model._get_ls_params().get("ls_model_name")
        return str(stated or type(model).__name__)
    raise ConfigurationError(
        f"a router's models are chat models or their names, not {type(model).__name__}"
    )


def spec_of(name: str, child: BaseChatModel) -> ModelSpec:
    """What a child says of itself: name and provider for its price, and its profile."""
    params: Mapping[str, Any] = dict(child._get_ls_params())
    profile: Mapping[str, Any] = child.profile or {}
    lacking = {capability for key, capability in _PROFILE.items() if profile.get(key) is False}
    window = profile.get("max_input_tokens")
    return ModelSpec(
        name,
        model=str(params.get("ls_model_name") or name),
        provider=provider_of(type(child).__name__, str(params.get("ls_provider") or "")),
        context_window=window if isinstance(window, int) and window > 0 else None,
        capabilities=ALL_CAPABILITIES - lacking,
    )


def context_of(call: ModelCall, *, streaming: bool) -> RoutingContext:
    """Who asks, in which conversation, for what: from the run's metadata and configuration."""
    return RoutingContext.from_tags(
        {**(call.config.get("configurable") or {}), **(call.config.get("metadata") or {})},
        previous=_previous(call.messages),
        streaming=streaming,
    )


def _previous(messages: list[BaseMessage]) -> Previous | None:
    """Who gave the last answer, if a router did and its stamp is still there."""
    last = next((m for m in reversed(messages) if isinstance(m, AIMessage)), None)
    stamp = last.response_metadata.get(MARK) if last is not None else None
    if not isinstance(stamp, Mapping) or not isinstance(stamp.get("routed"), str):
        return None
    at = stamp.get("at")
    return Previous(model=stamp["routed"], at=at if isinstance(at, int | float) else None)
