"""Cache hits: mark them, record them as savings, and return them as separate runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from weakref import WeakValueDictionary

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import LC_ID_PREFIX, AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables.config import var_child_runnable_config
from pydantic import Field

from langchain_llm_optimizers.account import RunInfo, record_hit
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.codec import Generations
from langchain_llm_optimizers.messages import request_of_messages
from langchain_llm_optimizers.run_tree import attribution_in
from langchain_llm_optimizers.stand_in import StandIn
from llm_optimizers.caching import Hit
from llm_optimizers.caching.answers import CACHE_HIT, mark_of, split_for_streaming
from llm_optimizers.costs import Ledger
from llm_optimizers.costs.context import context_of
from llm_optimizers.types import ChatRequest

__all__ = [
    "CACHE_HIT",
    "SERVED_RUNS",
    "ServedChatModel",
    "chunks_of",
    "mark_hit",
    "serve_hit",
    "served_model",
    "set_run_fields",
]

SERVED_RUNS: WeakValueDictionary[str, ServedChatModel] = WeakValueDictionary()
"""Models that answer with a hit, by the id of their run."""

_FORM = ("model_provider", "output_version")
"""Metadata that say how to read the content; each chunk of a provider's stream has them."""


def serve_hit(
    hit: Hit[Generations],
    ledger: Ledger | None,
    run: RunInfo | None = None,
    *,
    request: Callable[[], ChatRequest] | None = None,
) -> Generations:
    """Return the hit's generations, marked, and record the hit if a ledger is given.

    `run` describes the run that gets them; by default it is read from the current context, and
    `request` returns what was asked.
    """
    generations = mark_hit(hit)
    if ledger is not None:
        record_hit(ledger, generations, run if run is not None else _running_run(request))
    return generations


def _running_run(request: Callable[[], ChatRequest] | None) -> RunInfo:
    """Return what the context says of the run; LangChain gives its cache only the prompt."""
    config = var_child_runnable_config.get() or {}
    metadata = config.get("metadata") or {}
    return RunInfo(
        id="",
        started=datetime.now(UTC),
        metadata=metadata,
        attribution=attribution_in(config, metadata, config.get("tags") or ()),
        context=context_of(),
        request=request,
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


class ServedChatModel(StandIn):
    """Answers with a hit's `generations` in a run like that of the model that gave them.

    It streams if that model would. As on a hit of LangChain's own cache, the usage is that of the
    original call with a `total_cost` of 0.
    """

    # LangChain serialises the model for the callbacks of every run; the answer is kept out of that.
    generations: list[ChatGeneration] = Field(repr=False)

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        return len(self.generations) == 1 and self.stands_for._should_stream(
            async_api=async_api, run_manager=run_manager, **kwargs
        )

    def _should_use_protocol_streaming(
        self, *, async_api: bool, run_manager: Any = None, **kwargs: Any
    ) -> bool:
        return len(self.generations) == 1 and self.stands_for._should_use_protocol_streaming(
            async_api=async_api, run_manager=run_manager, **kwargs
        )

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
        first = self.generations[0]
        *chunks, last = chunks_of(cast("AIMessage", first.message))
        for chunk in chunks:
            yield ChatGenerationChunk(message=chunk)
        yield ChatGenerationChunk(message=last, generation_info=first.generation_info)

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
    """Return a model that answers the call with the hit, in a run like that of `model`.

    `model` and `call` are those that `called_model` returns: the model behind all wrappers.
    """
    run = None if ledger is None else _run_of(call, model)
    generations = cast("list[ChatGeneration]", serve_hit(hit, ledger, run))
    for generation in generations:
        message = cast("AIMessage", generation.message)
        set_run_fields(message)
        if model.output_version != "v1":
            _set_plain_content(message)
    return ServedChatModel.of(model, generations=generations, cache=False)


def set_run_fields(message: AIMessage) -> None:
    """Set what LangChain sets in an answer to a run: the cost of a hit, and the run's id."""
    if message.usage_metadata is not None:  # Without counts, LangChain could not add chunks up.
        counts = {**message.usage_metadata, "total_cost": 0}
        message.usage_metadata = cast("UsageMetadata", counts)
    if (message.id or "").startswith(LC_ID_PREFIX):
        message.id = None


def _set_plain_content(message: AIMessage) -> None:
    """Undo the blocks that LangChain makes of a text for a reader of typed events (version 3).

    Such a reader's answer is stored like any other, but other callers get a text from the model.
    """
    blocks, metadata = message.content, message.response_metadata
    if metadata.get("output_version") != "v1" or not isinstance(blocks, list):
        return
    texts = []
    for block in blocks:
        if not isinstance(block, dict) or block.get("type") not in ("text", "tool_call"):
            return
        if block["type"] == "text":
            if block.keys() - {"type", "text", "index"}:
                return
            texts.append(block["text"])
    message.content = "".join(texts)
    del metadata["output_version"]


def _run_of(call: ModelCall, model: BaseChatModel) -> RunInfo:
    """Describe the run that a call of the model opens."""
    config, run_id = call.config, call.config.get("run_id")
    context = context_of(None if run_id is None else str(run_id))
    params = model._get_ls_params(stop=call.stop, **call.kwargs)
    metadata = {**(model.metadata or {}), **(config.get("metadata") or {}), **params}
    return RunInfo(
        id="",
        started=datetime.now(UTC),
        messages=call.messages,
        metadata=metadata,
        attribution=attribution_in(
            config,
            metadata,
            [*(config.get("tags") or ()), *(model.tags or ())],
            root=context.run,
        ),
        model=str(params.get("ls_model_name") or ""),
        class_name=type(model).__name__,
        context=context,
        request=partial(_request_of, call, model, str(params.get("ls_model_name") or "")),
    )


def _request_of(call: ModelCall, model: BaseChatModel, name: str) -> ChatRequest:
    """Return the request as it is sent, to count its tokens."""
    settings = model._get_invocation_params(stop=call.stop, **call.kwargs)
    return request_of_messages(call.messages, settings, model=name)


def chunks_of(message: AIMessage) -> Iterator[AIMessageChunk]:
    """Yield a message in chunks that add up to it: the text, then tool calls and metadata.

    Blocks of text get an `index`, as in a provider's stream, so that their parts add up.
    """
    form = {k: v for k, v in message.response_metadata.items() if k in _FORM}
    for content in _content_parts(message.content):
        yield AIMessageChunk(content=content, id=message.id, response_metadata=dict(form))
    blank = isinstance(message.content, str) and not message.content.strip()
    yield AIMessageChunk(
        content=message.content if blank else type(message.content)(),
        id=message.id,
        tool_call_chunks=_call_chunks(message),
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )


def _content_parts(content: str | list[Any]) -> Iterator[str | list[Any]]:
    """Yield pieces of a few words each; blocks other than text stay whole."""
    if isinstance(content, str):
        yield from split_for_streaming(content)
        return
    given = [str(b["index"]) for b in content if isinstance(b, dict) and "index" in b]
    if len(set(given)) < len(given):  # LangChain would merge blocks of one index.
        yield content
        return
    for place, block in enumerate(content):
        kind, text = (block.get("type"), block.get("text")) if isinstance(block, dict) else ("", "")
        pieces = split_for_streaming(text) if kind == "text" and isinstance(text, str) else []
        index = block.get("index", None if given else place) if pieces else None
        if index is None:
            yield [block]
            continue
        for piece in pieces[:-1]:
            yield [{"type": "text", "text": piece, "index": index}]
        yield [{**block, "text": pieces[-1], "index": index}]


def _call_chunks(message: AIMessage) -> list[ToolCallChunk]:
    written = [
        # Arguments are JSON in every provider's stream; other values become text.
        *((call, json.dumps(call["args"], default=str)) for call in message.tool_calls),
        *((call, call["args"]) for call in message.invalid_tool_calls),
    ]
    return [
        tool_call_chunk(name=call["name"], args=args, id=call["id"], index=place)
        for place, (call, args) in enumerate(written)
    ]
