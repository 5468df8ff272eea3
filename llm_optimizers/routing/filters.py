"""The hard filters: which models can take a request at all, and what each would cost.

They come before every policy, in a fixed order, and each leaves its reason. A filter never
ranks; a policy never sees a model that cannot serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    """What the price book said about each model, read once: rates a token, and windows."""

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
    """Every model of the ladder, weakest first, with its expected cost and why it fell.

    `cooling` maps models that failed lately to the seconds they still rest. It binds only while
    some other model can serve: a tired model is better than none.
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
            or _too_dear(cost, min(ceilings) if ceilings else None)
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
    return _rest(found, cooling)


def _incapable(spec: ModelSpec, requirements: Requirements) -> str | None:
    lacking = sorted(requirements.capabilities - spec.capabilities)
    return f"cannot do {', '.join(lacking)}" if lacking else None


def _too_long(window: int | None, requirements: Requirements) -> str | None:
    wanted = requirements.input_tokens + requirements.headroom
    if window is None or wanted <= window:
        return None
    return (
        f"context window of {window} tokens is too small for about {requirements.input_tokens} in "
        f"and {requirements.headroom} out"
    )


def _too_dear(cost: Decimal | None, ceiling: Decimal | None) -> str | None:
    if ceiling is None:
        return None
    if cost is None:
        return f"no price is known, so the ceiling of ${ceiling} a request cannot be kept"
    if cost > ceiling:
        return f"expected to cost ${cost:.6f}, over the ceiling of ${ceiling} a request"
    return None


def _rest(found: list[Candidate], cooling: Mapping[str, float]) -> tuple[Candidate, ...]:
    able = [c for c in found if c.rejected is None]
    if all(c.model in cooling for c in able):
        return tuple(found)
    return tuple(
        _tired(c, cooling[c.model]) if c.rejected is None and c.model in cooling else c
        for c in found
    )


def _tired(candidate: Candidate, seconds: float) -> Candidate:
    return Candidate(
        model=candidate.model,
        rank=candidate.rank,
        expected_cost=candidate.expected_cost,
        latency_s=candidate.latency_s,
        rejected=f"failed lately, rests for another {seconds:.0f} s",
    )


def _expected_cost(
    rates: Rates | None,
    model: str,
    requirements: Requirements,
    previous: Previous | None,
    *,
    now: float,
) -> Decimal | None:
    """Dollars for one answer; a conversation's prefix is cached at its model, cold elsewhere."""
    if rates is None:
        return None
    warm = previous is not None and (previous.at is None or now - previous.at < PROVIDER_CACHE_S)
    cached = min(requirements.prefix_tokens, requirements.input_tokens) if warm else 0
    fresh = requirements.input_tokens - cached
    here = previous is not None and previous.model == model
    prefix_rate = rates.cache_read if here else rates.cache_write
    return cached * prefix_rate + fresh * rates.input + requirements.output_tokens * rates.output
