"""The learned scorer: what a strong model would gain over each cheap one, from a request's text.

A linear model on hashed n-grams and the shape of the text, averaged with randomised trees on
topics and shape. It predicts the gain itself and not whether the cheap model is wrong: questions
both models fail are no reason to pay more, and on recorded outcomes this is worth .04 of APGR.
Words rank as well as sentence embeddings do, are fitted in seconds and read in a fraction of a
millisecond, with numpy alone. The settings below were chosen on held-out folds of other seeds
than those that are reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.routing.learning.features import Buckets, Features, Featurizer
from llm_optimizers.routing.learning.linear import SparseRows, ridge
from llm_optimizers.routing.learning.topics import Topics
from llm_optimizers.routing.learning.trees import Forest, fit_forest

__all__ = ["GainModel", "Head", "Projection", "fit_gains"]

Floats = NDArray[np.float64]

CURVES = 256
MAX_DEPTH = 14
_TEXT_WEIGHT = 0.5
_SHAPE_WEIGHT = 0.1
_CURVE_WEIGHT = 0.2
_TASK_WEIGHT = 0.3
_CURVE_WIDTH = 0.6
_PENALTY = 8.0
_FOCUSED_PENALTY = 16.0
_PRIOR = 10.0
_FOREST_SHARE = 0.7
_FEW = 1_500
_TOPICS = 20
_TREES = 100
_LEAF = 20
_TRIES = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """How a text's features become the columns that weights apply to.

    `rarity` holds weights of the word and the character buckets, shapes (2**bits,) each. `mean`
    and `scale` standardise the shape; `waves` (shape, CURVES) and `phases` make its curves,
    `topics` a coarse map of its words. `tasks` are the task tags seen, one column each.
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
        """Columns and values of the n-grams: by rarity, each family of unit length."""
        words = self._weigh(features.words, self.rarity[0])
        chars = self._weigh(features.chars, self.rarity[1])
        columns = (features.words, features.chars + 2**self.bits)
        return np.concatenate(columns), np.concatenate((words, chars))

    def dense(self, features: Features, task: str = "") -> Floats:
        """Curves of the shape, the shape itself and the task, as columns."""
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
        """What trees are grown on: topics, shape and task."""
        words = self._weigh(features.words, self.rarity[0])
        tags = np.array([float(task == known) for known in self.tasks])
        place = self.topics.place(features.words, words)
        return np.concatenate((place, self._shape(features), tags))

    def _shape(self, features: Features) -> Floats:
        return np.clip((features.shape - self.mean) / self.scale, -4.0, 4.0)

    def _weigh(self, buckets: Buckets, rarity: Floats) -> Floats:
        values = rarity[buckets]
        length = float(np.sqrt(values @ values)) or 1.0
        return np.asarray(values * (np.sqrt(_TEXT_WEIGHT) / length))

    @classmethod
    def of(cls, features: Sequence[Features], tasks: Sequence[str], *, bits: int) -> Projection:
        """Learn rarities, scales and tags from the training texts."""
        shapes = np.array([each.shape for each in features])
        rng = np.random.default_rng(0)
        size = shapes.shape[1]
        bare = cls(
            bits=bits,
            rarity=(
                _rarity([each.words for each in features], bits),
                _rarity([each.chars for each in features], bits),
            ),
            mean=shapes.mean(axis=0),
            scale=shapes.std(axis=0) + 1e-6,
            waves=rng.normal(size=(size, CURVES)) * np.sqrt(_CURVE_WIDTH / size),
            phases=rng.random(CURVES) * 2.0 * np.pi,
            topics=Topics(vocabulary=np.zeros(0, dtype=np.int64), axes=np.zeros((0, 0))),
            tasks=tuple(sorted({task for task in tasks if task})),
        )
        words = [(f.words, bare._weigh(f.words, bare.rarity[0])) for f in features]
        return replace(bare, topics=Topics.of(words, buckets=2**bits, count=_TOPICS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The prediction for one cheap model: `mean` gain, linear `weights`, and a forest's part."""

    mean: float
    weights: Floats
    forest: Forest
    forest_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GainModel:
    """A head by cheap model over the columns of a projection."""

    projection: Projection
    heads: Mapping[str, Head]

    def predict(self, text: str, *, task: str = "") -> dict[str, float]:
        """The predicted gain of the strong model over each cheap one, in units of the labels."""
        return self.score(Featurizer(bits=self.projection.bits).read(text), task=task)

    def score(self, features: Features, *, task: str = "") -> dict[str, float]:
        """The same for a text already read."""
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


def fit_gains(
    features: Sequence[Features],
    gains: Mapping[str, Floats],
    *,
    tasks: Sequence[str] | None = None,
    bits: int,
) -> GainModel:
    """Fit one head a cheap model; `gains` are the strong model's scores less that model's.

    A head is the weighted mean of a linear model and a forest. The linear model is itself the
    mean of two ridges: one on the columns as they are, one on columns scaled by how much their
    presence moves the gain, as naive Bayes weights do for classes (Wang and Manning 2012). It
    knows words; the forest knows topics and shapes, and how they go together.
    """
    tags = list(tasks) if tasks is not None else [""] * len(features)
    projection = Projection.of(features, tags, bits=bits)
    rows = SparseRows.of(
        [projection.sparse(each) for each in features],
        np.array([projection.dense(f, t) for f, t in zip(features, tags, strict=True)]),
        width=2 ** (bits + 1),
    )
    coarse = np.array([projection.coarse(f, t) for f, t in zip(features, tags, strict=True)])
    heads: dict[str, Head] = {}
    for model, amounts in gains.items():
        mean = float(np.mean(amounts))
        heads[model] = Head(
            mean=mean,
            weights=_linear(rows, amounts - mean),
            forest=fit_forest(
                coarse,
                amounts - mean,
                trees=_TREES,
                leaf=_LEAF,
                tries=_TRIES,
                depth=MAX_DEPTH,
                seed=0,
            ),
            # Trees learn topics' difficulties slowly: with few labels they count for little.
            forest_share=_FOREST_SHARE * len(amounts) / (len(amounts) + _FEW),
        )
    return GainModel(projection=projection, heads=heads)


def _linear(rows: SparseRows, target: Floats) -> Floats:
    plain = ridge(rows, target, penalty=_PENALTY)
    focus = _focus(rows, target)
    focused = ridge(rows.scaled(focus), target, penalty=_FOCUSED_PENALTY)
    focused[: rows.width] *= focus
    return (plain + focused) / 2.0


def _focus(rows: SparseRows, target: Floats) -> Floats:
    """A factor a sparse column: its mean gain's size, shrunk, at unit length a row on average."""
    seen = np.bincount(rows.columns, minlength=rows.width)
    sums = np.bincount(
        rows.columns, weights=np.repeat(target, np.diff(rows.starts)), minlength=rows.width
    )
    size = np.abs(sums) / (seen + _PRIOR)
    size = np.sqrt(size + 1e-3 * (float(size.max()) or 1.0))
    lengths = rows.scaled(size).values
    mean_square = float(lengths @ lengths) / len(target)
    return np.asarray(size / np.sqrt(mean_square))


def _rarity(texts: Sequence[Buckets], bits: int) -> Floats:
    """Smooth inverse document frequencies, log((1 + n) / (1 + df)) + 1, to the power of 1.5."""
    seen = np.bincount(np.concatenate(texts), minlength=2**bits)
    return np.asarray((np.log((1.0 + len(texts)) / (1.0 + seen)) + 1.0) ** 1.5)
