"""LLMs that wrap others: which they can wrap, and what the identity of a call needs of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.structured_llm import StructuredLLM

from llama_index_llm_optimizers.call import ModelCall
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.settings.unknown import check_known

__all__ = [
    "Wrapper",
    "check_settings",
    "checked_child",
    "class_name_of",
    "is_wrapper",
    "run_settings",
    "underlying_models",
]

_OF_LANGCHAIN = {
    "BatchedLLM": "BatchingChatModel",
    "CachedLLM": "CachedChatModel",
    "PromptOptimizingLLM": "OptimizedChatModel",
    "RoutedLLM": "ChatModelRouter",
}
"""The wrapper of a chat model that does the same."""
_UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Wrapper(Protocol):
    """An LLM around others: each of them, and what the wrapper itself does to an answer."""

    @property
    def _children(self) -> Sequence[LLM]: ...

    def _own_settings(self) -> Mapping[str, Any]: ...

    def _run_settings(self, call: ModelCall) -> dict[str, Any]: ...


def is_wrapper(llm: object) -> TypeGuard[Wrapper]:
    """Whether an LLM is a wrapper of others."""
    return _is_wrapper_type(type(llm))


def _is_wrapper_type(kind: type[Any]) -> bool:
    return hasattr(kind, "_own_settings")


def underlying_models(llm: LLM) -> Iterator[LLM]:
    """Yield the LLMs that may answer for this one: itself, or those that it wraps."""
    # First, since `isinstance` asks a wrapper for its `__class__`, which asks this.
    if is_wrapper(llm):
        for child in llm._children:
            yield from underlying_models(child)
    elif isinstance(llm, StructuredLLM):
        yield from underlying_models(llm.llm)
    else:
        yield llm


def run_settings(llm: LLM, call: ModelCall) -> dict[str, Any]:
    """Return what a call's context says that affects the answer of an LLM or those in it."""
    return llm._run_settings(call) if is_wrapper(llm) else {}


def class_name_of(llm: LLM) -> str:
    """Return the class name of the LLM inside the wrappers, by way of their first children."""
    inner = llm
    while is_wrapper(inner):
        inner = inner._children[0]
    return inner.class_name()


def checked_child(given: object, wrapper: str, name: str = "llm") -> LLM:
    """Return what a wrapper is given to wrap, if it can. `name` is the argument's.

    Raises:
        ConfigurationError: it is no LLM, or one whose answers are objects; the message says what
            to do.
    """
    if isinstance(given, LLM) and not isinstance(given, StructuredLLM):
        return given
    raise ConfigurationError(
        f"`{name}`: {wrapper} wraps an LLM of LlamaIndex, {_refusal(given, wrapper)}"
    )


def check_settings(wrapper: type[LLM], names: Iterable[str]) -> None:
    """Check that a wrapper has the settings it is given; others would be left out silently.

    Raises:
        ConfigurationError: it lacks one.
    """
    if wrapper.model_config.get("extra") == "allow":
        return
    fields, common = wrapper.model_fields, FunctionCallingLLM.model_fields
    own = [name for name in fields if name not in common]
    for each in wrapper.__mro__:
        if _is_wrapper_type(each) and "__init__" in vars(each):
            named = inspect.signature(vars(each)["__init__"]).parameters.values()
            own += [p.name for p in named if p.kind not in _UNNAMED and p.name != "self"]
    aliases = (
        alias for field in fields.values() for alias in (field.alias, field.validation_alias)
    )
    known = {*fields, *own, *(alias for alias in aliases if isinstance(alias, str))}
    check_known(wrapper.__name__, names, known=known, own=dict.fromkeys(own))


def _refusal(given: object, wrapper: str) -> str:
    """Say what something is that cannot be wrapped, and what to do instead."""
    name = (given if isinstance(given, type) else type(given)).__name__
    if isinstance(given, StructuredLLM):
        return (
            "and a StructuredLLM's answers are objects: wrap the LLM inside it first, as in "
            f"{wrapper}(llm).as_structured_llm({given.output_cls.__name__})"
        )
    if given is None:
        return "not None: give it one, such as Settings.llm"
    if isinstance(given, type):
        return f"not a class: make an LLM of it first, {name}(...)"
    if isinstance(given, BaseEmbedding):
        return f"not an embedding model ({name}): use with_embeddings_cache for its vectors"
    if any(each.__module__.startswith("langchain") for each in type(given).__mro__):
        fitting = _OF_LANGCHAIN.get(wrapper, "a wrapper")
        return (
            f"not a LangChain model ({name}): use {fitting} of langchain_llm_optimizers, or "
            "put it into a LangChainLLM (package llama-index-llms-langchain) first"
        )
    if isinstance(given, str):
        return "not a name: make the LLM first, such as OpenAI(model=...)"
    return f"not a {name}"
