"""A/B tests of policies on real traffic: assignment, results, and when to stop.

The unit of analysis is the user, not the request, because one user's requests are correlated.
Cost has an ordinary confidence interval. Quality has one that stays valid however often it is
looked at, so that a test may be stopped as soon as it is conclusive (asymptotic confidence
sequence, arXiv:2103.06476, theorem 2.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, TypeAlias, get_args

from llm_optimizers.arguments import mapping, one_of, refuse, text
from llm_optimizers.arguments import shares as checked_shares
from llm_optimizers.costs import Ledger
from llm_optimizers.evidence.bounds import Interval, confidence_sequence_half_width, mean_difference
from llm_optimizers.routing.decision import DECISION_NOTE, FEEDBACK_NOTE
from llm_optimizers.routing.policy import (
    Choice,
    Policy,
    PolicyInput,
    check_policies,
    checked_policy,
)
from llm_optimizers.routing.specs import ModelTiers

__all__ = [
    "ArmComparison",
    "Experiment",
    "Observation",
    "compare_arms",
    "comparison_rows",
    "experiments",
    "observations",
]


Unit: TypeAlias = Literal["user", "session"]


class Experiment:
    """A policy that assigns users or sessions to policies.

    The first arm is the control. Requests that name no user (or session) are served by the
    control and counted in no arm. `shares` need not add up to 1; without them arms are equal.
    """

    def __init__(
        self,
        name: str,
        arms: Mapping[str, Policy],
        *,
        shares: Mapping[str, float] | None = None,
        unit: Unit = "user",
    ) -> None:
        self._arms = {
            arm: checked_policy(f"arms[{arm!r}]", policy)
            for arm, policy in mapping("arms", arms, least=2, blank=False).items()
        }
        weights = dict.fromkeys(arms, 1.0) if shares is None else checked_shares("shares", shares)
        if set(weights) != set(arms) or min(weights.values()) <= 0:
            refuse("shares", shares, "every arm a share above 0, and no share to other names")
        total = sum(weights.values())
        self.name = text("name", name)
        self.control = next(iter(arms))
        self._shares = {arm: weights[arm] / total for arm in arms}
        self._unit = one_of("unit", unit, get_args(Unit))

    def check(self, model_tiers: ModelTiers) -> None:
        """Check the policies of all arms."""
        check_policies(self._arms.values(), model_tiers)

    def arm(self, unit: str) -> str:
        """Return the arm of a user or session: the same one every time."""
        digest = hashlib.blake2b(f"{self.name}\x00{unit}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        for arm, share in self._shares.items():
            place -= share
            if place < 0:
                return arm
        return arm

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Let the policy of the user's arm choose, and note the arm on the choice."""
        context = policy_input.context
        unit = context.user if self._unit == "user" else context.session
        if not unit:
            return self._arms[self.control].choose(policy_input)
        arm = self.arm(unit)
        choice = self._arms[arm].choose(policy_input) or Choice(
            model=policy_input.safe, policy="safe", reason="the arm's policy abstained"
        )
        return replace(
            choice,
            experiment=self.name,
            arm=arm,
            control=self.control,
            propensity=choice.propensity * self._shares[arm],
        )


Conclusion: TypeAlias = Literal["running", "not worse", "worse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The outcome of one decision: its cost in dollars, and the answer's score where known."""

    unit: str
    arm: str
    cost: float | None = None
    quality: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmComparison:
    """An arm compared with the control: differences of the users' means, arm minus control.

    `conclusion` says whether quality is known to be at most `margin` worse; once it is not
    "running" the experiment may stop.
    """

    arm: str
    control: str
    units: tuple[int, int]
    cost: Interval | None
    quality: Interval | None
    margin: float
    conclusion: Conclusion


def observations(ledger: Ledger, experiment: str) -> list[Observation]:
    """Read an experiment from a ledger: its decisions, their calls' costs, the feedback."""
    costs = {r.id: float(r.cost) for r in ledger.records() if r.cost is not None}
    feedback: dict[str, float] = {}
    for note in ledger.notes(FEEDBACK_NOTE):
        score = note.payload.get("score")
        if isinstance(score, int | float):
            feedback[str(note.payload.get("decision_id"))] = float(score)
    found: list[Observation] = []
    for note in ledger.notes(DECISION_NOTE):
        if note.payload.get("experiment") != experiment:
            continue
        decision = str(note.payload.get("decision_id"))
        found.append(
            Observation(
                unit=str(note.payload.get("user") or note.payload.get("session")),
                arm=str(note.payload.get("arm")),
                cost=_cost(note.payload.get("attempts"), costs),
                quality=feedback.get(decision),
            )
        )
    return found


def _cost(attempts: object, costs: Mapping[str, float]) -> float | None:
    """Return the dollars of all calls made for a decision, None if the ledger has none of them."""
    calls = attempts if isinstance(attempts, list) else []
    ids = [str(call.get("call_id")) for call in calls if isinstance(call, dict)]
    known = [costs[call_id] for call_id in ids if call_id in costs]
    return sum(known) if known else None


def compare_arms(
    outcomes: Iterable[Observation],
    *,
    control: str,
    margin: float,
    confidence: float = 0.95,
    expected_units: int = 500,
) -> list[ArmComparison]:
    """Compare every arm with the control; `margin` is the loss of quality that is accepted.

    `expected_units` is the number of users at which the always-valid interval is tightest.
    """
    rows = list(outcomes)
    arms = sorted({row.arm for row in rows} - {control})
    costs = {arm: _unit_means(rows, arm, "cost") for arm in (control, *arms)}
    scores = {arm: _unit_means(rows, arm, "quality") for arm in (control, *arms)}
    units = {arm: len({row.unit for row in rows if row.arm == arm}) for arm in (control, *arms)}
    found: list[ArmComparison] = []
    for arm in arms:
        quality = _difference(
            scores[arm], scores[control], confidence=confidence, always_valid_at=expected_units
        )
        found.append(
            ArmComparison(
                arm=arm,
                control=control,
                units=(units[arm], units[control]),
                cost=_difference(costs[arm], costs[control], confidence=confidence),
                quality=quality,
                margin=margin,
                conclusion=_conclude(quality, margin),
            )
        )
    return found


def _unit_means(
    rows: Sequence[Observation], arm: str, measure: Literal["cost", "quality"]
) -> list[float]:
    by_unit: dict[str, list[float]] = {}
    for row in rows:
        value = row.cost if measure == "cost" else row.quality
        if row.arm == arm and value is not None:
            by_unit.setdefault(row.unit, []).append(value)
    return [fmean(values) for values in by_unit.values()]


def _difference(
    arm: Sequence[float], control: Sequence[float], *, confidence: float, always_valid_at: int = 0
) -> Interval | None:
    """Return the difference of means, None until both arms have two units.

    The interval is an always-valid one, tightest at `always_valid_at` units, if that is given.
    """
    if len(arm) < 2 or len(control) < 2:
        return None
    if not always_valid_at:
        return mean_difference(arm, control, confidence=confidence)
    alpha = (1 - confidence) / 2
    value = fmean(arm) - fmean(control)
    half_width = sum(
        confidence_sequence_half_width(values, alpha=alpha, expected=always_valid_at)
        for values in (arm, control)
    )
    return Interval(value=value, low=value - half_width, high=value + half_width)


def _conclude(quality: Interval | None, margin: float) -> Conclusion:
    if quality is None:
        return "running"
    if quality.low > -margin:
        return "not worse"
    return "worse" if quality.high < -margin else "running"


def experiments(ledger: Ledger, *, margin: float = 0.02) -> dict[str, list[ArmComparison]]:
    """Compare the arms of every experiment in a ledger with its control, by name."""
    controls = {
        str(note.payload["experiment"]): str(note.payload.get("control") or "")
        for note in ledger.notes(DECISION_NOTE)
        if note.payload.get("experiment")
    }
    return {
        name: compare_arms(observations(ledger, name), control=control, margin=margin)
        for name, control in controls.items()
    }


def comparison_rows(comparisons: Iterable[ArmComparison]) -> list[Mapping[str, object]]:
    """Return comparisons as rows for a table or JSON."""
    return [
        {
            "arm": row.arm,
            "control": row.control,
            "units": list(row.units),
            "cost_difference": None if row.cost is None else str(row.cost),
            "quality_difference": None if row.quality is None else str(row.quality),
            "verdict": row.conclusion,
        }
        for row in comparisons
    ]
