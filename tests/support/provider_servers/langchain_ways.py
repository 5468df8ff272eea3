"""LangChain's wrappers around any model, and the ways to call one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, message_chunk_to_message
from langchain_core.runnables import RunnableConfig

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    HybridCache,
    OptimizedChatModel,
)

WRAPPERS: Mapping[str, Callable[[BaseChatModel], BaseChatModel]] = {
    "cached": lambda model: CachedChatModel(model=model),
    "cache of LangChain's": lambda model: model.model_copy(update={"cache": HybridCache()}),
    "routed": lambda model: ChatModelRouter(models={"only": model}),
    "batching": lambda model: BatchingChatModel(model=model),
    "optimized": lambda model: OptimizedChatModel(model=model),
    "all": lambda model: CachedChatModel(
        model=OptimizedChatModel(
            model=ChatModelRouter(models={"only": BatchingChatModel(model=model)})
        )
    ),
}
CACHING = ("cached", "cache of LangChain's", "all")
"""Wrappers of which a second call is a hit; LangChain's own cache is not asked by streams."""
STREAMS = ("stream", "astream")
WAYS = ("invoke", "ainvoke", *STREAMS, "batch", "abatch", "generate", "agenerate")


async def ask(
    model: Any, way: str, messages: Any, config: RunnableConfig | None = None, **settings: Any
) -> AIMessage:
    """Return the answer of one way to call a model."""
    match way:
        case "invoke":
            answer = model.invoke(messages, config, **settings)
        case "ainvoke":
            answer = await model.ainvoke(messages, config, **settings)
        case "stream":
            answer = added(list(model.stream(messages, config, **settings)))
        case "astream":
            answer = added([each async for each in model.astream(messages, config, **settings)])
        case "batch":
            (answer,) = model.batch([messages], config, **settings)
        case "abatch":
            (answer,) = await model.abatch([messages], config, **settings)
        case "generate":
            run = dict(config or {})
            answer = model.generate([messages], **run, **settings).generations[0][0].message
        case _:
            run = dict(config or {})
            result = await model.agenerate([messages], **run, **settings)
            answer = result.generations[0][0].message
    return answer


def added(chunks: list[Any]) -> AIMessage:
    """Return the message that a stream's chunks add up to."""
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    message = message_chunk_to_message(whole)
    assert isinstance(message, AIMessage)
    return message


_OURS = frozenset({"llm_optimizers", "cache_hit"})
_IDS = frozenset({"id", "tool_call_id", "tool_use_id", "call_id"})
_OF_THE_CALL = frozenset({"ResponseMetadata"})


def content_of(message: AIMessage, *, ids: bool = True) -> dict[str, Any]:
    """Return what an app reads of an answer, without our marks and what is its HTTP call's.

    Without `ids`, those of tool calls are left out: a hit has new ones.
    """
    skipped = _OURS | _OF_THE_CALL
    metadata = {k: v for k, v in message.response_metadata.items() if k not in skipped}
    usage = {k: v for k, v in (message.usage_metadata or {}).items() if k != "total_cost"}
    content = {
        "content": message.content,
        "blocks": message.content_blocks,
        "calls": message.tool_calls,
        "broken calls": message.invalid_tool_calls,
        "kwargs": message.additional_kwargs,
        "metadata": metadata,
        "usage": usage,
    }
    return content if ids else _without_ids(content)


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k not in _IDS}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value
