"""Fits the gain model. Needs scikit-learn (the `fit` extra); the model it returns needs only numpy.

The settings below were chosen on held-out folds of other seeds than those that are reported.
Fitting is deterministic: seeds are fixed, and it runs on one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from llm_optimizers.routing.learning.features import Buckets, Features
from llm_optimizers.routing.learning.gains import CURVES, MAX_DEPTH, GainModel, Head, Projection
from llm_optimizers.routing.learning.topics import Topics
from llm_optimizers.routing.learning.trees import fit_forest

try:
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_limits
except ImportError as error:
    raise ImportError(
        "fitting a router needs an extra: pip install 'llm-optimizers[fit]'"
    ) from error

__all__ = ["fit_gains"]

Floats = NDArray[np.float64]

_CURVE_WIDTH = 0.6
_PENALTY = 8.0
_FOCUSED_PENALTY = 16.0
_TOLERANCE = 1e-3
_PRIOR = 10.0
_FOREST_SHARE = 0.7
_FEW = 1_500
_TOPICS = 20
_TREES = 100
_LEAF = 20
_TRIES = 25


def fit_gains(
    features: Sequence[Features],
    gains: Mapping[str, Floats],
    *,
    tasks: Sequence[str] | None = None,
    bits: int,
) -> GainModel:
    """Fit one head for each cheap model; `gains` are the strong model's scores minus its scores.

    A head is the weighted mean of a linear model and a forest. The linear model is itself the
    mean of two ridge regressions: one on the columns as they are, one on columns scaled by how
    much their presence moves the gain, as naive Bayes weights do for classes (Wang and Manning
    2012). It knows words; the forest knows topics and shapes, and how they interact.
    """
    tags = list(tasks) if tasks is not None else [""] * len(features)
    with threadpool_limits(limits=1):
        projection = _projection(features, tags, bits=bits)
        pairs = list(zip(features, tags, strict=True))
        dense = np.array([projection.dense(each, tag) for each, tag in pairs])
        coarse = np.array([projection.coarse(each, tag) for each, tag in pairs])
        text = _text_columns(projection, features)
        return GainModel(
            projection=projection,
            heads={model: _head(text, dense, coarse, amounts) for model, amounts in gains.items()},
        )


def _head(text: csr_matrix, dense: Floats, coarse: Floats, gains: Floats) -> Head:
    mean = float(np.mean(gains))
    return Head(
        mean=mean,
        weights=_linear(text, dense, gains - mean),
        forest=fit_forest(
            coarse,
            gains - mean,
            trees=_TREES,
            leaf=_LEAF,
            tries=_TRIES,
            depth=MAX_DEPTH,
            seed=0,
        ),
        # Trees learn topics' difficulties slowly: with few labels they count for little.
        forest_share=_FOREST_SHARE * len(gains) / (len(gains) + _FEW),
    )


def _projection(features: Sequence[Features], tasks: Sequence[str], *, bits: int) -> Projection:
    """Learn term weights, scales, topics and task tags from the training texts."""
    shapes = np.array([each.shape for each in features])
    rng = np.random.default_rng(0)
    size = shapes.shape[1]
    without_topics = Projection(
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
    words = [(each.words, without_topics.word_values(each)) for each in features]
    return replace(without_topics, topics=Topics.of(words, buckets=2**bits, count=_TOPICS))


def _rarity(texts: Sequence[Buckets], bits: int) -> Floats:
    """Return smoothed inverse document frequencies, (log((1 + n) / (1 + df)) + 1) ** 1.5."""
    seen = np.bincount(np.concatenate(texts), minlength=2**bits)
    return np.asarray((np.log((1.0 + len(texts)) / (1.0 + seen)) + 1.0) ** 1.5)


def _text_columns(projection: Projection, features: Sequence[Features]) -> csr_matrix:
    """Return the n-gram columns of all texts, one row per text."""
    columns, values = zip(*(projection.sparse(each) for each in features), strict=True)
    starts = np.concatenate(([0], np.cumsum([len(each) for each in columns])))
    shape = (len(features), 2 ** (projection.bits + 1))
    return csr_matrix((np.concatenate(values), np.concatenate(columns), starts), shape=shape)


def _linear(text: csr_matrix, dense: Floats, target: Floats) -> Floats:
    factors = _focus(text, target)
    plain = _ridge(text, dense, target, penalty=_PENALTY)
    focused = _ridge(text.multiply(factors), dense, target, penalty=_FOCUSED_PENALTY)
    focused[: len(factors)] *= factors
    return (plain + focused) / 2.0


def _ridge(text: csr_matrix, dense: Floats, target: Floats, *, penalty: float) -> Floats:
    rows = hstack([text, csr_matrix(dense)], format="csr")
    ridge = Ridge(alpha=penalty, fit_intercept=False, solver="sparse_cg", tol=_TOLERANCE)
    return np.array(ridge.fit(rows, target).coef_)


def _focus(text: csr_matrix, target: Floats) -> Floats:
    """Return a factor for each sparse column: the size of its mean gain, shrunk.

    Scaled so that a row's mean square length is 1.
    """
    seen = np.bincount(text.indices, minlength=text.shape[1])
    sums = np.bincount(
        text.indices, weights=np.repeat(target, np.diff(text.indptr)), minlength=text.shape[1]
    )
    size = np.abs(sums) / (seen + _PRIOR)
    size = np.sqrt(size + 1e-3 * (float(size.max()) or 1.0))
    values = text.data * size[text.indices]
    return np.asarray(size / np.sqrt(float(values @ values) / len(target)))
