"""Structured output through `chat`, for LLMs whose own methods ask their client around it.

LlamaIndex's `GoogleGenAI` does, and without an event: such a call would be in no cache, under no
budget and in no account. Here the same settings for JSON go through the wrapper's `chat`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM
from llama_index.core.program.utils import (
    FlexibleModel,
    _repair_incomplete_json,
    create_flexible_model,
)
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

__all__ = ["asks_around_chat", "structured_methods"]

_MODULE = "llama_index.llms.google_genai"


def asks_around_chat(llm: LLM) -> bool:
    """Whether an LLM's structured output does not go through its `chat`."""
    return llm.pydantic_program_mode == PydanticProgramMode.DEFAULT and any(
        kind.__module__.startswith(_MODULE) for kind in type(llm).__mro__
    )


def structured_methods(llm: LLM) -> dict[str, Callable[..., Any]]:
    """Return Gemini's four methods for structured output, over the `chat` methods of this LLM."""
    return {
        "structured_predict": partial(_predict, llm),
        "astructured_predict": partial(_apredict, llm),
        "stream_structured_predict": partial(_stream, llm),
        "astream_structured_predict": partial(_astream, llm),
    }


def _predict(
    llm: LLM,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None = None,
    **prompt_args: Any,
) -> BaseModel:
    messages = _messages(prompt, prompt_args)
    answer = llm.chat(messages, generation_config=_config(output_cls, llm_kwargs))
    return output_cls.model_validate_json(answer.message.content or "")


async def _apredict(
    llm: LLM,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None = None,
    **prompt_args: Any,
) -> BaseModel:
    messages = _messages(prompt, prompt_args)
    answer = await llm.achat(messages, generation_config=_config(output_cls, llm_kwargs))
    return output_cls.model_validate_json(answer.message.content or "")


def _stream(
    llm: LLM,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None = None,
    **prompt_args: Any,
) -> Generator[BaseModel, None, None]:
    config = _config(output_cls, llm_kwargs)
    flexible = create_flexible_model(output_cls)
    for chunk in llm.stream_chat(_messages(prompt, prompt_args), generation_config=config):
        found = _parsed(chunk.message.content, output_cls, flexible)
        if found is not None:
            yield found


async def _astream(
    llm: LLM,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: Mapping[str, Any] | None = None,
    **prompt_args: Any,
) -> AsyncGenerator[BaseModel, None]:
    config = _config(output_cls, llm_kwargs)
    flexible = create_flexible_model(output_cls)
    chunks = await llm.astream_chat(_messages(prompt, prompt_args), generation_config=config)

    async def objects() -> AsyncGenerator[BaseModel, None]:
        async for chunk in chunks:
            found = _parsed(chunk.message.content, output_cls, flexible)
            if found is not None:
                yield found

    return objects()


def _messages(prompt: BasePromptTemplate, prompt_args: Mapping[str, Any]) -> list[ChatMessage]:
    return list(prompt.format_messages(**prompt_args))


def _config(output_cls: type[BaseModel], llm_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings that ask for JSON of this class, with those of the call."""
    given: Mapping[str, Any] = (llm_kwargs or {}).get("generation_config") or {}
    json = {"response_mime_type": "application/json", "response_schema": output_cls}
    return {**given, **json}


def _parsed(
    text: str | None, output_cls: type[BaseModel], flexible: type[FlexibleModel]
) -> BaseModel | None:
    """Return the object in a stream's text so far, None if there is none yet."""
    if not text:
        return None
    try:
        return output_cls.model_validate_json(text)
    except ValidationError:
        try:
            return flexible.model_validate_json(_repair_incomplete_json(text))
        except ValidationError:
            return None
