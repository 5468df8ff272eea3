"""Prompts that cost less and answer the same.

- `counting` says what a text or a request costs in tokens, exactly where that can be known.
"""

from __future__ import annotations

from llm_optimizers.prompts.counting import TokenCount, TokenCounter

__all__ = ["TokenCount", "TokenCounter"]
