"""LlamaIndex's wrappers around any LLM, and the ways to call one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms.llm import LLM
from llama_index.core.tools import BaseTool

from llama_index_llm_optimizers import BatchedLLM, CachedLLM, PromptOptimizingLLM, RoutedLLM

WRAPPERS: Mapping[str, Callable[[LLM], LLM]] = {
    "cached": CachedLLM,
    "routed": lambda llm: RoutedLLM([llm]),
    "batched": BatchedLLM,
    "optimized": PromptOptimizingLLM,
    "all": lambda llm: CachedLLM(PromptOptimizingLLM(RoutedLLM([BatchedLLM(llm)]))),
}
CACHING = ("cached", "all")
STREAMS = ("stream_chat", "astream_chat")
WAYS = ("chat", "achat", *STREAMS)
TOOL_WAYS = tuple(f"{way}_with_tools" for way in WAYS)
COMPLETIONS = ("complete", "acomplete", "stream_complete", "astream_complete")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, with the joined deltas of its stream if it came as one."""

    last: Any
    joined: str | None = None

    @property
    def text(self) -> str:
        return (
            self.last.message.content or ""
            if isinstance(self.last, ChatResponse)
            else self.last.text
        )


async def ask(
    llm: Any, way: str, messages: Sequence[ChatMessage] | str, tools: Sequence[BaseTool] = ()
) -> Reply:
    """Return the answer of one way to call an LLM; with `tools` for a way that takes them."""
    method, given = getattr(llm, way), {}
    if way.endswith("_with_tools"):
        given = {"chat_history": list(messages), "allow_parallel_tool_calls": True}
    asked = partial(method, list(tools) if given else messages, **given)
    if not way.startswith("a"):
        # LlamaIndex's Gemini starts an event loop of its own.
        found = await asyncio.to_thread(lambda: _read(asked()))
    else:
        found = await asked()
        found = [each async for each in found] if "stream" in way else found
    if "stream" not in way:
        return Reply(last=found)
    return Reply(last=found[-1], joined="".join(chunk.delta or "" for chunk in found))


def _read(answer: Any) -> Any:
    """Return the answer, a stream's as a list of its chunks."""
    return list(answer) if isinstance(answer, Generator) else answer


_OURS = frozenset({"routing", "cache_hit", "llm_optimizers_routed"})


def content_of(reply: Reply, *, ids: bool = True, counts: bool = True) -> dict[str, Any]:
    """Return what an app reads of an answer, without our marks.

    Without `ids`, those of tool calls are left out, and without `counts` what is only the billed
    call's: a hit has neither, nor the provider's own object.
    """
    last = reply.last
    content: dict[str, Any] = {"text": reply.text, "joined": reply.joined}
    additional = {k: v for k, v in last.additional_kwargs.items() if k not in _OURS}
    if counts:
        content |= {"additional": additional, "raw": _plain(last.raw)}
    if isinstance(last, ChatResponse):
        blocks = [block.model_dump() for block in last.message.blocks]
        content |= {"role": last.message.role, "blocks": blocks}
        if counts:
            content["kwargs"] = {
                k: v for k, v in last.message.additional_kwargs.items() if k not in _OURS
            }
    return content if ids else _without_ids(content)


def _plain(raw: Any) -> str:
    """Return the provider's object as text, without what is its HTTP call's."""
    if isinstance(raw, Mapping):
        raw = {name: value for name, value in raw.items() if name != "ResponseMetadata"}
    return repr(raw)


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k not in ("id", "tool_call_id")}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value
