"""The cascade: calls a cheap model, checks its answer, and calls the strong one if it fails.

It saves money where answers can be checked: with two cheap models that must agree, 9 % of GSM8K's
questions go to the strong model and accuracy is unchanged. Elsewhere it may cost more; test it
on labels with `calibrate_cascade`.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_optimizers.arguments import flag, instance, optional, refuse, sequence, text
from llm_optimizers.routing.cascade.break_even import CascadeReport
from llm_optimizers.routing.cascade.checks import Agreement, NotEmpty, NotRefused, ValidJson
from llm_optimizers.routing.cascade.verifier import Verifier
from llm_optimizers.routing.policy import Choice, Escalation, PolicyInput
from llm_optimizers.routing.specs import ModelTiers
from llm_optimizers.settings.provider_state import state_of

__all__ = ["CascadePolicy"]


class CascadePolicy:
    """Calls `cheap`, then `samples` for agreement, and `strong` when the verifier rejects.

    `samples` may name other cheap models, or `cheap` again for a second sample (useful only at a
    temperature above 0). The default verifier checks that the answer is not empty, not a refusal,
    and JSON where JSON was asked for, and that the samples agree if there are any. With a
    `report` that did not pass, the safe model answers and the decision gives the report's reason.
    Streams are left to the next policy unless `buffer_streams`: only a whole answer can be
    checked.
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
        if text("strong", strong) == text("cheap", cheap):
            refuse("strong", strong, "another model than `cheap`")
        optional(instance, "verifier", verifier, Verifier)
        gates = (NotEmpty(), NotRefused(), ValidJson())
        checks = (*gates, Agreement()) if samples else gates
        self._cheap = cheap
        self._escalation = Escalation(
            to=strong,
            samples=sequence("samples", samples, str),
            verifier=verifier or Verifier(checks=checks),
        )
        self._report = optional(instance, "report", report, CascadeReport)
        self._buffer_streams = flag("buffer_streams", buffer_streams)

    def check(self, model_tiers: ModelTiers) -> None:
        """Check that the router has every model of the cascade, including its judge.

        Raises:
            ConfigurationError: it does not.
        """
        judge = self._escalation.verifier.judge
        named = (self._cheap, self._escalation.to, *self._escalation.samples)
        for model in (*named, judge.model) if judge else named:
            model_tiers.rank(model)

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Choose the cheap model, with its escalation; abstain where a cascade cannot run."""
        if policy_input.context.streaming and not self._buffer_streams:
            return None
        if state_of(policy_input.request.params).moving:
            return None  # A draft would add to the conversation at the provider.
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
