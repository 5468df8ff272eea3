"""The provider's prompt cache: how to lay a prompt out for it, and what breaking it costs.

rules.py         each provider's rules and prices
change_plan.py   decides when a shorter prompt is the cheaper one
planning.py      applies that decision to a request's messages and history
layout.py        lints for the prefix, and the provider's cache breakpoints
"""

from __future__ import annotations

from llm_optimizers.prompts.provider_cache.change_plan import (
    MessageTokens,
    PlannedSummary,
    call_cost,
    plan_changes,
)
from llm_optimizers.prompts.provider_cache.layout import Lint, lint_prefix, with_breakpoints
from llm_optimizers.prompts.provider_cache.planning import PlannedRequest, plan_request
from llm_optimizers.prompts.provider_cache.rules import CacheRules, cache_rules

__all__ = [
    "CacheRules",
    "Lint",
    "MessageTokens",
    "PlannedRequest",
    "PlannedSummary",
    "cache_rules",
    "call_cost",
    "lint_prefix",
    "plan_changes",
    "plan_request",
    "with_breakpoints",
]
