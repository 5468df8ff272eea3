"""User tiers: which models a user may be served by, and how much one request may cost.

Free, pro and enterprise are examples; name them as your product does.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.specs import Ladder

__all__ = ["UserTier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTier:
    """The bounds for one kind of user: models by name, and dollars a request.

    `floor` and `ceiling` name the weakest and the strongest model allowed (their siblings are
    allowed too); `allowed` lists models outright. What is left out does not bind.
    """

    allowed: frozenset[str] | None = None
    floor: str | None = None
    ceiling: str | None = None
    max_cost: Decimal | None = None

    def __post_init__(self) -> None:
        if self.allowed is not None:
            object.__setattr__(self, "allowed", frozenset(self.allowed))
        if self.max_cost is not None and self.max_cost <= 0:
            raise ConfigurationError("max_cost must be above 0 dollars a request")

    def check(self, ladder: Ladder) -> None:
        """Make sure that the tier speaks of models the router has.

        Raises:
            ConfigurationError: a name is unknown, or the floor lies above the ceiling.
        """
        for name in (*(self.allowed or ()), self.floor, self.ceiling):
            if name is not None:
                ladder.rung(name)
        if self.floor and self.ceiling and ladder.rung(self.floor) > ladder.rung(self.ceiling):
            raise ConfigurationError(
                f"the tier's floor {self.floor} is stronger than its ceiling {self.ceiling}"
            )

    def objection(self, name: str, ladder: Ladder) -> str | None:
        """Why this tier may not use a model, or None."""
        if self.allowed is not None and name not in self.allowed:
            return "not among the models of the user's tier"
        if self.floor is not None and ladder.rung(name) < ladder.rung(self.floor):
            return f"below the user's floor {self.floor}"
        if self.ceiling is not None and ladder.rung(name) > ladder.rung(self.ceiling):
            return f"above the user's ceiling {self.ceiling}"
        return None
