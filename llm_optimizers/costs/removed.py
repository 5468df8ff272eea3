"""The input tokens that prompt optimisers removed from a call."""

from __future__ import annotations

from dataclasses import dataclass

from llm_optimizers.costs.usage import Usage

__all__ = ["NOTHING_REMOVED", "RemovedTokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedTokens:
    """Input tokens that prompt optimisers removed from a call; add two with `+`.

    `repeated` of these tokens were also sent by an earlier call of the conversation. They count
    as read from the provider's prompt cache if the call read any of its prompt from there.
    """

    tokens: int = 0
    repeated: int = 0

    def __add__(self, other: RemovedTokens) -> RemovedTokens:
        return RemovedTokens(
            tokens=self.tokens + other.tokens, repeated=self.repeated + other.repeated
        )

    def added_back_to(self, usage: Usage, *, cached: bool = False) -> Usage:
        """Return the usage that the call would have had with its whole prompt.

        `cached` reads what was sent before from the provider's cache in any case.
        """
        if self.tokens <= 0:
            return usage
        found = cached or usage.cache_read_tokens
        read = min(max(0, self.repeated), self.tokens) if found else 0
        return usage + Usage(input_tokens=self.tokens, cache_read_tokens=read)


NOTHING_REMOVED = RemovedTokens()
