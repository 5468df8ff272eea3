"""Policies that need no data: always one model, by weight, by latency, by user tier.

And the two that combine policies: the first that does not abstain, and one a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.policy import Choice, Policy, PolicyInput, cheapest, check_policies
from llm_optimizers.routing.specs import ModelTiers

__all__ = ["Always", "ByTask", "FastEnough", "FirstOf", "ForTier", "Weighted"]


class Always:
    """Sends everything to one model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def check(self, model_tiers: ModelTiers) -> None:
        """The router must have the model."""
        model_tiers.rank(self._model)

    def choose(self, policy_input: PolicyInput) -> Choice:  # noqa: ARG002 - the answer is fixed
        """Answer with the one model."""
        return Choice(model=self._model, policy="always", reason=f"always {self._model}")


class Weighted:
    """Draws a model with the given weights, and logs the probability it was drawn with.

    Weights of models that cannot serve a request are shared out among those that can.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise ConfigurationError("weights must be 0 or more and at least one above 0")
        self._weights = dict(weights)

    def check(self, model_tiers: ModelTiers) -> None:
        """The router must have every weighted model."""
        for model in self._weights:
            model_tiers.rank(model)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Draw one of the models that can serve; abstain when none of them has weight."""
        open_to = {m: w for m, w in self._weights.items() if w > 0 and policy_input.has(m)}
        if not open_to:
            return None
        total = sum(open_to.values())
        left = policy_input.draw() * total
        model = next(iter(open_to))
        for model, weight in open_to.items():  # noqa: B007 - the last one stands if rounding does
            left -= weight
            if left < 0:
                break
        share = open_to[model] / total
        reason = f"drawn with probability {share:.2f}"
        return Choice(model=model, policy="weighted", reason=reason, propensity=share)


class FastEnough:
    """The cheapest model whose typical latency is within a limit; the fastest if none is.

    Models without a `latency_s` are not considered.
    """

    def __init__(self, *, limit_s: float) -> None:
        if limit_s <= 0:
            raise ConfigurationError("limit_s must be above 0 seconds")
        self._limit_s = limit_s

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Pick by latency; abstain when no candidate's latency is known."""
        timed = [(c.latency_s, c) for c in policy_input.candidates if c.latency_s is not None]
        if not timed:
            return None
        quick = tuple(c for seconds, c in timed if seconds <= self._limit_s)
        if quick:
            model = cheapest(quick).model
            reason = f"the cheapest that answers within {self._limit_s:g} s"
        else:
            model = min(timed, key=lambda pair: pair[0])[1].model
            reason = f"none answers within {self._limit_s:g} s; this is the fastest"
        return Choice(model=model, policy="fast_enough", reason=reason)


class ForTier:
    """One model a user tier; abstains for tiers that are not listed."""

    def __init__(self, models: Mapping[str, str]) -> None:
        self._models = dict(models)

    def check(self, model_tiers: ModelTiers) -> None:
        """The router must have every tier's model."""
        for model in self._models.values():
            model_tiers.rank(model)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Look the user's tier up."""
        model = self._models.get(policy_input.context.tier)
        if model is None:
            return None
        reason = f"the model of tier {policy_input.context.tier!r}"
        return Choice(model=model, policy="for_tier", reason=reason)


class FirstOf:
    """Asks policies in order and takes the first answer that is not an abstention."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = tuple(policies)

    def check(self, model_tiers: ModelTiers) -> None:
        """Check each policy."""
        check_policies(self._policies, model_tiers)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """The first answer, None when all abstain."""
        answers = (policy.choose(policy_input) for policy in self._policies)
        return next((choice for choice in answers if choice is not None), None)


class ByTask:
    """One policy a declared task tag; abstains for tags without one."""

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._policies = dict(policies)

    def check(self, model_tiers: ModelTiers) -> None:
        """Check each policy."""
        check_policies(self._policies.values(), model_tiers)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Hand the request to its task's policy."""
        policy = self._policies.get(policy_input.context.task)
        return policy.choose(policy_input) if policy is not None else None
