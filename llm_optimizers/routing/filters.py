"""The hard filters: which models can take a request at all, and what each would cost.

They come before every policy, in a fixed order, and each leaves its reason. A filter never
ranks; a policy never sees a model that cannot serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from llm_optimizers.costs import Rates
from llm_optimizers.routing.request import Needs, Previous, RoutingContext
from llm_optimizers.routing.situation import Candidate
from llm_optimizers.routing.specs import Ladder, ModelSpec, UserTier

__all__ = ["Market", "weigh"]

PROVIDER_CACHE_S = 300.0
"""How long a provider's prompt cache lives: 5 minutes at Anthropic, 5 to 10 at OpenAI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What the price book said about each model, read once: rates a token, and windows."""

    rates: Mapping[str, Rates | None]
    windows: Mapping[str, int | None]


def weigh(
    ladder: Ladder,
    market: Market,
    needs: Needs,
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
    objections = tier.objections(ladder)
    found: list[Candidate] = []
    for spec in ladder.specs:
        cost = _expected_cost(market.rates[spec.name], spec.name, needs, context.previous, now=now)
        reason = (
            _incapable(spec, needs)
            or _too_long(market.windows[spec.name], needs)
            or objections.get(spec.name)
            or _too_dear(cost, min(ceilings) if ceilings else None)
        )
        found.append(
            Candidate(
                model=spec.name,
                rung=ladder.rungs[spec.name],
                expected_cost=cost,
                latency_s=spec.latency_s,
                rejected=reason,
            )
        )
    return _rest(found, cooling)


def _incapable(spec: ModelSpec, needs: Needs) -> str | None:
    lacking = sorted(needs.capabilities - spec.capabilities)
    return f"cannot do {', '.join(lacking)}" if lacking else None


def _too_long(window: int | None, needs: Needs) -> str | None:
    wanted = needs.input_tokens + needs.headroom
    if window is None or wanted <= window:
        return None
    return (
        f"context window of {window} tokens is too small for about {needs.input_tokens} in "
        f"and {needs.headroom} out"
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
        rung=candidate.rung,
        expected_cost=candidate.expected_cost,
        latency_s=candidate.latency_s,
        rejected=f"failed lately, rests for another {seconds:.0f} s",
    )


def _expected_cost(
    rates: Rates | None, model: str, needs: Needs, previous: Previous | None, *, now: float
) -> Decimal | None:
    """Dollars for one answer; a conversation's prefix is cached at its model, cold elsewhere."""
    if rates is None:
        return None
    warm = previous is not None and (previous.at is None or now - previous.at < PROVIDER_CACHE_S)
    cached = min(needs.prefix_tokens, needs.input_tokens) if warm else 0
    fresh = needs.input_tokens - cached
    here = previous is not None and previous.model == model
    prefix_rate = rates.cache_read if here else rates.cache_write
    return cached * prefix_rate + fresh * rates.input + needs.output_tokens * rates.output
