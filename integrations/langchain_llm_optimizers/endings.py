"""Answers of Ollama that were cut off, which only the model's class shows.

LangChain's other models name their provider in every chunk of a stream, so that the codec sees when
the reason for its end is missing. Ollama's names it in the last one, with the reason; without that
chunk the answer looks like that of a model which gives no reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGeneration, Generation

from langchain_llm_optimizers.codec import Generations, finish_reason_of
from langchain_llm_optimizers.wrappers import underlying_models

__all__ = ["whole_answers", "whole_answers_of"]

Check: TypeAlias = Callable[[Generations], bool]
_PROVIDER = "ollama"


def whole_answers_of(model: BaseChatModel, accepts: Check | None = None) -> Check | None:
    """Return the check of a model's answers: `accepts`, and for Ollama that they have an end."""
    ollama = any(_PROVIDER in each._llm_type for each in underlying_models(model))
    return whole_answers(_PROVIDER if ollama else None, accepts)


def whole_answers(provider: object, accepts: Check | None = None) -> Check | None:
    """As `whole_answers_of`, for the provider that LangChain names in a run's metadata."""
    if provider != _PROVIDER:
        return accepts
    return lambda answer: all(map(_ended, answer)) and (accepts is None or accepts(answer))


def _ended(generation: Generation) -> bool:
    info = generation.generation_info or {}
    if isinstance(generation, ChatGeneration):
        info = {**info, **generation.message.response_metadata}
    return bool(finish_reason_of(info))
