"""Fits a cascade's verifier on labels, and tests whether the cascade breaks even.

Every request pays for the cheap answers, and every error of the verifier costs quality or a
needless escalation. With a better verifier or a cheaper cheap model, a cascade is more likely to
beat a router that decides before any call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.arguments import (
    instance,
    keep,
    number,
    optional,
    scores,
    sequence,
    share,
    whole,
)
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.bounds import Interval, bootstrap_interval, safe_threshold
from llm_optimizers.evidence.labels import MIN_LABELS
from llm_optimizers.routing.cascade.checks import Check
from llm_optimizers.routing.cascade.verifier import Judge, Verifier, checked_check
from llm_optimizers.routing.learning.metrics import auc

__all__ = [
    "CascadeLabel",
    "CascadeReport",
    "calibrate_cascade",
    "fit_logistic",
    "required_auc",
]

_CROSSOVER = ((0.06, 0.68), (0.2, 0.73))
"""Price ratios, and the AUC from which a cascade was cheaper than the best router that decides
before any call, on GSM8K's outcomes; .05 lower on MMLU's, .05 higher on a third set's."""


def required_auc(price_ratio: float) -> float:
    """Return the AUC a verifier needs when the cheap calls cost `price_ratio` of a strong one.

    Linear through the two measured points and beyond the second, never below the first.
    """
    (low, at_low), (high, at_high) = _CROSSOVER
    slope = (at_high - at_low) / (high - low)
    return min(max(at_low, at_low + slope * (price_ratio - low)), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeLabel:
    """A labelled request: the checks' scores, and the scores of both answers (0 to 1)."""

    checks: Mapping[str, float]
    cheap: float
    strong: float

    def __post_init__(self) -> None:
        keep(self, "checks", scores("checks", self.checks))
        for name in ("cheap", "strong"):
            grade = getattr(self, name)
            keep(self, name, float(grade) if isinstance(grade, bool) else share(name, grade))


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeReport:
    """A cascade's results on held-out labels; `escalated` is the share of strong calls.

    `reasons` say why it should not run, empty if it should.
    """

    labels: int
    price_ratio: float
    auc: Interval
    required: float
    escalated: float
    quality: float
    strong_quality: float
    loss: Interval
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the cascade should run."""
        return not self.reasons


def calibrate_cascade(
    labels: Sequence[CascadeLabel],
    checks: Sequence[Check],
    *,
    price_ratio: float,
    tolerance: float,
    judge: Judge | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Verifier, CascadeReport]:
    """Fit the logistic regression that combines the checks, and report whether it breaks even.

    `price_ratio` is the cost of all cheap calls for one request as a share of a strong call's;
    `tolerance` the mean quality that may be lost. Half of the labels fit the weights, the other
    half set the threshold and make the report. Scores of checks that are not in `checks` are
    ignored.

    Raises:
        ConfigurationError: fewer than 300 labels, or all cheap answers right or all wrong.
    """
    labels = sequence("labels", labels, CascadeLabel, least=1)
    for at, check in enumerate(sequence("checks", checks, object)):
        checked_check(f"checks[{at}]", check)
    number("price_ratio", price_ratio, least=0)
    number("tolerance", tolerance, least=0)
    optional(instance, "judge", judge, Judge)
    number("confidence", confidence, above=0, below=1)
    whole("seed", seed, least=0)
    right = np.array([label.cheap >= 0.5 for label in labels])
    if len(labels) < MIN_LABELS:
        raise ConfigurationError(
            f"{len(labels)} labels are fewer than {MIN_LABELS}: label {MIN_LABELS - len(labels)} "
            "more cheap answers"
        )
    if right.all() or not right.any():
        raise ConfigurationError(
            "all cheap answers are right or all are wrong (one class): label other requests too"
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    fitted, held_out = order[: len(order) // 2], [labels[n] for n in order[len(order) // 2 :]]
    known = {check.name for check in checks} | ({"judge"} if judge is not None else set())
    scored = [{k: v for k, v in labels[n].checks.items() if k in known} for n in fitted]
    weights, bias = fit_logistic(scored, [bool(right[n]) for n in fitted])
    verifier = Verifier(checks=tuple(checks), weights=weights, bias=bias, judge=judge)
    scores = np.array([verifier.probability(label.checks) for label in held_out])
    threshold, report = _report(
        scores,
        held_out,
        price_ratio=price_ratio,
        tolerance=tolerance,
        confidence=confidence,
        seed=seed,
    )
    return replace(verifier, threshold=threshold), report


def fit_logistic(
    checks: Sequence[Mapping[str, float]], right: Sequence[bool]
) -> tuple[dict[str, float], float]:
    """Return the weights by check, and the bias, of the logistic regression of `right`.

    Plain numpy, since apps refit it while they serve.
    """
    names = sorted({name for scores in checks for name in scores})
    table = np.array([[scores.get(name, 0.5) for name in names] for scores in checks])
    weights = _logistic(table, np.asarray(right))
    named = {name: float(w) for name, w in zip(names, weights[1:], strict=True)}
    return named, float(weights[0])


def _report(
    scores: NDArray[np.float64],
    labels: Sequence[CascadeLabel],
    *,
    price_ratio: float,
    tolerance: float,
    confidence: float,
    seed: int,
) -> tuple[float, CascadeReport]:
    cheap = np.array([label.cheap for label in labels])
    strong = np.array([label.strong for label in labels])
    right = cheap >= 0.5
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(scores), len(scores)) for _ in range(300)]
    quality = bootstrap_interval(
        auc(scores, right), [auc(scores[d], right[d]) for d in draws], confidence=confidence
    )
    # Accept answers in order of probability, down to the last one that keeps the loss in bounds.
    safe = safe_threshold(-scores, strong - cheap, tolerance=tolerance, confidence=confidence)
    threshold = 2.0 if safe.score is None else -safe.score
    kept = scores >= threshold
    required = required_auc(price_ratio)
    reasons: list[str] = []
    if quality.low < required:
        reasons.append(
            f"the checks' AUC is {quality}; at {price_ratio:.0%} of the strong model's price its "
            f"lower bound must be at least {required:.2f}"
        )
    if not kept.any():
        reasons.append("at no threshold is the upper bound of the loss within the tolerance")
    elif price_ratio + 1.0 - kept.mean() >= 1.0:
        reasons.append(f"it would escalate {1 - kept.mean():.0%} and so cost more than it saves")
    return threshold, CascadeReport(
        labels=len(labels),
        price_ratio=price_ratio,
        auc=quality,
        required=required,
        escalated=float(1.0 - kept.mean()),
        quality=float(np.where(kept, cheap, strong).mean()),
        strong_quality=float(strong.mean()),
        loss=safe.loss,
        reasons=tuple(reasons),
    )


def _logistic(table: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fit a logistic regression by Newton's method, with a ridge penalty of 1 on the weights.

    Returns the bias, then the weights.
    """
    columns = np.column_stack([np.ones(len(table)), table])
    weights = np.zeros(columns.shape[1])
    penalty = np.diag([1e-6, *np.ones(table.shape[1])])
    for _ in range(30):
        chance = 1.0 / (1.0 + np.exp(-np.clip(columns @ weights, -30, 30)))
        slope = columns.T @ (right - chance) - penalty @ weights
        curve = (columns * (chance * (1 - chance))[:, None]).T @ columns + penalty
        step = np.linalg.solve(curve, slope)
        weights += step
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights
