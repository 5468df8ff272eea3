"""Cache hits: mark them, record them as savings, and return them as separate runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables.config import var_child_runnable_config
from pydantic import Field

from langchain_llm_optimizers.account import RunInfo, record_hit
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.codec import Generations
from llm_optimizers.caching import Hit
from llm_optimizers.caching.answers import CACHE_HIT, mark_of, split_for_streaming
from llm_optimizers.costs import Ledger
from llm_optimizers.costs.context import context_of
from llm_optimizers.costs.prices.names import provider_of

__all__ = [
    "CACHE_HIT",
    "SERVED",
    "ServedChatModel",
    "chunks_of",
    "mark_hit",
    "serve_hit",
    "served_model",
]

SERVED = "replay"
"""The `_type` of the model that answers with a hit."""


def serve_hit(
    hit: Hit[Generations], ledger: Ledger | None, run: RunInfo | None = None
) -> Generations:
    """Return the hit's generations, marked, and record the hit if a ledger is given.

    `run` describes the run that gets them; by default it is read from the current context.
    """
    generations = mark_hit(hit)
    if ledger is not None:
        record_hit(ledger, generations, run if run is not None else _running_run())
    return generations


def _running_run() -> RunInfo:
    """Return what the context says of the run; LangChain gives its cache only the prompt."""
    config = var_child_runnable_config.get() or {}
    return RunInfo(
        id="",
        started=datetime.now(UTC),
        metadata=config.get("metadata") or {},
        tags=config.get("tags") or (),
        context=context_of(),
    )


def mark_hit(hit: Hit[Generations]) -> Generations:
    """Return the hit's generations, each marked with its tier and the usage of the original call.

    The mark is in `response_metadata` (chat) or `generation_info` (completion).
    """
    mark = mark_of(hit)
    for generation in hit.value:
        if isinstance(generation, ChatGeneration):
            generation.message.response_metadata[CACHE_HIT] = mark
        else:
            generation.generation_info = _MarkedInfo(generation.generation_info, mark)
    return hit.value


class _MarkedInfo(dict[str, Any]):
    """A completion's info with the mark, equal to the info without it.

    LangChain's standard suite requires that a cache returns completions equal to those it got.
    """

    def __init__(self, info: Mapping[str, Any] | None, mark: Mapping[str, Any]) -> None:
        super().__init__({**(info or {}), CACHE_HIT: mark})
        self._info = info

    def __eq__(self, other: object) -> bool:
        return self._info == other or dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # like every dict


class ServedChatModel(BaseChatModel):
    """Answers with a hit's `generations`, under the tracing parameters of the cached model."""

    # LangChain serialises the model for the callbacks of every run; the answer is kept out of that.
    generations: list[ChatGeneration] = Field(repr=False)
    ls_params: dict[str, Any] = Field(repr=False)

    @property
    def _llm_type(self) -> str:
        return SERVED

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return dict(self.ls_params)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=self.generations)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=self.generations)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in chunks_of(cast("AIMessage", self.generations[0].message)):
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages, stop, None, **kwargs):
            yield chunk


def served_model(
    hit: Hit[Generations], call: ModelCall, model: BaseChatModel, ledger: Ledger | None
) -> ServedChatModel:
    """Return a model that answers with the hit, under the name, tags and metadata of `model`."""
    params = dict(model._get_ls_params(stop=call.stop, **call.kwargs))
    stated = str(params.get("ls_provider") or "")
    params["ls_provider"] = provider_of(type(model).__name__, stated) or ""
    run = None if ledger is None else _run_of(call, model, params)
    generations = serve_hit(hit, ledger, run)
    return ServedChatModel(
        generations=cast("list[ChatGeneration]", generations),
        ls_params=params,
        name=model.get_name(),
        tags=model.tags,
        metadata=model.metadata,
        cache=False,
    )


def _run_of(call: ModelCall, model: BaseChatModel, params: Mapping[str, Any]) -> RunInfo:
    """Describe the run that a call of the model would have opened."""
    config, run_id = call.config, call.config.get("run_id")
    return RunInfo(
        id="",
        started=datetime.now(UTC),
        messages=call.messages,
        metadata={**(model.metadata or {}), **(config.get("metadata") or {}), **params},
        tags=[*(config.get("tags") or ()), *(model.tags or ())],
        model=str(params.get("ls_model_name") or ""),
        context=context_of(None if run_id is None else str(run_id)),
    )


def chunks_of(message: AIMessage) -> Iterator[AIMessageChunk]:
    """Yield a message in chunks that add up to it: the text, then tool calls and metadata."""
    if isinstance(message.content, str):
        for piece in split_for_streaming(message.content):
            yield AIMessageChunk(content=piece, id=message.id)
        rest: str | list[Any] = "" if message.content.strip() else message.content
    else:
        rest = message.content
    calls = [
        tool_call_chunk(
            name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place
        )
        for place, call in enumerate(message.tool_calls)
    ]
    yield AIMessageChunk(
        content=rest,
        id=message.id,
        tool_call_chunks=calls,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )
