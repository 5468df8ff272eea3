"""The decision itself: a pure function of request, context, time and chance.

hard filters → user tier → cost ceiling → stickiness → policy → settle. Nothing here reads a
clock, draws a number or touches the network, so that every decision can be replayed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llm_optimizers.errors import ConfigurationError, NoModelFitsError
from llm_optimizers.failures import WarningLog
from llm_optimizers.routing.decision import Decision
from llm_optimizers.routing.filters import PriceSnapshot, filter_models
from llm_optimizers.routing.policy import Candidate, Choice, Policy, PolicyInput
from llm_optimizers.routing.request import Requirements, RoutingContext
from llm_optimizers.routing.specs import NO_BOUNDS, ModelTiers, UserTier
from llm_optimizers.types import ChatRequest

__all__ = ["Rules", "decide"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What stays the same from one decision to the next."""

    model_tiers: ModelTiers
    price_snapshot: PriceSnapshot
    policy: Policy
    safe: str
    tiers: Mapping[str, UserTier] = field(default_factory=dict)
    warnings: WarningLog = field(default_factory=WarningLog)


def decide(
    rules: Rules,
    request: ChatRequest,
    context: RoutingContext,
    requirements: Requirements,
    *,
    now: float,
    draw: Callable[[], float],
    decision_id: str,
    cooling: Mapping[str, float],
) -> Decision:
    """Choose the model for one request.

    Raises:
        NoModelFitsError: no model can take it; the message lists each with its reason.
        ConfigurationError: the context names a user tier the router does not have.
    """
    tier = _tier(rules, context)
    candidates = filter_models(
        rules.model_tiers,
        rules.price_snapshot,
        requirements,
        context,
        tier,
        now=now,
        cooling=cooling,
    )
    able = tuple(c for c in candidates if c.rejected is None)
    if not able:
        raise NoModelFitsError(_nothing_fits(candidates))
    baseline = _nearest(able, rules.safe, rules.model_tiers)
    policy_input = PolicyInput(
        request=request,
        context=context,
        requirements=requirements,
        candidates=able,
        safe=baseline.model,
        now=now,
        draw=draw,
    )
    choice = _held(policy_input) or _ask(rules.policy, policy_input, rules.warnings)
    settled, reason = _settle(policy_input, choice, rules.model_tiers)
    return Decision(
        id=decision_id,
        time=now,
        model=settled.model,
        baseline=baseline.model,
        reason=reason,
        choice=choice,
        candidates=candidates,
        fallbacks=_fallbacks(settled, able),
        escalation=choice.escalation if settled.model == choice.model else None,
        requirements=requirements,
        user=context.user,
        session=context.session,
        tier=context.tier,
        task=context.task,
    )


def _tier(rules: Rules, context: RoutingContext) -> UserTier:
    tier = rules.tiers.get(context.tier)
    if tier is not None:
        return tier
    if context.tier and rules.tiers:
        raise ConfigurationError(
            f"no user tier {context.tier!r}; this router knows {', '.join(sorted(rules.tiers))}"
        )
    return NO_BOUNDS


def _held(policy_input: PolicyInput) -> Choice | None:
    """A tool's result goes to the model that asked for it: another would not know the call."""
    previous, messages = policy_input.context.previous, policy_input.request.messages
    if previous is None or not messages or messages[-1].role != "tool":
        return None
    if not policy_input.has(previous.model):
        return None
    return Choice(model=previous.model, policy="hold", reason="answers its own tool call")


def _ask(policy: Policy, policy_input: PolicyInput, warnings: WarningLog) -> Choice:
    """The policy's choice; a policy that fails or abstains costs nobody an answer."""
    try:
        choice = policy.choose(policy_input)
    except Exception as error:  # noqa: BLE001 - fail open, whatever a policy raises
        name = type(policy).__name__
        said = f"routing policy {name} failed ({type(error).__name__}); the safe model serves"
        warnings.warn_once(_log, said)
        _log.debug("what the policy raised", exc_info=True)
        why = f"the policy failed ({type(error).__name__})"
        return Choice(model=policy_input.safe, policy="safe", reason=why)
    if choice is None:
        return Choice(model=policy_input.safe, policy="safe", reason="every policy abstained")
    return choice


def _settle(
    policy_input: PolicyInput, choice: Choice, model_tiers: ModelTiers
) -> tuple[Candidate, str]:
    """Hold the choice to the filters and to the conversation's model."""
    able = policy_input.candidates
    wanted = _nearest(able, choice.model, model_tiers)
    reason = choice.reason
    if wanted.model != choice.model:
        reason = f"{choice.reason}; {choice.model} cannot serve this request"
    leader = policy_input.context.previous.model if policy_input.context.previous else None
    previous = next((c for c in able if c.model == leader), None)
    if previous is None or wanted.rank >= previous.rank or _saves(wanted, previous):
        return wanted, reason
    return previous, (
        f"stays with {previous.model}: moving the conversation to {wanted.model} would cost more "
        "than the provider's prompt cache saves"
    )


def _saves(wanted: Candidate, previous: Candidate) -> bool:
    """Whether moving down pays; the costs already count the provider's cache on both sides."""
    if wanted.expected_cost is None or previous.expected_cost is None:
        return False
    return wanted.expected_cost < previous.expected_cost


def _nearest(able: tuple[Candidate, ...], name: str, model_tiers: ModelTiers) -> Candidate:
    """The named model, or the next stronger that can serve, or else the strongest that can."""
    exact = next((c for c in able if c.model == name), None)
    if exact is not None:
        return exact
    rank = model_tiers.rank(name)
    return next((c for c in able if c.rank >= rank), able[-1])


def _fallbacks(chosen: Candidate, able: tuple[Candidate, ...]) -> tuple[str, ...]:
    """Whom to try when the chosen model fails: siblings, then up the ladder, then down."""

    def order(candidate: Candidate) -> tuple[int, int]:
        step = candidate.rank - chosen.rank
        return (0, 0) if step == 0 else (1, step) if step > 0 else (2, -step)

    others = [c for c in able if c.model != chosen.model]
    return tuple(c.model for c in sorted(others, key=order))


def _nothing_fits(candidates: tuple[Candidate, ...]) -> str:
    reasons = "\n".join(f"  {c.model}: {c.rejected}" for c in candidates)
    return (
        "no model can take this request; add one that can, raise the ceiling or shorten the "
        f"request:\n{reasons}"
    )
