"""The LLM settings that are part of a cache key, as values that can be hashed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.llms.llm import LLM, default_completion_to_prompt
from llama_index.core.schema import BaseComponent

from llama_index_llm_optimizers.delegating import DelegatingLLM
from llm_optimizers.caching.keys import fingerprint
from llm_optimizers.caching.sampling import asks_for_sample

__all__ = ["identity_of_call", "identity_of_embedding", "identity_of_llm", "sampled"]

_IRRELEVANT = frozenset(
    {
        # How a call is made and with which API key, not what is requested.
        "api_key",
        "api_version",
        "callback_manager",
        "class_name",
        "default_headers",
        "embed_batch_size",
        "embeddings_cache",
        "max_retries",
        "num_workers",
        "rate_limiter",
        "reuse_client",
        "timeout",
        # Handled in `identity_of_llm`, or applied before the call is made.
        "completion_to_prompt",
        "messages_to_prompt",
        "output_parser",
        "pydantic_program_mode",
        "query_wrapper_prompt",
        "system_prompt",
    }
)
_DEFAULTS = (default_completion_to_prompt, messages_to_prompt)


def identity_of_call(llm: LLM, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a call, the LLM's and its own, with schema classes as JSON schemas.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    return {
        **{name: fingerprint(value) for name, value in kwargs.items()},
        "llm": identity_of_llm(llm),
    }


def identity_of_llm(llm: LLM) -> dict[str, Any]:
    """Return the settings of an LLM that affect its answers, with those of wrapped LLMs.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    identity = _fields(llm)
    identity["model_name"] = llm.metadata.model_name
    # Used by `chat` and `complete` of LLMs that have no chat format.
    for name in ("messages_to_prompt", "completion_to_prompt"):
        function = getattr(llm, name)
        if function not in _DEFAULTS:
            identity[name] = fingerprint(function)
    if llm.system_prompt:
        identity["system_prompt"] = llm.system_prompt
    return identity


def sampled(llm: LLM, kwargs: Mapping[str, Any]) -> bool:
    """Return whether settings of the user ask for varying answers, at any LLM that may answer.

    A class's own default is not the user's; some classes set it in any case.
    """
    if isinstance(llm, DelegatingLLM):
        return any(sampled(child, kwargs) for child in llm._children)
    return asks_for_sample(_given(llm), kwargs)


def _given(llm: LLM) -> dict[str, Any]:
    """Return the settings that are not their class's defaults."""
    fields = type(llm).model_fields
    return {
        name: value
        for name, value in ((name, getattr(llm, name, None)) for name in fields)
        if value is not None and value != fields[name].get_default(call_default_factory=True)
    }


def identity_of_embedding(model: BaseEmbedding) -> dict[str, Any]:
    """Return the settings of an embedding model that affect its vectors.

    Raises:
        ConfigurationError: a setting is an object whose content cannot be read.
    """
    return _fields(model)


def _fields(component: BaseComponent) -> dict[str, Any]:
    identity: dict[str, Any] = {"class": f"{type(component).__module__}.{type(component).__name__}"}
    for name, field in type(component).model_fields.items():
        if name not in _IRRELEVANT and not field.exclude:
            identity[name] = _field(getattr(component, name))
    return identity


def _field(value: Any) -> Any:
    if isinstance(value, LLM):
        return identity_of_llm(value)
    if isinstance(value, BaseComponent):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): _field(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_field(item) for item in value]
    return fingerprint(value)
