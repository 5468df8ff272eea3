"""The rules and prices of each provider's prompt cache.

Models are matched by family, because their names change often. Sources:
https://developers.openai.com/api/docs/guides/prompt-caching,
https://docs.claude.com/en/docs/build-with-claude/prompt-caching,
https://ai.google.dev/gemini-api/docs/caching. Prices come from the price book.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from llm_optimizers.costs import PriceBook
from llm_optimizers.errors import UnpricedError
from llm_optimizers.prompts.counting import bare_name, is_recent_openai

__all__ = ["CacheRules", "cache_rules"]

Breakpoints: TypeAlias = Literal["none", "cache_control", "breakpoint"]

_EXPLICIT = re.compile(r"gpt-(5\.([6-9]|\d{2})|[6-9]|1\d)\b")
_CLAUDE_MINIMA = (  # the first match counts
    (re.compile(r"claude-(opus-4-[5-9]|haiku-4-5)"), 4096),
    (re.compile(r"claude-sonnet-4-[6-9]"), 2048),
    (re.compile(r"claude-(3-5-haiku|3-haiku)"), 2048),
    (re.compile(r"claude-(3-7-sonnet|3-5-sonnet|3-opus|(sonnet|opus)-4)"), 1024),
    (re.compile(r"claude-"), 4096),
)
_DEFAULT_READ = {"openai": Decimal("0.5"), "anthropic": Decimal("0.1"), "google": Decimal("0.1")}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """How a provider caches prompts; `read` and `write` are fractions of the plain input price.

    A prefix is cached from `minimum` tokens on, in whole steps of `step` tokens. `breakpoints` is
    the syntax that marks the end of a prefix, `max_breakpoints` how many a request may contain,
    and `accepts_key` whether a key can route requests with the same prefix to the same cache.
    """

    minimum: int
    step: int
    read: Decimal
    write: Decimal
    breakpoints: Breakpoints = "none"
    max_breakpoints: int = 0
    accepts_key: bool = False

    def cached_tokens(self, prefix: int) -> int:
        """Return how many tokens of a repeated prefix are read from the cache."""
        return prefix // self.step * self.step if prefix >= self.minimum else 0


def cache_rules(model: str, prices: PriceBook) -> CacheRules | None:
    """Return the rules for a model, or None if its provider is not known to cache prompts."""
    name = bare_name(model)
    if is_recent_openai(model):
        explicit = _EXPLICIT.match(name) is not None
        read, write = _shares(model, prices, "openai", Decimal("1.25") if explicit else Decimal(1))
        return CacheRules(
            minimum=1024,
            step=1 if explicit else 128,
            read=read,
            write=write,
            breakpoints="breakpoint" if explicit else "none",
            max_breakpoints=3 if explicit else 0,  # of four, the provider uses one itself
            accepts_key=True,
        )
    for pattern, minimum in _CLAUDE_MINIMA:
        if pattern.search(name):
            read, write = _shares(model, prices, "anthropic", Decimal("1.25"))
            return CacheRules(
                minimum=minimum,
                step=1,
                read=read,
                write=write,
                breakpoints="cache_control",
                max_breakpoints=4,
            )
    if name.startswith("gemini-"):
        read, write = _shares(model, prices, "google", Decimal(1))
        minimum = 1024 if "flash" in name else 4096
        return CacheRules(minimum=minimum, step=1, read=read, write=write)
    return None


def _shares(
    model: str, prices: PriceBook, family: str, default_write: Decimal
) -> tuple[Decimal, Decimal]:
    """Return the prices of a read and a write as fractions of the input price.

    An unpriced model gets its family's defaults.
    """
    with suppress(UnpricedError):
        rates = prices.rates(model)
        if rates.input:
            return rates.cache_read / rates.input, max(Decimal(1), rates.cache_write / rates.input)
    return _DEFAULT_READ[family], default_write
