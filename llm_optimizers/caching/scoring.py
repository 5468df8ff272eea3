"""Whether a stored question asks the same as a new one: guards first, then a score.

A cosine alone serves lookalikes. Here any guard vetoes the pair, and the cosine must reach the
bound of its embedder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llm_optimizers.caching.embedders import Embedder
from llm_optimizers.caching.guards import vetoes
from llm_optimizers.errors import ConfigurationError

__all__ = ["Acceptance", "Verdict", "acceptance_for"]

_STATIC_BOUND = 0.93
_DEFAULT_BOUND = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a stored answer may be served, how sure that is (0 to 1), and why."""

    accept: bool
    score: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Judges candidates of one embedder.

    `floor` is the cosine below which no candidate is ever accepted, so that a search may stop
    there. `covers` tells whether the embedder sees the whole of a text.
    """

    floor: float
    covers: Callable[[str], bool]

    def judge(self, question: str, candidate: str, cosine: float) -> Verdict:
        """Decide on one candidate."""
        if not cosine >= self.floor:
            return Verdict(accept=False, score=max(0.0, cosine), reason="cosine")
        if not (self.covers(question) and self.covers(candidate)):
            return Verdict(accept=False, score=0.0, reason="longer than the embedder sees")
        fired = vetoes(question, candidate)
        if fired:
            return Verdict(accept=False, score=0.0, reason=", ".join(fired))
        return Verdict(accept=True, score=min(1.0, cosine), reason="cosine")


def acceptance_for(embedder: Embedder, threshold: float | None = None) -> Acceptance:
    """The rule for an embedder; `threshold` replaces its cosine bound, guards stay on.

    Raises:
        ConfigurationError: the threshold is no cosine above 0.
    """
    if threshold is not None and not 0.0 < threshold <= 1.0:
        raise ConfigurationError(f"threshold is a cosine above 0 and up to 1, not {threshold}")
    default = _STATIC_BOUND if embedder.id.startswith("static-") else _DEFAULT_BOUND
    return Acceptance(floor=default if threshold is None else threshold, covers=embedder.covers)
