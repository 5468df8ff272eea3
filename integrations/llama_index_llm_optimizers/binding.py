"""Bind tools and structured output in the format of the LLM that is called.

Each integration writes tools in its provider's format, so a router with LLMs of several providers
cannot write them before it has chosen one. It passes on the tools themselves (`DeferredTools`),
which to caches and policies look like a list of OpenAI's tool definitions.

A wrapper of one LLM lets a copy of it build structured output, with its calls going through the
wrapper (`rebind`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.tools.types import BaseTool

from llama_index_llm_optimizers.call import ChatCall, ModelCall
from llama_index_llm_optimizers.structured import asks_around_chat, structured_methods
from llm_optimizers.errors import ConfigurationError

__all__ = [
    "CALL_METHODS",
    "PROMPT_FIELDS",
    "DeferredTools",
    "arguments_of",
    "rebind",
    "tool_selections",
    "with_bound_tools",
]

PROMPT_FIELDS = (
    "system_prompt",
    "messages_to_prompt",
    "completion_to_prompt",
    "output_parser",
    "pydantic_program_mode",
    "query_wrapper_prompt",
)
"""The settings that LlamaIndex applies to a prompt before it calls `chat` or `complete`."""

CALL_METHODS = (
    "chat",
    "achat",
    "stream_chat",
    "astream_chat",
    "complete",
    "acomplete",
    "stream_complete",
    "astream_complete",
)
"""The ways to call an LLM."""


def rebind(child: LLM, wrapper: LLM) -> LLM:
    """Return a copy of the child whose calls go through the wrapper."""
    bound = child.model_copy(update={name: getattr(wrapper, name) for name in PROMPT_FIELDS})
    # Set on the instance, which is looked up before the class, so that the child's own overrides
    # of all other methods stay in force.
    vars(bound).update({name: getattr(wrapper, name) for name in CALL_METHODS})
    if asks_around_chat(bound):
        vars(bound).update(structured_methods(wrapper))
    return bound


class DeferredTools(list[dict[str, Any]]):
    """Tools, with the options to bind them with, as a list of OpenAI's tool definitions."""

    def __init__(self, tools: Sequence[BaseTool], options: Mapping[str, Any]) -> None:
        super().__init__(tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools)
        self.tools = tools
        self.options = options


def with_bound_tools(call: ModelCall, child: LLM) -> ModelCall:
    """Return the call with its tools in the child's own format.

    Raises:
        ConfigurationError: the child cannot call tools.
    """
    deferred = call.kwargs.get("tools")
    if not isinstance(call, ChatCall) or not isinstance(deferred, DeferredTools):
        return call
    if not isinstance(child, FunctionCallingLLM):
        raise ConfigurationError(
            f"{type(child).__name__} cannot call tools: use a FunctionCallingLLM"
        )
    history: list[ChatMessage] = list(call.messages)
    prepared = child._prepare_chat_with_tools_compat(
        list(deferred.tools), chat_history=history, **deferred.options
    )
    messages = prepared.pop("messages")
    skipped = ("tools", *_TOOL_OPTIONS)
    others = {name: value for name, value in call.kwargs.items() if name not in skipped}
    return replace(call, messages=messages, kwargs={**others, **prepared})


_TOOL_OPTIONS = ("tool_required", "allow_parallel_tool_calls")
"""Options that the call's settings repeat, so that they are part of a cache key."""


def tool_selections(response: ChatResponse, *, required: bool) -> list[ToolSelection]:
    """Return the tool calls of a response of any integration.

    Raises:
        ValueError: there are none, though at least one is `required`.
    """
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if required and not blocks:
        raise ValueError("Expected at least one tool call, but got 0 tool calls.")
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs=arguments_of(block.tool_kwargs),
        )
        for block in blocks
    ]


def arguments_of(given: dict[str, Any] | str) -> dict[str, Any]:
    """Return arguments as a mapping; empty while a stream's JSON is incomplete."""
    if isinstance(given, dict):
        return given
    try:
        read = json.loads(given)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
