"""The decision itself: a pure function of request, context, time and random numbers.

hard filters → user tier → cost ceiling → stickiness → policy → limits. Nothing here reads a
clock, draws a number or uses the network, so that every decision can be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llm_optimizers.errors import ConfigurationError, NoModelFitsError
from llm_optimizers.failures import WarningLog
from llm_optimizers.routing.decision import Decision
from llm_optimizers.routing.filters import PriceSnapshot, filter_models
from llm_optimizers.routing.policy import Candidate, Choice, Policy, PolicyInput
from llm_optimizers.routing.request import Requirements, RoutingContext
from llm_optimizers.routing.specs import NO_BOUNDS, ModelTiers, UserTier
from llm_optimizers.shown import safe_logger
from llm_optimizers.types import ChatRequest

__all__ = ["Rules", "decide"]

_log = safe_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A router's settings: what is the same for all its decisions."""

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
        NoModelFitsError: no model can serve it; the message lists each with its reason.
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
    eligible = tuple(c for c in candidates if c.rejected is None)
    if not eligible:
        raise NoModelFitsError(_no_model_fits(candidates))
    baseline = _nearest(eligible, rules.safe, rules.model_tiers)
    policy_input = PolicyInput(
        request=request,
        context=context,
        requirements=requirements,
        candidates=eligible,
        safe=baseline.model,
        now=now,
        draw=draw,
    )
    choice = _keep_tool_caller(policy_input) or _choose(rules.policy, policy_input, rules.warnings)
    chosen, reason = _apply_limits(policy_input, choice, rules.model_tiers)
    return Decision(
        id=decision_id,
        time=now,
        model=chosen.model,
        baseline=baseline.model,
        reason=reason,
        choice=choice,
        candidates=candidates,
        fallbacks=_fallbacks(chosen, eligible),
        escalation=choice.escalation if chosen.model == choice.model else None,
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


def _keep_tool_caller(policy_input: PolicyInput) -> Choice | None:
    """Send a tool's result to the model that called the tool; another would not know the call."""
    previous, messages = policy_input.context.previous, policy_input.request.messages
    if previous is None or not messages or messages[-1].role != "tool":
        return None
    if not policy_input.has(previous.model):
        return None
    return Choice(model=previous.model, policy="hold", reason="answers its own tool call")


def _choose(policy: Policy, policy_input: PolicyInput, warnings: WarningLog) -> Choice:
    """Return the policy's choice; the safe model if it fails or abstains."""
    try:
        choice = policy.choose(policy_input)
    except Exception as error:  # noqa: BLE001 - fail open, whatever a policy raises
        name = type(policy).__name__
        text = f"routing policy {name} failed ({type(error).__name__}); the safe model answers"
        warnings.warn_once(__name__, text)
        _log.debug("the policy's error", exc_info=True)
        why = f"the policy failed ({type(error).__name__})"
        return Choice(model=policy_input.safe, policy="safe", reason=why)
    if choice is None:
        return Choice(model=policy_input.safe, policy="safe", reason="every policy abstained")
    return choice


def _apply_limits(
    policy_input: PolicyInput, choice: Choice, model_tiers: ModelTiers
) -> tuple[Candidate, str]:
    """Limit the choice to the candidates; change a conversation's model only if that saves money.

    Returns the model to use and the reason.
    """
    eligible = policy_input.candidates
    wanted = _nearest(eligible, choice.model, model_tiers)
    reason = choice.reason
    if wanted.model != choice.model:
        reason = f"{choice.reason}; {choice.model} cannot serve this request"
    earlier = policy_input.context.previous
    previous = next((c for c in eligible if earlier and c.model == earlier.model), None)
    if previous is None or wanted.rank >= previous.rank or _saves(wanted, previous):
        return wanted, reason
    return previous, (
        f"stays with {previous.model}: moving the conversation to {wanted.model} would not save "
        "money, the provider's prompt cache included"
    )


def _saves(wanted: Candidate, previous: Candidate) -> bool:
    """Return whether `wanted` is cheaper; both costs already count the provider's prompt cache."""
    if wanted.expected_cost is None or previous.expected_cost is None:
        return False
    return wanted.expected_cost < previous.expected_cost


def _nearest(eligible: tuple[Candidate, ...], name: str, model_tiers: ModelTiers) -> Candidate:
    """Return the named model, or the next stronger eligible one, or else the strongest."""
    exact = next((c for c in eligible if c.model == name), None)
    if exact is not None:
        return exact
    rank = model_tiers.rank(name)
    return next((c for c in eligible if c.rank >= rank), eligible[-1])


def _fallbacks(chosen: Candidate, eligible: tuple[Candidate, ...]) -> tuple[str, ...]:
    """Return the models to try when the chosen one fails: same tier, then stronger, then weaker."""

    def order(candidate: Candidate) -> tuple[bool, int]:
        step = candidate.rank - chosen.rank
        return step < 0, abs(step)

    others = [c for c in eligible if c.model != chosen.model]
    return tuple(c.model for c in sorted(others, key=order))


def _no_model_fits(candidates: tuple[Candidate, ...]) -> str:
    reasons = "\n".join(f"  {c.model}: {c.rejected}" for c in candidates)
    return (
        "no model can serve this request; add one that can, raise the ceiling or shorten the "
        f"request:\n{reasons}"
    )
