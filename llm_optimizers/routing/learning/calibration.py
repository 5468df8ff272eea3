"""Calibration: fits a router on the user's labels, and reports whether it may be used.

No fitted router is shipped: learned routers do not transfer from one kind of traffic to another
(APGR .39 to .57 elsewhere, where .5 is chance). Every label is scored by a model that was not
fitted on it (cross-fitting), and only these scores decide thresholds and activation; the model
that serves is then fitted on all labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.arguments import number, sequence, text, whole
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.drift import quantile_edges
from llm_optimizers.evidence.labels import Label, label_problems, merged
from llm_optimizers.routing.learning.activation import ActivationReport, assess_activation
from llm_optimizers.routing.learning.features import Features, Featurizer
from llm_optimizers.routing.learning.gains import GainModel

__all__ = [
    "BITS",
    "Calibration",
    "calibrate",
    "cheaper_models",
    "cross_scores",
    "evaluate",
    "problems_of",
]

BITS = 17
FOLDS = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted gain model with a report on held-out labels for each of its cheap models.

    `edges` are quantiles of the held-out scores by cheap model, for detecting drift. `untagged`
    says whether labels without a task were among them.
    """

    model: GainModel
    strong: str
    tolerance: float
    labels: int
    reports: Mapping[str, ActivationReport]
    edges: Mapping[str, tuple[float, ...]]
    untagged: bool = True

    @property
    def active(self) -> tuple[str, ...]:
        """The cheap models that may be used; without any, the strong model answers everything."""
        return tuple(weak for weak, report in self.reports.items() if report.passed)


def calibrate(
    labels: Sequence[Label],
    *,
    strong: str,
    weak: Sequence[str] = (),
    tolerance: float = 0.02,
    confidence: float = 0.95,
    seed: int = 0,
) -> Calibration:
    """Fit a router on labels and test it; `weak` defaults to every other model they score.

    `tolerance` is the mean quality that may be lost against always calling the strong model, in
    units of the labels' scores; several cheap models share it.

    Raises:
        ConfigurationError: the labels cannot be learned from; says why and how many are missing.
        ImportError: the `fit` extra is not installed; says how to install it.
    """
    from llm_optimizers.routing.learning.fitting import fit_gains  # serving must not need it

    labels = sequence("labels", labels, Label, least=1)
    text("strong", strong)
    number("tolerance", tolerance, least=0)
    number("confidence", confidence, above=0, below=1)
    whole("seed", seed, least=0)
    cheap = cheaper_models(labels, strong=strong, weak=sequence("weak", weak, str))
    wrong = problems_of(labels, strong=strong, weak=cheap)
    reasons = [f"{w} against {strong}: {reason}" for w, found in wrong.items() for reason in found]
    if reasons:
        raise ConfigurationError("these labels cannot be fitted: " + "; ".join(reasons))
    distinct = merged(labels)
    featurizer = Featurizer(bits=BITS)
    features = [featurizer.read(label.prompt) for label in distinct]
    tasks = [label.task for label in distinct]
    gains = {w: np.array([x.gain(strong=strong, weak=w) for x in distinct]) for w in cheap}
    scores = cross_scores(features, gains, tasks=tasks, seed=seed)
    lengths = [len(label.prompt) for label in distinct]
    reports = {
        w: assess_activation(
            scores[w],
            gains[w],
            lengths,
            weak=w,
            strong=strong,
            tolerance=tolerance / len(cheap),
            confidence=confidence,
            seed=seed,
        )
        for w in cheap
    }
    return Calibration(
        model=fit_gains(features, gains, tasks=tasks, bits=BITS),
        strong=strong,
        tolerance=tolerance,
        labels=len(distinct),
        reports=reports,
        edges={w: quantile_edges(scores[w]) for w in cheap},
        untagged="" in tasks,
    )


def cheaper_models(labels: Sequence[Label], *, strong: str, weak: Sequence[str] = ()) -> list[str]:
    """Return the cheap models to fit: those given, else every other model that labels score.

    Raises:
        ConfigurationError: there is none, or no label scores the strong model.
    """
    scored = {model for label in labels for model in label.scores}
    if scored and strong not in scored:
        raise ConfigurationError(
            f"no label scores {strong}; the labels score {', '.join(sorted(scored))}"
        )
    cheap = list(weak) or sorted(scored - {strong})
    if not cheap:
        raise ConfigurationError(f"the labels score no model other than {strong}")
    return cheap


def problems_of(
    labels: Sequence[Label], *, strong: str, weak: Sequence[str]
) -> dict[str, list[str]]:
    """Return why the labels of each cheap model cannot be learned from; see `label_problems`."""
    return {model: label_problems(labels, strong=strong, weak=model) for model in weak}


def cross_scores(
    features: Sequence[Features],
    gains: Mapping[str, Floats],
    *,
    tasks: Sequence[str],
    seed: int,
    folds: int = FOLDS,
) -> dict[str, Floats]:
    """Return the predicted gain of each label by a model fitted on the other folds."""
    from llm_optimizers.routing.learning.fitting import fit_gains

    size = len(features)
    scores = {weak: np.empty(size) for weak in gains}
    for fold in np.array_split(np.random.default_rng(seed).permutation(size), folds):
        rest = np.setdiff1d(np.arange(size), fold)
        model = fit_gains(
            [features[i] for i in rest],
            {weak: amounts[rest] for weak, amounts in gains.items()},
            tasks=[tasks[i] for i in rest],
            bits=BITS,
        )
        for at in fold:
            for weak, score in model.score(features[at], task=tasks[at]).items():
                scores[weak][at] = score
    return scores


def evaluate(
    model: GainModel,
    labels: Sequence[Label],
    *,
    strong: str,
    tolerance: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, ActivationReport]:
    """Test a fitted model on labels it was not fitted on, say of another month or another task."""
    distinct = merged(labels)
    predicted = [model.predict(label.prompt, task=label.task) for label in distinct]
    return {
        weak: assess_activation(
            [scores[weak] for scores in predicted],
            [label.gain(strong=strong, weak=weak) for label in distinct],
            [len(label.prompt) for label in distinct],
            weak=weak,
            strong=strong,
            tolerance=tolerance / len(model.heads),
            confidence=confidence,
            seed=seed,
        )
        for weak in model.heads
    }
