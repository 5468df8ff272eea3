"""Policies that need no data: always one model, by weight, by latency, by user tier.

And two that combine policies: the first that does not abstain, and one for each task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_optimizers.arguments import mapping, number, sequence, shares, text
from llm_optimizers.routing.policy import (
    Choice,
    Policy,
    PolicyInput,
    cheapest,
    check_policies,
    checked_policy,
)
from llm_optimizers.routing.specs import ModelTiers

__all__ = ["Always", "ByTask", "FastEnough", "FirstOf", "ForTier", "Weighted"]


class Always:
    """Sends everything to one model."""

    def __init__(self, model: str) -> None:
        self._model = text("model", model)

    def check(self, model_tiers: ModelTiers) -> None:
        """Check that the router has the model."""
        model_tiers.rank(self._model)

    def choose(self, policy_input: PolicyInput) -> Choice:  # noqa: ARG002 - the answer is fixed
        """Choose the one model."""
        return Choice(model=self._model, policy="always", reason=f"always {self._model}")


class Weighted:
    """Draws a model with the given weights, and records the probability of the draw.

    Models that cannot serve a request are left out, and the others' weights scaled up.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = shares("weights", weights)

    def check(self, model_tiers: ModelTiers) -> None:
        """Check that the router has every model with a weight."""
        for model in self._weights:
            model_tiers.rank(model)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Draw one of the models that can serve; abstain if none of them has weight."""
        weights = {m: w for m, w in self._weights.items() if w > 0 and policy_input.has(m)}
        if not weights:
            return None
        total = sum(weights.values())
        left = policy_input.draw() * total
        model = next(iter(weights))
        for model, weight in weights.items():  # noqa: B007 - the last one if rounding leaves some
            left -= weight
            if left < 0:
                break
        share = weights[model] / total
        reason = f"drawn with probability {share:.2f}"
        return Choice(model=model, policy="weighted", reason=reason, propensity=share)


class FastEnough:
    """The cheapest model whose typical latency is within a limit; the fastest if none is.

    Models without a `latency_s` are not considered.
    """

    def __init__(self, *, limit_s: float) -> None:
        self._limit_s = number("limit_s", limit_s, above=0)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Choose by latency; abstain if no candidate's latency is known."""
        timed = [(c.latency_s, c) for c in policy_input.candidates if c.latency_s is not None]
        if not timed:
            return None
        fast = tuple(c for seconds, c in timed if seconds <= self._limit_s)
        if fast:
            model = cheapest(fast).model
            reason = f"the cheapest that answers within {self._limit_s:g} s"
        else:
            model = min(timed, key=lambda pair: pair[0])[1].model
            reason = f"none answers within {self._limit_s:g} s; this is the fastest"
        return Choice(model=model, policy="fast_enough", reason=reason)


class ForTier:
    """One model for each user tier; abstains for tiers that are not listed."""

    def __init__(self, models: Mapping[str, str]) -> None:
        self._models = mapping("models", models, str, least=1)
        for tier, model in self._models.items():
            text(f"models[{tier!r}]", model)

    def check(self, model_tiers: ModelTiers) -> None:
        """Check that the router has every tier's model."""
        for model in self._models.values():
            model_tiers.rank(model)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Choose the model of the user's tier."""
        model = self._models.get(policy_input.context.tier)
        if model is None:
            return None
        reason = f"the model of tier {policy_input.context.tier!r}"
        return Choice(model=model, policy="for_tier", reason=reason)


class FirstOf:
    """Asks policies in order, and takes the choice of the first that does not abstain."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = tuple(
            checked_policy(f"policies[{at}]", policy)
            for at, policy in enumerate(sequence("policies", policies, object, least=1))
        )

    def check(self, model_tiers: ModelTiers) -> None:
        """Check each policy."""
        check_policies(self._policies, model_tiers)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Return the first choice, None if all abstain."""
        choices = (policy.choose(policy_input) for policy in self._policies)
        return next((choice for choice in choices if choice is not None), None)


class ByTask:
    """One policy for each task tag; abstains for tags that are not listed."""

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._policies = {
            task: checked_policy(f"policies[{task!r}]", policy)
            for task, policy in mapping("policies", policies, least=1).items()
        }

    def check(self, model_tiers: ModelTiers) -> None:
        """Check each policy."""
        check_policies(self._policies.values(), model_tiers)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Let the policy of the request's task choose."""
        policy = self._policies.get(policy_input.context.task)
        return policy.choose(policy_input) if policy is not None else None
