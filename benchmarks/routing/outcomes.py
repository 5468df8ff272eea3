"""Recorded outcomes of models on questions, for the benchmark's parts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.evidence.labels import Label
from llm_optimizers.routing.learning.features import Features, Featurizer

BITS = 17
WEAK, STRONG = "weak", "strong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Questions with the scores of a weak and a strong model on each."""

    name: str
    prompts: list[str]
    weak: NDArray[np.float64]
    strong: NDArray[np.float64]
    features: list[Features]

    @property
    def gains(self) -> NDArray[np.float64]:
        return self.strong - self.weak

    def labels(self, numbers: NDArray[np.int64]) -> list[Label]:
        return [
            Label(prompt=self.prompts[i], scores={WEAK: self.weak[i], STRONG: self.strong[i]})
            for i in numbers
        ]


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def recorded(name: str, read: list[dict[str, Any]]) -> Outcomes:
    """Read rows with `prompt`, `weak` and `strong`, one a prompt."""
    return outcomes(
        name,
        [row["prompt"] for row in read],
        np.array([row["weak"] for row in read], dtype=np.float64),
        np.array([row["strong"] for row in read], dtype=np.float64),
    )


def outcomes(
    name: str, prompts: list[str], weak: NDArray[np.float64], strong: NDArray[np.float64]
) -> Outcomes:
    reader = Featurizer(bits=BITS)
    features = [reader.read(prompt) for prompt in prompts]
    return Outcomes(name=name, prompts=prompts, weak=weak, strong=strong, features=features)


def folds(size: int, count: int, seed: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield indices to fit on and to report on; every index is reported on once."""
    parts = np.array_split(np.random.default_rng(seed).permutation(size), count)
    for number, part in enumerate(parts):
        yield np.concatenate(parts[:number] + parts[number + 1 :]), part
