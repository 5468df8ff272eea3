"""LLMs that wrap others: what the identity of a call needs to know of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

from llama_index.core.llms.llm import LLM
from llama_index.core.llms.structured_llm import StructuredLLM

from llama_index_llm_optimizers.call import ModelCall

__all__ = ["Wrapper", "class_name_of", "is_wrapper", "run_settings", "underlying_models"]


class Wrapper(Protocol):
    """An LLM around others: each of them, and what the wrapper itself does to an answer."""

    @property
    def _children(self) -> Sequence[LLM]: ...

    def _own_settings(self) -> Mapping[str, Any]: ...

    def _run_settings(self, call: ModelCall) -> dict[str, Any]: ...


def is_wrapper(llm: object) -> TypeGuard[Wrapper]:
    """Whether an LLM is a wrapper of others."""
    return hasattr(type(llm), "_own_settings")


def underlying_models(llm: LLM) -> Iterator[LLM]:
    """Yield the LLMs that may answer for this one: itself, or those that it wraps."""
    if isinstance(llm, StructuredLLM):
        yield from underlying_models(llm.llm)
        return
    if not is_wrapper(llm):
        yield llm
        return
    for child in llm._children:
        yield from underlying_models(child)


def run_settings(llm: LLM, call: ModelCall) -> dict[str, Any]:
    """Return what a call's context says that affects the answer of an LLM or those in it."""
    return llm._run_settings(call) if is_wrapper(llm) else {}


def class_name_of(llm: LLM) -> str:
    """Return the class name of the LLM inside the wrappers, by way of their first children."""
    inner = llm
    while is_wrapper(inner):
        inner = inner._children[0]
    return inner.class_name()
