"""What LlamaIndex knows of LLMs and of a call, in the router's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llama_index.core.base.llms.types import MessageRole
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation.dispatcher import active_instrument_tags

from llama_index_llm_optimizers.call import ChatCall, ModelCall
from llama_index_llm_optimizers.delegating import class_name_of
from llama_index_llm_optimizers.messages import ROUTED_KEY
from llm_optimizers.costs.prices.names import provider_of
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing import ModelSpec, Previous, RoutingContext
from llm_optimizers.routing.specs import ALL_CAPABILITIES

__all__ = ["named", "previous_answer", "routing_context", "spec_of"]


def spec_of(name: str, llm: LLM) -> ModelSpec:
    """What a router needs to know of an LLM.

    The context window is left to the price book where the integration only gives the framework's
    default.
    """
    told = llm.metadata
    tools = told.is_function_calling_model and isinstance(llm, FunctionCallingLLM)
    known = told.context_window != DEFAULT_CONTEXT_WINDOW
    return ModelSpec(
        name,
        model=told.model_name,
        provider=provider_of(class_name_of(llm)),
        context_window=told.context_window if known else None,
        capabilities=ALL_CAPABILITIES if tools else ALL_CAPABILITIES - {"tools"},
    )


def previous_answer(call: ModelCall) -> Previous | None:
    """Who gave the conversation's last answer, if one of several LLMs did."""
    if not isinstance(call, ChatCall):
        return None
    said = (m for m in reversed(call.messages) if m.role == MessageRole.ASSISTANT)
    last = next(said, None)
    mark = last.additional_kwargs.get(ROUTED_KEY) if last is not None else None
    if not isinstance(mark, Mapping) or not isinstance(mark.get("model"), str):
        return None
    at = mark.get("at")
    return Previous(model=mark["model"], at=at if isinstance(at, int | float) else None)


def named(models: Mapping[str, LLM] | Sequence[LLM]) -> dict[str, LLM]:
    """LLMs by the name that policies and records use: one given, or the model's own.

    Raises:
        ConfigurationError: two LLMs would have one name.
    """
    if isinstance(models, Mapping):
        return dict(models)
    named = {llm.metadata.model_name: llm for llm in models}
    if len(named) != len(models):
        raise ConfigurationError("two LLMs have one model name: give them names in a mapping")
    return named


def routing_context() -> RoutingContext:
    """What the user's instrumentation tags say of a call."""
    return RoutingContext.from_tags(active_instrument_tags.get())
