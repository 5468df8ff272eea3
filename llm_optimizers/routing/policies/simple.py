"""Policies that need no data: always one model, by weight, by latency, by user tier.

And the two that combine policies: the first that does not abstain, and one a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.situation import Choice, Policy, Situation, cheapest, check_policies
from llm_optimizers.routing.specs import Ladder

__all__ = ["Always", "ByTask", "FastEnough", "FirstOf", "ForTier", "Weighted"]


class Always:
    """Sends everything to one model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def check(self, ladder: Ladder) -> None:
        """The router must have the model."""
        ladder.rung(self._model)

    def choose(self, situation: Situation) -> Choice:  # noqa: ARG002 - the answer is fixed
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

    def check(self, ladder: Ladder) -> None:
        """The router must have every weighted model."""
        for model in self._weights:
            ladder.rung(model)

    def choose(self, situation: Situation) -> Choice | None:
        """Draw one of the models that can serve; abstain when none of them has weight."""
        open_to = {m: w for m, w in self._weights.items() if w > 0 and situation.has(m)}
        if not open_to:
            return None
        total = sum(open_to.values())
        left = situation.draw() * total
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

    def choose(self, situation: Situation) -> Choice | None:
        """Pick by latency; abstain when no candidate's latency is known."""
        timed = [(c.latency_s, c) for c in situation.candidates if c.latency_s is not None]
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

    def check(self, ladder: Ladder) -> None:
        """The router must have every tier's model."""
        for model in self._models.values():
            ladder.rung(model)

    def choose(self, situation: Situation) -> Choice | None:
        """Look the user's tier up."""
        model = self._models.get(situation.context.tier)
        if model is None:
            return None
        reason = f"the model of tier {situation.context.tier!r}"
        return Choice(model=model, policy="for_tier", reason=reason)


class FirstOf:
    """Asks policies in order and takes the first answer that is not an abstention."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = tuple(policies)

    def check(self, ladder: Ladder) -> None:
        """Check each policy."""
        check_policies(self._policies, ladder)

    def choose(self, situation: Situation) -> Choice | None:
        """The first answer, None when all abstain."""
        answers = (policy.choose(situation) for policy in self._policies)
        return next((choice for choice in answers if choice is not None), None)


class ByTask:
    """One policy a declared task tag; abstains for tags without one."""

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._policies = dict(policies)

    def check(self, ladder: Ladder) -> None:
        """Check each policy."""
        check_policies(self._policies.values(), ladder)

    def choose(self, situation: Situation) -> Choice | None:
        """Hand the request to its task's policy."""
        policy = self._policies.get(situation.context.task)
        return policy.choose(situation) if policy is not None else None
