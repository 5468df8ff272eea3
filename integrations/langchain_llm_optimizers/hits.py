"""A served answer: marked and recorded as a saving, and replayed as a run of its own."""

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

from langchain_llm_optimizers.account import RunFacts, record_hit
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.codec import Generations
from llm_optimizers.caching import Hit
from llm_optimizers.caching.answers import CACHE_HIT, mark_of, split_for_streaming
from llm_optimizers.costs import Ledger
from llm_optimizers.costs.context import context_of
from llm_optimizers.costs.prices.names import provider_of

__all__ = ["CACHE_HIT", "ReplayChatModel", "chunks_of", "mark_hit", "replay_of", "served"]


def served(
    hit: Hit[Generations], ledger: Ledger | None, run: RunFacts | None = None
) -> Generations:
    """The hit's generations, marked, and recorded in the ledger if one is given.

    `run` is what is known of the run that they answer; by default, what the running code's
    context tells.
    """
    generations = mark_hit(hit)
    if ledger is not None:
        record_hit(ledger, generations, run if run is not None else _running())
    return generations


def _running() -> RunFacts:
    """What is known of a run by a cache that LangChain asks, which is handed the prompt alone."""
    config = var_child_runnable_config.get() or {}
    return RunFacts(
        id="",
        started=datetime.now(UTC),
        metadata=config.get("metadata") or {},
        tags=config.get("tags") or (),
        context=context_of(),
    )


def mark_hit(hit: Hit[Generations]) -> Generations:
    """The hit's generations, each marked with where it came from and what its call consumed.

    The mark stands in `response_metadata` (chat) or `generation_info` (completion).
    """
    mark = mark_of(hit)
    for generation in hit.value:
        if isinstance(generation, ChatGeneration):
            generation.message.response_metadata[CACHE_HIT] = mark
        else:
            generation.generation_info = _MarkedInfo(generation.generation_info, mark)
    return hit.value


class _MarkedInfo(dict[str, Any]):
    """A completion's info with the mark in it, equal to the info without.

    What a cache returns for a completion has to equal what it was given: LangChain's standard
    suite says so.
    """

    def __init__(self, info: Mapping[str, Any] | None, mark: Mapping[str, Any]) -> None:
        super().__init__({**(info or {}), CACHE_HIT: mark})
        self._info = info

    def __eq__(self, other: object) -> bool:
        return self._info == other or dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as of every dict


class ReplayChatModel(BaseChatModel):
    """Answers once with `generations`, under the tracing parameters of the model that made them."""

    # LangChain writes the model out for the callbacks of every run: the answer stays out of that.
    generations: list[ChatGeneration] = Field(repr=False)
    ls_params: dict[str, Any] = Field(repr=False)

    @property
    def _llm_type(self) -> str:
        return "replay"

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


def replay_of(
    hit: Hit[Generations], call: ModelCall, model: BaseChatModel, ledger: Ledger | None
) -> ReplayChatModel:
    """What answers this call with the hit as `model` would, under its name, tags and metadata."""
    params = dict(model._get_ls_params(stop=call.stop, **call.kwargs))
    stated = str(params.get("ls_provider") or "")
    params["ls_provider"] = provider_of(type(model).__name__, stated) or ""
    run = None if ledger is None else _run_of(call, model, params)
    generations = served(hit, ledger, run)
    return ReplayChatModel(
        generations=cast("list[ChatGeneration]", generations),
        ls_params=params,
        name=model.get_name(),
        tags=model.tags,
        metadata=model.metadata,
        cache=False,
    )


def _run_of(call: ModelCall, model: BaseChatModel, params: Mapping[str, Any]) -> RunFacts:
    """The run that a call of the model would be, with the model's tracing parameters."""
    config, run_id = call.config, call.config.get("run_id")
    return RunFacts(
        id="",
        started=datetime.now(UTC),
        messages=call.messages,
        metadata={**(model.metadata or {}), **(config.get("metadata") or {}), **params},
        tags=[*(config.get("tags") or ()), *(model.tags or ())],
        model=str(params.get("ls_model_name") or ""),
        context=context_of(None if run_id is None else str(run_id)),
    )


def chunks_of(message: AIMessage) -> Iterator[AIMessageChunk]:
    """A message in chunks whose sum is the message: words, then tool calls, then the figures."""
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
