"""Which answers are worth keeping: a bad answer that is cached is served again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_optimizers.costs import Usage

__all__ = ["Cacheability", "least_cacheable", "reason_not_to_cache"]

_COMPLETE = frozenset(
    {
        "",
        # OpenAI, Azure, Mistral, Ollama, Gemini, and OpenAI's Responses
        *("stop", "tool_calls", "function_call", "tool_call", "completed"),
        # Anthropic and Bedrock, Cohere, Hugging Face
        *("end_turn", "stop_sequence", "tool_use", "complete", "eos", "eos_token"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cacheability:
    """What is known of an answer besides its text.

    `finish_reason` is the provider's own word, "" when it gave none, and `gives_reasons` whether
    it is known to give one with every whole answer; `empty` means neither text nor tool calls;
    `model` and `usage` are what the call consumed.
    """

    empty: bool = False
    finish_reason: str = ""
    gives_reasons: bool = False
    refusal: bool = False
    model: str = ""
    usage: Usage | None = None


def reason_not_to_cache(cacheability: Cacheability) -> str | None:
    """Why an answer must not be kept, or None when it may.

    A finish reason that is not known to mean a complete answer (`length`, `content_filter`, …)
    refuses it, and so does none where the provider gives them: to a stream's reader a connection
    that breaks may look like the end.
    """
    if cacheability.refusal:
        return "the model refused"
    if cacheability.finish_reason.lower() not in _COMPLETE:
        return f"finish reason {cacheability.finish_reason}"
    if cacheability.empty:
        return "empty"
    if cacheability.gives_reasons and not cacheability.finish_reason:
        return "no finish reason"
    return None


def least_cacheable(several: Sequence[Cacheability]) -> Cacheability:
    """Of several answers to one call the one that must not be kept, else the first.

    A call is kept whole or not at all, and one without any answer counts as empty.
    """
    refused = (each for each in several if reason_not_to_cache(each))
    return next(refused, several[0] if several else Cacheability(empty=True))
