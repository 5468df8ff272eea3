"""The cascade: a cheap model first, its answer checked, the strong one only if it must be.

Worth it where answers can be checked: with two cheap models that must agree, 9 % of GSM8K's
questions go on to the strong model and accuracy stays where it was. Not worth it where they
cannot, which is why a cascade wants a calibration that says so (see `calibrate_cascade`).
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.cascade.break_even import CascadeReport
from llm_optimizers.routing.cascade.checks import Agreement, NotEmpty, NotRefused, ValidJson
from llm_optimizers.routing.cascade.verifier import Verifier
from llm_optimizers.routing.policy import Choice, Escalation, PolicyInput
from llm_optimizers.routing.specs import ModelTiers

__all__ = ["CascadePolicy"]


class CascadePolicy:
    """Asks `cheap`, then `samples` for agreement, and `strong` when the verifier is not content.

    `samples` may name other cheap models, or `cheap` again for a second sample (which tells
    something only at a temperature above 0). Without a verifier: not empty, not a refusal, JSON
    where JSON was asked for, and agreement if there are samples. With a `report` that did not
    pass, the safe model serves and the report's reason is given. A stream is left to the next
    policy unless `buffer_streams`: an answer cannot be checked before it is whole.
    """

    def __init__(
        self,
        *,
        cheap: str,
        strong: str,
        samples: Sequence[str] = (),
        verifier: Verifier | None = None,
        report: CascadeReport | None = None,
        buffer_streams: bool = False,
    ) -> None:
        if cheap == strong:
            raise ConfigurationError("a cascade needs a cheap and a strong model")
        gates = (NotEmpty(), NotRefused(), ValidJson())
        checks = (*gates, Agreement()) if samples else gates
        self._cheap = cheap
        self._escalation = Escalation(
            to=strong, samples=tuple(samples), verifier=verifier or Verifier(checks=checks)
        )
        self._report = report
        self._buffer_streams = buffer_streams

    def check(self, model_tiers: ModelTiers) -> None:
        """The router must have every model of the cascade, its judge among them."""
        judge = self._escalation.verifier.judge
        named = (self._cheap, self._escalation.to, *self._escalation.samples)
        for model in (*named, judge.model) if judge else named:
            model_tiers.rank(model)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Start with the cheap model; abstain where a cascade cannot be run."""
        if policy_input.context.streaming and not self._buffer_streams:
            return None
        if self._report is not None and not self._report.passed:
            return Choice(
                model=policy_input.safe, policy="cascade", reason=f"off: {self._report.reasons[0]}"
            )
        needed = (self._cheap, self._escalation.to, *self._escalation.samples)
        if not all(policy_input.has(model) for model in needed):
            return None
        return Choice(
            model=self._cheap,
            policy="cascade",
            reason=f"{self._cheap} first, {self._escalation.to} if its answer does not pass",
            threshold=self._escalation.verifier.threshold,
            escalation=self._escalation,
        )
