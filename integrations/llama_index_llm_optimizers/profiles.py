"""Translate LLM metadata and a call's tags for the router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llama_index.core.base.llms.types import LLMMetadata, MessageRole
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation.dispatcher import active_instrument_tags

from llama_index_llm_optimizers.call import ChatCall, ModelCall
from llama_index_llm_optimizers.messages import ROUTED_KEY
from llama_index_llm_optimizers.wrappers import checked_child, class_name_of
from llm_optimizers.costs.prices.names import provider_of
from llm_optimizers.routing import ModelSpec, Previous, RoutingContext
from llm_optimizers.routing.specs import ALL_CAPABILITIES, named

__all__ = ["metadata_of", "named_llms", "previous_answer", "routing_context", "spec_of"]


def metadata_of(llm: LLM) -> LLMMetadata:
    """Return an LLM's metadata; what it says without its server, if that does not answer.

    Ollama's server is asked for the context window. A router whose other LLMs can answer must not
    need it.

    Raises:
        Exception: the LLM's own error, if it has no `model` either.
    """
    try:
        return llm.metadata
    except Exception:
        name = getattr(llm, "model", None)
        if not isinstance(name, str):
            raise
        return LLMMetadata(
            model_name=name,
            is_chat_model=True,
            is_function_calling_model=getattr(llm, "is_function_calling_model", False),
        )


def spec_of(name: str, llm: LLM) -> ModelSpec:
    """Return an LLM's name, provider, context window and capabilities.

    If an integration gives only LlamaIndex's default context window, the price book's is used.
    """
    metadata = metadata_of(llm)
    tools = metadata.is_function_calling_model and isinstance(llm, FunctionCallingLLM)
    known = metadata.context_window != DEFAULT_CONTEXT_WINDOW
    return ModelSpec(
        name,
        model=metadata.model_name or None,
        provider=provider_of(class_name_of(llm)),
        context_window=metadata.context_window if known and metadata.context_window > 0 else None,
        capabilities=ALL_CAPABILITIES if tools else ALL_CAPABILITIES - {"tools"},
    )


def previous_answer(call: ModelCall) -> Previous | None:
    """Return the LLM that gave the last answer, if it still carries a router's mark."""
    if not isinstance(call, ChatCall):
        return None
    answers = (m for m in reversed(call.messages) if m.role == MessageRole.ASSISTANT)
    last = next(answers, None)
    mark = last.additional_kwargs.get(ROUTED_KEY) if last is not None else None
    if not isinstance(mark, Mapping) or not isinstance(mark.get("model"), str):
        return None
    at = mark.get("at")
    return Previous(model=mark["model"], at=at if isinstance(at, int | float) else None)


def named_llms(models: Mapping[str, LLM] | Sequence[LLM], router: str) -> dict[str, LLM]:
    """Return a router's LLMs by name: the one given, or the model's own.

    Raises:
        ConfigurationError: as `named`, or one cannot be wrapped.
    """
    llms = named(
        models,
        lambda llm: metadata_of(checked_child(llm, router, "models")).model_name,
        router=router,
    )
    return {name: checked_child(llm, router, "models") for name, llm in llms.items()}


def routing_context() -> RoutingContext:
    """Return user, conversation, tier and task, from the instrumentation tags."""
    return RoutingContext.from_tags(active_instrument_tags.get())
