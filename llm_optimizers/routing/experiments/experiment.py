"""Experiments: two policies side by side on real traffic, and when it may be stopped.

A user (or a session) belongs to one arm for as long as the experiment runs, by a hash of its
name, so that nothing needs to be stored and no one is served by turns. Every decision carries
its arm and the probability of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.situation import Choice, Policy, Situation, check_policies
from llm_optimizers.routing.specs import Ladder

__all__ = ["Experiment"]


class Experiment:
    """Assigns users or sessions to policies; itself a policy.

    The first arm is the control. Requests that name no user (or session) are served by the
    control and belong to no arm. `shares` need not add up to 1; without them arms are equal.
    """

    def __init__(
        self,
        name: str,
        arms: Mapping[str, Policy],
        *,
        shares: Mapping[str, float] | None = None,
        unit: Literal["user", "session"] = "user",
    ) -> None:
        if not name:
            raise ConfigurationError("an experiment needs a name: it decides who is in which arm")
        if len(arms) < 2:
            raise ConfigurationError("an experiment needs two arms at least")
        weights = dict(shares) if shares is not None else dict.fromkeys(arms, 1.0)
        if set(weights) != set(arms) or min(weights.values()) <= 0:
            raise ConfigurationError("give every arm a share above 0, and no other names")
        total = sum(weights.values())
        self.name = name
        self.control = next(iter(arms))
        self._arms = dict(arms)
        self._shares = {arm: weights[arm] / total for arm in arms}
        self._unit = unit

    def check(self, ladder: Ladder) -> None:
        """Check the policies of all arms."""
        check_policies(self._arms.values(), ladder)

    def arm(self, unit: str) -> str:
        """The arm of a user or session."""
        digest = hashlib.blake2b(f"{self.name}\x00{unit}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        for arm, share in self._shares.items():
            place -= share
            if place < 0:
                return arm
        return arm

    def choose(self, situation: Situation) -> Choice | None:
        """Let the policy of the requester's arm choose, and put the arm on the choice."""
        context = situation.context
        unit = context.user if self._unit == "user" else context.session
        if not unit:
            return self._arms[self.control].choose(situation)
        arm = self.arm(unit)
        choice = self._arms[arm].choose(situation) or Choice(
            model=situation.safe, policy="safe", reason="the arm's policy abstained"
        )
        return replace(
            choice,
            experiment=self.name,
            arm=arm,
            control=self.control,
            propensity=choice.propensity * self._shares[arm],
        )
