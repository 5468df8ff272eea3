"""The provider's prompt cache: how a prompt is laid out for it, and what breaking it costs.

rules.py         what each provider's cache takes and charges
break_even.py    when a shorter prompt is the cheaper one
planning.py      which shortened messages are sent and which history is folded, by that rule
layout.py        prefix, history, tail: lints, and the provider's own cache marks
"""

from __future__ import annotations

from llm_optimizers.prompts.provider_cache.change_plan import (
    Fold,
    Weighed,
    call_cost,
    plan_changes,
)
from llm_optimizers.prompts.provider_cache.layout import Lint, lint_prefix, marked
from llm_optimizers.prompts.provider_cache.planning import Planned, plan_request
from llm_optimizers.prompts.provider_cache.rules import CacheRules, cache_rules

__all__ = [
    "CacheRules",
    "Fold",
    "Lint",
    "Planned",
    "Weighed",
    "cache_rules",
    "call_cost",
    "lint_prefix",
    "marked",
    "plan_changes",
    "plan_request",
]
