"""`Usage`: the counts of a call, with the same meaning for every provider.

Providers disagree on whether cached tokens count as input and whether reasoning tokens count as
output. Here both always do, so that totals add up and no token is counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llm_optimizers.arguments import whole
from llm_optimizers.costs.usage.places import MOST_STORED
from llm_optimizers.costs.usage.reading import read_counts
from llm_optimizers.costs.usage.shapes import (
    ANTHROPIC,
    BEDROCK,
    COHERE,
    GOOGLE,
    OPENAI,
    PLAIN,
    Shape,
)

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
            if (
                type(count) is not int or not 0 <= count <= MOST_STORED
            ):  # a numpy count becomes an int
                object.__setattr__(self, name, whole(name, count, least=0, most=MOST_STORED))

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
        """Read the counts of any provider, which is recognised by their names.

        None if there are no counts or only zeros, which some providers send for unknown counts, or
        if a count is no number.
        """
        found = read_counts(raw)
        if found is None or found.unreadable or not any(found.counts.values()):
            return None
        return cls(**found.counts)

    @classmethod
    def from_openai(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage` of OpenAI's chat completions, responses or embeddings.

        OpenAI includes cached tokens in the input and reasoning tokens in the output. Some
        compatible servers leave reasoning out of the output and include it in the total; it is
        added to the output here.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        return cls._of(raw, OPENAI)

    @classmethod
    def from_anthropic(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage` of Anthropic's messages, whose input excludes cached tokens.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        return cls._of(raw, ANTHROPIC)

    @classmethod
    def from_google(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage_metadata` of Gemini, with names in snake case or camel case.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        return cls._of(raw, GOOGLE)

    @classmethod
    def from_bedrock(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage` of Bedrock's Converse, or the metrics that end an InvokeModel stream.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        return cls._of(raw, BEDROCK)

    @classmethod
    def from_cohere(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the `usage` of Cohere's chat, or the `meta` of its first version.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        return cls._of(raw, COHERE)

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Usage:
        """Read the two counts of Ollama or watsonx, which have no details.

        Raises:
            ConfigurationError: a count is negative, not an int, or more than 2**63 - 1.
        """
        return cls._of(raw, PLAIN)

    @classmethod
    def _of(cls, raw: Mapping[str, Any], shape: Shape) -> Usage:
        found = read_counts(raw, shape=shape, strict=True)
        return cls() if found is None else cls(**found.counts)


_FIELDS = tuple(field.name for field in fields(Usage))
