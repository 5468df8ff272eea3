"""The child's own structured output, with its calls going through the wrapper.

Providers override `structured_predict` and its kin: OpenAI sends a `response_format`, Anthropic
makes a tool call. A wrapper that inherited the framework's default would change what is asked; one
that called the child's would be left out of the call. Instead a copy of the child is made whose
eight doors lead to the wrapper.
"""

from __future__ import annotations

from llama_index.core.llms.llm import LLM

__all__ = ["PROMPT_FIELDS", "view_of"]

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


def view_of(child: LLM, wrapper: LLM) -> LLM:
    """A copy of the child that thinks like it and calls the wrapper."""
    view = child.model_copy(update={name: getattr(wrapper, name) for name in PROMPT_FIELDS})
    # The methods are looked up on the instance before the class, so that the child's own
    # overrides of everything else stay in force.
    vars(view).update({name: getattr(wrapper, name) for name in _DOORS})
    return view
