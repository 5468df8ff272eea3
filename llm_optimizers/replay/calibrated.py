"""The demo's router, calibrated on the week before the day that is replayed."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import as_file, files

from llm_optimizers.evidence.labels import read_labels
from llm_optimizers.routing import Router
from llm_optimizers.routing.learning.artefact import RouterArtefact
from llm_optimizers.routing.learning.calibration import calibrate
from llm_optimizers.routing.policies.learned import LearnedPolicy

__all__ = ["CHEAP", "STRONG", "routed", "week_before"]

STRONG = "gpt-4o"
CHEAP = "gpt-4o-mini"
TOLERANCE = 0.02
"""The share of right answers that may be lost to the cheap model."""


def week_before() -> RouterArtefact:
    """Fit a router on the shipped labels, and let its gate decide whether it may act."""
    resource = files("llm_optimizers.replay") / "data" / "week_before.jsonl"
    with as_file(resource) as path:
        labels = read_labels(path)
    calibration = calibrate(labels, strong=STRONG, weak=[CHEAP], tolerance=TOLERANCE)
    return RouterArtefact.of(calibration, created=datetime.now(UTC).isoformat())


def routed(artefact: RouterArtefact) -> Router:
    """The core's router over the models of the file."""
    return Router([*artefact.means, artefact.strong], policy=LearnedPolicy(artefact))
