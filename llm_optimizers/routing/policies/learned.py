"""The learned policy: the cheapest model whose predicted loss of quality is within tolerance.

Active only for cheap models that passed the activation test; otherwise the strong model answers,
and every decision says why.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from llm_optimizers.connections.paths import file_path
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.events import StrategyWithdrawn, emit
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.routing.learning.artefact import RouterArtefact, read_artefact, refit_command
from llm_optimizers.routing.policy import Choice, PolicyInput, cheapest
from llm_optimizers.routing.specs import ModelTiers

__all__ = ["LearnedPolicy"]


class LearnedPolicy(PickledAsArguments):
    """Predicts what the strong model would gain over each cheap one, and chooses by price.

    Made from the file that `llm-optimizers router fit` writes. Abstains where the strong model of
    that file cannot serve. A request goes to the strong model if no label had its task tag, or if
    it has none and every label had one: nothing was measured for it. Pickled, it takes the file's
    content along.
    """

    def __init__(self, artefact: RouterArtefact | str | os.PathLike[str]) -> None:
        if not isinstance(artefact, RouterArtefact):
            artefact = read_artefact(file_path("artefact", artefact))
        self.artefact = artefact
        self._model = artefact.gain_model()
        self._thresholds = {
            weak: report.threshold
            for weak, report in artefact.reports.items()
            if report.passed and report.threshold is not None
        }
        self._version = artefact.digest
        self._why_inactive = "; ".join(
            f"{weak}: {reason}"
            for weak, report in artefact.reports.items()
            for reason in report.reasons[:1]
        )
        if not self._thresholds:
            emit(
                StrategyWithdrawn(
                    component=__name__,
                    strategy="routing",
                    reason=self._why_inactive,
                    message=f"the learned router is not active ({self._why_inactive})",
                )
            )

    def current_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        return {"artefact": self.artefact}

    def __fingerprint__(self) -> str:
        """The digest of its file, instead of its trees."""
        return self._version

    def check(self, model_tiers: ModelTiers) -> None:
        """Check that the router has the models of the file.

        Raises:
            ConfigurationError: it does not; says how to refit.
        """
        have = {spec.name for spec in model_tiers.specs}
        missing = sorted({self.artefact.strong, *self.artefact.means} - have)
        if missing:
            raise ConfigurationError(
                f"the router file was fitted for other models: this router has no "
                f"{', '.join(missing)}; {refit_command(model_tiers.strongest)}"
            )

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        """Choose the cheapest of the strong model and those whose predicted gap is small enough."""
        strong = self.artefact.strong
        if not policy_input.has(strong):
            return None
        if not self._thresholds:
            return self._choice(strong, f"not active: {self._why_inactive}", {})
        task = policy_input.context.task
        if not self.artefact.has_labels_of(task):
            which = f"of the task {task!r}" if task else "without a task"
            return self._choice(strong, f"no labels {which}: label some and refit", {})
        gaps = self._model.predict(policy_input.question, task=task)
        good_enough = {w for w, t in self._thresholds.items() if gaps[w] <= t} | {strong}
        candidates = tuple(c for c in policy_input.candidates if c.model in good_enough)
        chosen = cheapest(candidates).model
        reason = (
            f"no cheaper model's predicted gap to {strong} is small enough"
            if chosen == strong
            else f"predicted gap to {strong} is {gaps[chosen]:.3f}, within "
            f"{self._thresholds[chosen]:.3f}"
        )
        return self._choice(chosen, reason, gaps)

    def _choice(self, model: str, reason: str, gaps: dict[str, float]) -> Choice:
        first = next(iter(self._thresholds), None)
        return Choice(
            model=model,
            policy="learned",
            version=self._version,
            reason=reason,
            scores=gaps,
            threshold=self._thresholds.get(model, self._thresholds.get(first) if first else None),
        )
