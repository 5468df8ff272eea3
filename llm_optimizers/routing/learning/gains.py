"""The gain model: predicts what a strong model would gain over each cheap one, from the text.

A linear model on hashed n-grams and the shape of the text, averaged with randomised trees on
topics and shape. It predicts the gain itself and not whether the cheap model is wrong, because
for questions that both models fail the strong one is not worth its price; on recorded outcomes
this adds .04 of APGR. Words rank as well as sentence embeddings, are fitted in seconds
(`fitting.py`) and predict in a fraction of a millisecond, with numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.routing.learning.features import Buckets, Features, Featurizer
from llm_optimizers.routing.learning.topics import Topics
from llm_optimizers.routing.learning.trees import Forest

__all__ = ["CURVES", "MAX_DEPTH", "GainModel", "Head", "Projection"]

Floats = NDArray[np.float64]

CURVES = 256
MAX_DEPTH = 14
_TEXT_WEIGHT = 0.5
_SHAPE_WEIGHT = 0.1
_CURVE_WEIGHT = 0.2
_TASK_WEIGHT = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """How a text's features become the columns that weights apply to.

    `rarity` holds inverse document frequencies of word and character buckets, (2**bits,) each.
    `mean` and `scale` standardise the shape; `waves` (shape, CURVES) and `phases` make random
    Fourier features of it. `topics` reduces the words to a few directions. `tasks` are the known
    task tags, one column each.
    """

    bits: int
    rarity: tuple[Floats, Floats]
    mean: Floats
    scale: Floats
    waves: Floats
    phases: Floats
    topics: Topics
    tasks: tuple[str, ...] = ()

    def sparse(self, features: Features) -> tuple[NDArray[np.int64], Floats]:
        """Return columns and IDF weights of the n-grams, normalised by kind (words, characters)."""
        words = self.word_values(features)
        chars = self._values(features.chars, self.rarity[1])
        columns = (features.words, features.chars + 2**self.bits)
        return np.concatenate(columns), np.concatenate((words, chars))

    def dense(self, features: Features, task: str = "") -> Floats:
        """Return the columns of the shape's curves, the shape itself and the task."""
        shape = self._shape(features)
        curves = np.cos(shape @ self.waves + self.phases)
        tags = np.array([float(task == known) for known in self.tasks])
        return np.concatenate(
            (
                curves * np.sqrt(_CURVE_WEIGHT * 2.0 / len(self.phases)),
                shape * np.sqrt(_SHAPE_WEIGHT / len(shape)),
                tags * np.sqrt(_TASK_WEIGHT),
            )
        )

    def coarse(self, features: Features, task: str = "") -> Floats:
        """Return the columns of the forest: topics, shape and task."""
        tags = np.array([float(task == known) for known in self.tasks])
        topics = self.topics.project(features.words, self.word_values(features))
        return np.concatenate((topics, self._shape(features), tags))

    def word_values(self, features: Features) -> Floats:
        """Return the normalised IDF weights of the word buckets."""
        return self._values(features.words, self.rarity[0])

    def _shape(self, features: Features) -> Floats:
        return np.clip((features.shape - self.mean) / self.scale, -4.0, 4.0)

    def _values(self, buckets: Buckets, rarity: Floats) -> Floats:
        values = rarity[buckets]
        length = float(np.sqrt(values @ values)) or 1.0
        return np.asarray(values * (np.sqrt(_TEXT_WEIGHT) / length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The prediction for one cheap model: mean gain, linear weights, and a forest with its share.

    The prediction is `mean` plus the weighted mean of the linear model and the forest.
    """

    mean: float
    weights: Floats
    forest: Forest
    forest_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GainModel:
    """A projection, and a head for each cheap model."""

    projection: Projection
    heads: Mapping[str, Head]

    def predict(self, text: str, *, task: str = "") -> dict[str, float]:
        """Return the strong model's predicted gain over each cheap one, in the labels' units."""
        return self.score(Featurizer(bits=self.projection.bits).read(text), task=task)

    def score(self, features: Features, *, task: str = "") -> dict[str, float]:
        """Return what `predict` returns, for a text's features."""
        columns, values = self.projection.sparse(features)
        dense = self.projection.dense(features, task)
        row = self.projection.coarse(features, task)
        start = 2 ** (self.projection.bits + 1)
        found: dict[str, float] = {}
        for model, head in self.heads.items():
            linear = float(values @ head.weights[columns]) + float(dense @ head.weights[start:])
            trees = head.forest.predict(row)
            found[model] = head.mean + linear + head.forest_share * (trees - linear)
        return found
