"""`TokenCount`: a number of tokens, and whether it is exact."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TokenCount", "estimated", "exact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    """A number of tokens; `exact` if the provider bills this number, False for an estimate."""

    tokens: int
    exact: bool

    def __add__(self, other: TokenCount) -> TokenCount:
        return TokenCount(tokens=self.tokens + other.tokens, exact=self.exact and other.exact)


def exact(tokens: int) -> TokenCount:
    """Return a number that the provider bills."""
    return TokenCount(tokens=tokens, exact=True)


def estimated(tokens: int) -> TokenCount:
    """Return a number for which there is no documented rule."""
    return TokenCount(tokens=tokens, exact=False)
