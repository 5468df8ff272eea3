"""Tools on their way to one of several LLMs, before it is known to which.

Each integration writes tools in its provider's format. Where an LLM's siblings are of other
providers, the tools travel as they are and are written once the model is chosen. To caches and
policies the box is a list of OpenAI's specifications, so that it is keyed by content.
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
from llm_optimizers.errors import ConfigurationError

__all__ = ["PROMPT_FIELDS", "DeferredTools", "rebind", "tool_selections", "with_bound_tools"]

PROMPT_FIELDS = (
    "system_prompt",
    "messages_to_prompt",
    "completion_to_prompt",
    "output_parser",
    "pydantic_program_mode",
    "query_wrapper_prompt",
)
"""What the framework applies to a prompt before it reaches `chat` or `complete`."""

_DOORS = (
    "chat",
    "achat",
    "stream_chat",
    "astream_chat",
    "complete",
    "acomplete",
    "stream_complete",
    "astream_complete",
)


def rebind(child: LLM, wrapper: LLM) -> LLM:
    """A copy of the child that thinks like it and calls the wrapper."""
    view = child.model_copy(update={name: getattr(wrapper, name) for name in PROMPT_FIELDS})
    # The methods are looked up on the instance before the class, so that the child's own
    # overrides of everything else stay in force.
    vars(view).update({name: getattr(wrapper, name) for name in _DOORS})
    return view


class DeferredTools(list[dict[str, Any]]):
    """The specifications of tools, with the tools themselves and how they are to be offered."""

    def __init__(self, tools: Sequence[BaseTool], options: Mapping[str, Any]) -> None:
        super().__init__(tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools)
        self.tools = tools
        self.options = options


def with_bound_tools(call: ModelCall, child: LLM) -> ModelCall:
    """The call with its tools in the child's own format.

    Raises:
        ConfigurationError: the child cannot call tools.
    """
    box = call.kwargs.get("tools")
    if not isinstance(call, ChatCall) or not isinstance(box, DeferredTools):
        return call
    if not isinstance(child, FunctionCallingLLM):
        raise ConfigurationError(f"{type(child).__name__} cannot call tools")
    history: list[ChatMessage] = list(call.messages)
    prepared = child._prepare_chat_with_tools_compat(
        list(box.tools), chat_history=history, **box.options
    )
    messages = prepared.pop("messages")
    others = {name: value for name, value in call.kwargs.items() if name not in ("tools", *_OFFER)}
    return replace(call, messages=messages, kwargs={**others, **prepared})


_OFFER = ("tool_required", "allow_parallel_tool_calls")
"""What of a box's options is keyed beside it."""


def tool_selections(response: ChatResponse, *, required: bool) -> list[ToolSelection]:
    """The tool calls of a response, whichever integration wrote it.

    Raises:
        ValueError: there are none, and at least one is `required`.
    """
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if required and not blocks:
        raise ValueError("Expected at least one tool call, but got 0 tool calls.")
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs=_arguments(block.tool_kwargs),
        )
        for block in blocks
    ]


def _arguments(given: dict[str, Any] | str) -> dict[str, Any]:
    """Arguments as a mapping; a stream's unfinished text is none yet."""
    if isinstance(given, dict):
        return given
    try:
        read = json.loads(given)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
