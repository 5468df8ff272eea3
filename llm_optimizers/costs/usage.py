"""What a call used, with the same meaning for every provider: tokens, and what costs a fee.

Providers disagree on whether cached tokens count as input and whether reasoning tokens count as
output. Here both always do, so that totals add up and no token is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from llm_optimizers.arguments import whole
from llm_optimizers.errors import ConfigurationError

__all__ = ["Usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The token counts of one call, or of many added up with `+` or `sum()`.

    `input_tokens` includes `cache_read_tokens`, `cache_write_tokens`, `input_audio_tokens` and
    `input_image_tokens`; `output_tokens` includes `reasoning_tokens`, `output_audio_tokens` and
    `output_image_tokens`; `cache_write_tokens` includes `cache_write_1h_tokens` (Anthropic's
    one-hour cache has a separate rate); `cache_read_audio_tokens` are in both `cache_read_tokens`
    and `input_audio_tokens`.

    What is billed by the piece is no token: `web_searches`, `file_searches`, `code_sessions` (a
    container that runs code), `images` (pictures that have a price each), and `other_units` of
    kinds that no price list has.

    Raises:
        ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cache_read_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    web_searches: int = 0
    file_searches: int = 0
    code_sessions: int = 0
    images: int = 0
    other_units: int = 0

    def __post_init__(self) -> None:
        for name in _FIELDS:
            count = getattr(self, name)
            if type(count) is not int or not 0 <= count <= _MOST:  # a numpy count becomes an int
                object.__setattr__(self, name, whole(name, count, least=0, most=_MOST))

    @property
    def total_tokens(self) -> int:
        """Input plus output tokens."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})

    def __radd__(self, other: int) -> Usage:
        """Let `sum()` start from its 0."""
        return self if other == 0 else NotImplemented

    def as_dict(self) -> dict[str, int]:
        """Return all counts by name, as JSON values; `Usage(**counts)` reads them back."""
        return {name: getattr(self, name) for name in _FIELDS}

    def later(self, other: Usage) -> Usage:
        """Return this usage updated with a later report of the same call, as streams send them.

        Reported counts are cumulative, so the later nonzero value of each replaces the earlier:
        Anthropic reports the input in the first event and the output in the last.
        """
        counts = other.as_dict()
        return Usage(**{name: counts[name] or n for name, n in self.as_dict().items()})

    @classmethod
    def read(cls, raw: object) -> Usage | None:
        """Read the token counts of any provider, which is recognised by their names.

        None if there are no counts or only zeros, which some providers send for unknown counts.
        """
        if not isinstance(raw, Mapping):
            return None
        known = next((read for names, read in _FORMATS if not names.isdisjoint(raw)), None)
        try:
            usage = known(raw) if known is not None else None
        except ConfigurationError:
            return None
        return usage if usage is not None and usage.total_tokens else None

    @classmethod
    def from_openai(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage` of OpenAI's chat completions, responses or embeddings.

        OpenAI includes cached tokens in the input and reasoning tokens in the output. Some
        compatible servers leave reasoning out of the output and include it in the total
        (x.ai: https://docs.x.ai/docs/guides/reasoning); it is added to the output here.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        prompt = _part(raw, "prompt_tokens_details") or _part(raw, "input_tokens_details")
        answer = _part(raw, "completion_tokens_details") or _part(raw, "output_tokens_details")
        input_tokens = _first(raw, "prompt_tokens", "input_tokens")
        output_tokens = _first(raw, "completion_tokens", "output_tokens")
        reasoning = _first(answer, "reasoning_tokens")
        if _first(raw, "total_tokens") == input_tokens + output_tokens + reasoning:
            output_tokens += reasoning
        return cls(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            # DeepSeek reports cache hits outside the details, gateways under Anthropic's names.
            cache_read_tokens=_first(prompt, "cached_tokens")
            or _first(raw, "prompt_cache_hit_tokens", "cache_read_input_tokens"),
            cache_write_tokens=_first(prompt, "cache_write_tokens", "cache_creation_tokens")
            or _first(raw, "cache_creation_input_tokens"),
            reasoning_tokens=reasoning,
            input_audio_tokens=_first(prompt, "audio_tokens"),
            output_audio_tokens=_first(answer, "audio_tokens"),
        )

    @classmethod
    def from_anthropic(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage` of Anthropic's messages.

        Its `input_tokens` excludes tokens read from or written to the cache
        (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching); they are added.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        read = _first(raw, "cache_read_input_tokens")
        by_age = _part(raw, "cache_creation")
        hour = _first(by_age, "ephemeral_1h_input_tokens")
        written = _first(raw, "cache_creation_input_tokens") or (
            hour + _first(by_age, "ephemeral_5m_input_tokens")
        )
        return cls(
            input_tokens=_first(raw, "input_tokens") + read + written,
            output_tokens=_first(raw, "output_tokens"),
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=hour,
            reasoning_tokens=_first(_part(raw, "output_tokens_details"), "thinking_tokens"),
        )

    @classmethod
    def from_google(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage_metadata` of Gemini, with names in snake case or camel case.

        Gemini excludes thoughts from the answer's count and tool-use tokens from the prompt's
        (https://ai.google.dev/api/generate-content#UsageMetadata); they are added.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        thoughts = _first(raw, "thoughts_token_count", "thoughtsTokenCount")
        return cls(
            input_tokens=_first(raw, "prompt_token_count", "promptTokenCount")
            + _first(raw, "tool_use_prompt_token_count", "toolUsePromptTokenCount"),
            output_tokens=_first(raw, "candidates_token_count", "candidatesTokenCount") + thoughts,
            cache_read_tokens=_first(raw, "cached_content_token_count", "cachedContentTokenCount"),
            reasoning_tokens=thoughts,
        )

    @classmethod
    def from_bedrock(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage` of Bedrock's Converse, or the metrics that end an InvokeModel stream.

        They exclude cached tokens from the input, as Anthropic does
        (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html).

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        read = _first(raw, "cacheReadInputTokens", "cacheReadInputTokenCount")
        written = _first(raw, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
        details = raw.get("cacheDetails")
        by_age = details if isinstance(details, list) else ()
        hour = [part for part in by_age if isinstance(part, Mapping) and part.get("ttl") == "1h"]
        return cls(
            input_tokens=_first(raw, "inputTokens", "inputTokenCount") + read + written,
            output_tokens=_first(raw, "outputTokens", "outputTokenCount"),
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=sum(_first(part, "inputTokens") for part in hour),
        )

    @classmethod
    def from_cohere(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage` of Cohere's chat, or the `meta` of its first version.

        `billed_units` is what is billed; `tokens` also counts tokens that Cohere adds
        (https://docs.cohere.com/reference/chat).

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        counts = _part(raw, "billed_units") or _part(raw, "tokens")
        return cls(
            input_tokens=_first(counts, "input_tokens"),
            output_tokens=_first(counts, "output_tokens"),
        )

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the two counts of Ollama or watsonx, which have no details.

        https://github.com/ollama/ollama/blob/main/docs/api.md,
        https://cloud.ibm.com/apidocs/watsonx-ai#text-generation

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        return cls(
            input_tokens=_first(raw, "prompt_eval_count", "input_token_count"),
            output_tokens=_first(raw, "eval_count", "generated_token_count"),
        )


# Formats by the names of either count (a stream may report one at a time), the most specific first.
# OpenAI's format includes cached tokens in the prompt, even where a gateway adds Anthropic's names
# to it (https://docs.litellm.ai/docs/completion/prompt_caching).
_FORMATS: tuple[tuple[frozenset[str], Callable[[Mapping[str, Any]], Usage]], ...] = (
    (frozenset({"prompt_tokens", "completion_tokens"}), Usage.from_openai),
    (
        frozenset({"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"}),
        Usage.from_anthropic,
    ),
    (
        frozenset(
            {
                *("prompt_token_count", "promptTokenCount"),
                *("candidates_token_count", "candidatesTokenCount"),
            }
        ),
        Usage.from_google,
    ),
    (
        frozenset({"inputTokens", "outputTokens", "inputTokenCount", "outputTokenCount"}),
        Usage.from_bedrock,
    ),
    (frozenset({"input_tokens", "output_tokens"}), Usage.from_openai),
    (frozenset({"billed_units", "tokens"}), Usage.from_cohere),
    (
        frozenset(
            {"prompt_eval_count", "eval_count", "input_token_count", "generated_token_count"}
        ),
        Usage.from_plain,
    ),
)
_MOST = 2**63 - 1  # what a ledger can store
_FIELDS = tuple(field.name for field in fields(Usage))


def _part(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _first(raw: Mapping[str, Any], *keys: str) -> int:
    """Return the count under the first of `keys` that has one; 0 if all are missing or null."""
    for key in keys:
        value = raw.get(key)
        if isinstance(value, float) and value.is_integer():
            return _check_count(key, int(value))  # Cohere's SDK returns counts as floats.
        if value is not None:
            return _check_count(key, value)
    return 0


def _check_count(name: str, value: object) -> int:
    if type(value) is int and 0 <= value <= _MOST:
        return value
    return whole(name, value, least=0, most=_MOST)
