"""Whether a request asks for a sample: the same request again is then meant to vary.

Several such calls at once are several answers: they are never merged. What is stored afterwards is
served as any other answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["asks_for_sample"]

_DEPTH = 3
# Their values are schemas and prompts, in which such a name is something else.
_SKIPPED = frozenset({"tools", "functions", "response_format", "messages", "metadata", "input"})
_OTHERS = {"top_p": 0.0, "topP": 0.0, "top_k": 1.0, "topK": 1.0, "min_p": 0.0}
_COUNTS = frozenset({"n", "candidate_count", "candidateCount", "best_of"})
_SEEDS = frozenset({"seed", "random_seed"})


def asks_for_sample(*settings: Mapping[str, Any], depth: int = _DEPTH) -> bool:
    """Return whether explicit settings ask for an answer that varies; later ones take precedence.

    A temperature above 0 does, and without a temperature other sampling settings and several
    answers in one call do. A fixed seed asks for the same answer again. Settings may be nested
    `depth` mappings deep.
    """
    found: dict[str, float] = {}
    for each in settings:
        found.update(_numbers(each, depth))
    if any(name in found for name in _SEEDS):
        return False
    if "temperature" in found:
        return found["temperature"] > 0
    return any(found.get(name, least) > least for name, least in _OTHERS.items()) or any(
        found.get(name, 1.0) > 1 for name in _COUNTS
    )


def _numbers(settings: Mapping[str, Any], depth: int) -> Iterator[tuple[str, float]]:
    """Yield the numeric settings, those of nested mappings (`options`, `model_kwargs`) first."""
    for name, value in settings.items():
        if depth > 0 and isinstance(value, Mapping) and name not in _SKIPPED:
            yield from _numbers(value, depth - 1)
    for name, value in settings.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield str(name), float(value)
