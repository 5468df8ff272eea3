"""The table of shapes: how servers name their counts, and what they leave out of their totals.

A new provider is a name in a row, or a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ANTHROPIC", "BEDROCK", "COHERE", "GOOGLE", "OPENAI", "PLAIN", "Shape", "shape_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way to report counts.

    `known_by`: any of these names shows the shape. `counts`: for a count of `Usage` the places
    where it may stand, of which the first that is not zero counts. `beside_input` and
    `beside_output`: counts of `Usage`, or places, that the server does not include in its input or
    output; they are added. `total`: places of the server's total; a shape without any is not
    checked against it.
    """

    known_by: frozenset[str]
    counts: Mapping[str, tuple[str, ...]]
    beside_input: tuple[str, ...] = ()
    beside_output: tuple[str, ...] = ()
    total: tuple[str, ...] = ()


def shape_of(raw: Mapping[str, Any]) -> Shape | None:
    """Return the shape of these counts, None if it is none of the table.

    A name with a count says more than one without, which gateways send of both shapes.
    """
    named = [shape for shape in _TABLE if not shape.known_by.isdisjoint(raw)]
    counted = (shape for shape in named if any(raw.get(name) for name in shape.known_by))
    return next(counted, named[0] if named else None)


_INPUT_PARTS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_PARTS = ("completion_tokens_details", "output_tokens_details", "output_token_details")


def _input_parts(*names: str) -> tuple[str, ...]:
    return tuple(f"{part}.{name}" for part in _INPUT_PARTS for name in names)


def _output_parts(*names: str) -> tuple[str, ...]:
    return tuple(f"{part}.{name}" for part in _OUTPUT_PARTS for name in names)


_BY_AGE = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"

OPENAI = Shape(
    # OpenAI's chat completions, responses, realtime and embeddings, and the servers that are like
    # them (Azure, Databricks, DeepSeek, Fireworks, Groq, Mistral, OpenRouter, Snowflake, Together,
    # vLLM, x.ai). LangChain's `usage_metadata` is also read here: it counts cached tokens as input
    # and reasoning as output too, and has a tier as a prefix (`flex_cache_read`); its
    # `cache_creation` is 0 where it has the counts by age
    # (https://reference.langchain.com/python/langchain_core/messages/#UsageMetadata).
    known_by=frozenset({"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"}),
    counts={
        "input_tokens": ("prompt_tokens", "input_tokens"),
        "output_tokens": ("completion_tokens", "output_tokens"),
        "cache_read_tokens": (
            *_input_parts("cached_tokens", "cache_read_input_tokens"),
            *_input_parts("cache_read", "flex_cache_read", "priority_cache_read"),
            "prompt_cache_hit_tokens",  # DeepSeek
            "cached_tokens",  # Moonshot, Together
            "cached_prompt_text_tokens",  # x.ai
            # Gateways add Anthropic's names
            # (https://docs.litellm.ai/docs/completion/prompt_caching).
            "cache_read_input_tokens",
        ),
        "cache_write_tokens": (
            *_input_parts("cache_write_tokens", "cache_creation_tokens"),
            *_input_parts("cache_creation_input_tokens"),
            *(f"{part}.{_BY_AGE[0]} + {part}.{_BY_AGE[1]}" for part in _INPUT_PARTS),
            *_input_parts("cache_creation", "flex_cache_creation", "priority_cache_creation"),
            "cache_creation_input_tokens",
            "cache_write_input_tokens",  # langchain-aws, of InvokeModel
            f"cache_creation.{_BY_AGE[0]} + cache_creation.{_BY_AGE[1]}",
        ),
        "cache_write_1h_tokens": (
            *_input_parts(_BY_AGE[1], f"cache_creation_token_details.{_BY_AGE[1]}"),
            f"cache_creation.{_BY_AGE[1]}",
        ),
        "reasoning_tokens": (
            *_output_parts("reasoning_tokens", "thinking_tokens"),
            *_output_parts("reasoning", "flex_reasoning", "priority_reasoning"),
            "reasoning_tokens",
        ),
        "input_audio_tokens": _input_parts("audio_tokens", "audio"),
        "output_audio_tokens": _output_parts("audio_tokens", "audio"),
        "cache_read_audio_tokens": _input_parts("cached_tokens_details.audio_tokens"),
        "input_image_tokens": _input_parts("image_tokens", "image"),
        "output_image_tokens": _output_parts("image_tokens", "image"),
    },
    total=("total_tokens",),
)

_PERPLEXITY = Shape(
    # Reasoning and citations are in no other count, nor in the total
    # (https://docs.perplexity.ai/api-reference/chat-completions-post).
    known_by=frozenset({"citation_tokens", "num_search_queries", "search_context_size"}),
    counts=OPENAI.counts,
    beside_output=("reasoning_tokens",),
)

ANTHROPIC = Shape(
    # The input excludes tokens read from or written to the cache
    # (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching).
    known_by=frozenset(
        {"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "iterations"}
    ),
    counts={
        "input_tokens": ("input_tokens",),
        "output_tokens": ("output_tokens",),
        "cache_read_tokens": ("cache_read_input_tokens",),
        "cache_write_tokens": (
            "cache_creation_input_tokens",
            f"cache_creation.{_BY_AGE[0]} + cache_creation.{_BY_AGE[1]}",
        ),
        "cache_write_1h_tokens": (f"cache_creation.{_BY_AGE[1]}",),
        "reasoning_tokens": ("output_tokens_details.thinking_tokens",),
    },
    beside_input=("cache_read_tokens", "cache_write_tokens"),
)

GOOGLE = Shape(
    # Gemini's and Vertex's, in snake case or camel case. Thoughts are not in the answer's count,
    # results of tools not in the prompt's
    # (https://ai.google.dev/api/generate-content#UsageMetadata).
    known_by=frozenset(
        {
            *("prompt_token_count", "promptTokenCount"),
            *("candidates_token_count", "candidatesTokenCount"),
            *("response_token_count", "responseTokenCount"),  # the Live API's
        }
    ),
    counts={
        "input_tokens": ("prompt_token_count", "promptTokenCount"),
        "output_tokens": (
            *("candidates_token_count", "candidatesTokenCount"),
            *("response_token_count", "responseTokenCount"),
        ),
        "cache_read_tokens": ("cached_content_token_count", "cachedContentTokenCount"),
        "reasoning_tokens": ("thoughts_token_count", "thoughtsTokenCount"),
        "input_audio_tokens": (
            "prompt_tokens_details[AUDIO] + tool_use_prompt_tokens_details[AUDIO]",
            "promptTokensDetails[AUDIO] + toolUsePromptTokensDetails[AUDIO]",
        ),
        "input_image_tokens": (
            "prompt_tokens_details[IMAGE] + tool_use_prompt_tokens_details[IMAGE]",
            "promptTokensDetails[IMAGE] + toolUsePromptTokensDetails[IMAGE]",
        ),
        "cache_read_audio_tokens": ("cache_tokens_details[AUDIO]", "cacheTokensDetails[AUDIO]"),
        "output_audio_tokens": (
            *("candidates_tokens_details[AUDIO]", "candidatesTokensDetails[AUDIO]"),
            *("response_tokens_details[AUDIO]", "responseTokensDetails[AUDIO]"),
        ),
        "output_image_tokens": (
            *("candidates_tokens_details[IMAGE]", "candidatesTokensDetails[IMAGE]"),
            *("response_tokens_details[IMAGE]", "responseTokensDetails[IMAGE]"),
        ),
    },
    beside_input=("tool_use_prompt_token_count", "toolUsePromptTokenCount"),
    beside_output=("reasoning_tokens",),
)

BEDROCK = Shape(
    # Converse's, or the metrics that end a stream of InvokeModel. The input excludes cached tokens
    # (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html).
    known_by=frozenset({"inputTokens", "outputTokens", "inputTokenCount", "outputTokenCount"}),
    counts={
        "input_tokens": ("inputTokens", "inputTokenCount"),
        "output_tokens": ("outputTokens", "outputTokenCount"),
        "cache_read_tokens": ("cacheReadInputTokens", "cacheReadInputTokenCount"),
        "cache_write_tokens": (
            *("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
            "cacheDetails[5m] + cacheDetails[1h]",
        ),
        "cache_write_1h_tokens": ("cacheDetails[1h]",),
    },
    beside_input=("cache_read_tokens", "cache_write_tokens"),
)

COHERE = Shape(
    # The chat's `usage`, or the `meta` of its first version. `billed_units` is what is billed;
    # `tokens` also counts tokens that Cohere adds (https://docs.cohere.com/reference/chat).
    known_by=frozenset({"billed_units", "tokens"}),
    counts={
        "input_tokens": ("billed_units.input_tokens", "tokens.input_tokens"),
        "output_tokens": ("billed_units.output_tokens", "tokens.output_tokens"),
        "cache_read_tokens": ("cached_tokens",),
    },
)

PLAIN = Shape(
    # Two counts without details: Ollama's, watsonx's
    # (https://github.com/ollama/ollama/blob/main/docs/api.md,
    # https://cloud.ibm.com/apidocs/watsonx-ai#text-generation).
    known_by=frozenset(
        {"prompt_eval_count", "eval_count", "input_token_count", "generated_token_count"}
    ),
    counts={
        "input_tokens": ("prompt_eval_count", "input_token_count"),
        "output_tokens": ("eval_count", "generated_token_count"),
    },
)

_OPENAIS_OWN = frozenset({"prompt_tokens", "completion_tokens"})
# The most specific first. OpenAI's own names are never Anthropic's, even where a gateway adds
# Anthropic's to them. Either count shows a shape: a stream may report one at a time.
_TABLE = (
    _PERPLEXITY,
    Shape(known_by=_OPENAIS_OWN, counts=OPENAI.counts, total=OPENAI.total),
    Shape(
        # LangChain's, and the realtime API's: cached tokens are input.
        known_by=frozenset({"input_token_details", "output_token_details"}),
        counts=OPENAI.counts,
        total=OPENAI.total,
    ),
    ANTHROPIC,
    GOOGLE,
    BEDROCK,
    OPENAI,
    COHERE,
    PLAIN,
)
