"""The hard filters: which models can serve a request at all, and what each would cost.

They run before every policy, in a fixed order, and give a reason for each model they reject. A
filter never ranks; a policy never sees a model that cannot serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from llm_optimizers.costs import Rates
from llm_optimizers.routing.policy import Candidate
from llm_optimizers.routing.request import Previous, Requirements, RoutingContext
from llm_optimizers.routing.specs import ModelSpec, ModelTiers, UserTier

__all__ = ["PriceSnapshot", "filter_models"]

PROVIDER_CACHE_S = 300.0
"""How long a provider's prompt cache lives: 5 minutes at Anthropic, 5 to 10 at OpenAI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSnapshot:
    """Rates per token and context windows (tokens) by model, read from the price book once."""

    rates: Mapping[str, Rates | None]
    windows: Mapping[str, int | None]


def filter_models(
    model_tiers: ModelTiers,
    price_snapshot: PriceSnapshot,
    requirements: Requirements,
    context: RoutingContext,
    tier: UserTier,
    *,
    now: float,
    cooling: Mapping[str, float],
) -> tuple[Candidate, ...]:
    """Return every model as a candidate, weakest first, with its cost or why it is rejected.

    `cooling` maps models that failed recently to the seconds left of their cooldown. It counts only
    while some other model can serve: a model that failed is better than none.
    """
    ceilings = [limit for limit in (tier.max_cost, context.max_cost) if limit is not None]
    objections = tier.objections(model_tiers)
    found: list[Candidate] = []
    for spec in model_tiers.specs:
        cost = _expected_cost(
            price_snapshot.rates[spec.name], spec.name, requirements, context.previous, now=now
        )
        reason = (
            _incapable(spec, requirements)
            or _too_long(price_snapshot.windows[spec.name], requirements)
            or objections.get(spec.name)
            or _too_expensive(cost, min(ceilings) if ceilings else None)
        )
        found.append(
            Candidate(
                model=spec.name,
                rank=model_tiers.ranks[spec.name],
                expected_cost=cost,
                latency_s=spec.latency_s,
                rejected=reason,
            )
        )
    return _reject_cooling(found, cooling)


def _incapable(spec: ModelSpec, requirements: Requirements) -> str | None:
    missing = sorted(requirements.capabilities - spec.capabilities)
    return f"cannot do {', '.join(missing)}" if missing else None


def _too_long(window: int | None, requirements: Requirements) -> str | None:
    wanted = requirements.input_tokens + requirements.headroom
    if window is None or wanted <= window:
        return None
    return (
        f"context window of {window} tokens is too small for about {requirements.input_tokens} in "
        f"and {requirements.headroom} out"
    )


def _too_expensive(cost: Decimal | None, ceiling: Decimal | None) -> str | None:
    if ceiling is None:
        return None
    if cost is None:
        return f"no price is known, so the ceiling of ${ceiling} a request cannot be checked"
    if cost > ceiling:
        return f"expected to cost ${cost:.6f}, over the ceiling of ${ceiling} a request"
    return None


def _reject_cooling(found: list[Candidate], cooling: Mapping[str, float]) -> tuple[Candidate, ...]:
    if all(c.model in cooling for c in found if c.rejected is None):
        return tuple(found)
    return tuple(
        replace(c, rejected=f"failed recently, cools down for another {cooling[c.model]:.0f} s")
        if c.rejected is None and c.model in cooling
        else c
        for c in found
    )


def _expected_cost(
    rates: Rates | None,
    model: str,
    requirements: Requirements,
    previous: Previous | None,
    *,
    now: float,
) -> Decimal | None:
    """Return the dollars for one answer.

    A conversation's prefix is read from the prompt cache of its own model; another model would
    have to write it to its cache.
    """
    if rates is None:
        return None
    warm = previous is not None and (previous.at is None or now - previous.at < PROVIDER_CACHE_S)
    prefix = min(requirements.prefix_tokens, requirements.input_tokens) if warm else 0
    rest = requirements.input_tokens - prefix
    same_model = previous is not None and previous.model == model
    prefix_rate = rates.cache_read if same_model else rates.cache_write
    return prefix * prefix_rate + rest * rates.input + requirements.output_tokens * rates.output
