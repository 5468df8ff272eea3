"""Fit the weights of the matcher for the bundled static model.

    python scripts/fit_matcher.py --data DIR [--write]

DIR contains cache_qqp_pairs, cache_stream_questions and cache_stream_intents (.jsonl.gz). One half
of each (by a hash of the answer, so that no question is in both) fits the weights and chooses the
lowest accepted probability; the other half is only reported. Needs `llm-optimizers[fit]`.

Streams are simulated: a prompt's first occurrence is stored, later ones look up the nearest
stored prompt. `hit` counts exact repeats and semantic hits, `wrong` those of another answer.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from llm_optimizers.caching.keys import normalise
from llm_optimizers.caching.matching.guards import fired_guards
from llm_optimizers.caching.matching.matcher import STATIC_WEIGHTS, MatcherWeights
from llm_optimizers.caching.matching.pair_features import FEATURES, pair_features, same_words
from llm_optimizers.caching.matching.text_features import extract_features
from llm_optimizers.embeddings import StaticEmbedder

FLOOR = 0.5
NEIGHBOURS = 10
TUNING, REPORTING = 0, 1
BOUNDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.875, 0.9, 0.925, 0.95)
COSINES = (0.85, 0.9, 0.92, 0.94, 0.96)
MAX_WRONG = 0.002
"""Of all hits; the guards already refuse most wrong ones, so the score may be strict."""
# An intent is coarser than an answer, and the pairs are harder than a cache's candidates.
SHARES = {"questions": 1.0, "intents": 0.3, "pairs": 0.5}

Score = Callable[[str, str, float], float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored prompt that a lookup found, and whether its answer would have been right."""

    question: str
    stored: str
    cosine: float
    right: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """A request stream; `near` holds the nearest earlier prompts of each distinct prompt."""

    requests: list[tuple[int, Any]]
    prompts: list[str]
    near: list[list[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The hits of a simulated cache."""

    requests: int
    exact: int
    exact_wrong: int
    semantic: int
    semantic_wrong: int

    @property
    def hit_rate(self) -> float:
        """The share of requests that are served."""
        return (self.exact + self.semantic) / self.requests

    @property
    def wrong_rate(self) -> float:
        """The share of wrong answers among the hits."""
        return (self.exact_wrong + self.semantic_wrong) / max(1, self.exact + self.semantic)

    @property
    def wrong_semantic_rate(self) -> float:
        """The share of wrong answers among the semantic hits."""
        return self.semantic_wrong / max(1, self.semantic)


def half_of(key: object) -> int:
    """Return 0 or 1, the same in every run."""
    return hashlib.sha256(str(key).lower().encode()).digest()[0] & 1


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def stream(path: Path, half: int, embedder: StaticEmbedder, look: int = 40) -> Stream:
    """Read one half of a stream and find, for each distinct prompt, the nearest earlier ones."""
    places: dict[str, int] = {}
    prompts: list[str] = []
    requests = []
    for row in rows(path):
        if half_of(row["answer_id"]) == half:
            prompt = row["prompt"]
            place = places.setdefault(normalise(prompt) or prompt, len(places))
            if place == len(prompts):
                prompts.append(prompt)
            requests.append((place, row["answer_id"]))
    vectors = embedder.embed(prompts)
    near = []
    for place in range(len(prompts)):
        cosines = vectors[:place] @ vectors[place]
        best = np.argsort(-cosines)[:look]
        near.append([(int(b), float(cosines[b])) for b in best if cosines[b] >= FLOOR])
    return Stream(requests, prompts, near)


def simulate(data: Stream, score: Score, bound: float) -> Outcome:
    """Replay a stream through a cache that stores every prompt it does not serve."""
    answers: dict[int, Any] = {}
    exact = exact_wrong = semantic = semantic_wrong = 0
    for place, answer in data.requests:
        if place in answers:
            exact += 1
            exact_wrong += answers[place] != answer
            continue
        found = [(b, cosine) for b, cosine in data.near[place] if b in answers][:NEIGHBOURS]
        for stored, cosine in found:
            if score(data.prompts[place], data.prompts[stored], cosine) >= bound:
                semantic += 1
                semantic_wrong += answers[stored] != answer
                break
        else:
            answers[place] = answer
    return Outcome(len(data.requests), exact, exact_wrong, semantic, semantic_wrong)


def candidates(data: Stream, each: int = 3) -> Iterator[Candidate]:
    """Return what lookups find if every distinct prompt is stored."""
    answers = dict(reversed(data.requests))
    for place, near in enumerate(data.near):
        for stored, cosine in near[:each]:
            right = answers[place] == answers[stored]
            yield Candidate(data.prompts[place], data.prompts[stored], cosine, right)


class Reader:
    """Computes features and refusals of pairs, each text read once."""

    def __init__(self) -> None:
        self._read = functools.cache(extract_features)

    def refused(self, a: str, b: str) -> bool:
        """Return whether a guard vetoes the pair, or its content words differ."""
        left, right = self._read(a), self._read(b)
        return bool(fired_guards(left, right)) or not same_words(left, right)

    def features(self, a: str, b: str, cosine: float) -> list[float]:
        """See `pair_features.pair_features`."""
        return pair_features(self._read(a), self._read(b), cosine)


def fit(
    sets: dict[str, list[Candidate]], reader: Reader, embedder: str
) -> tuple[MatcherWeights, np.ndarray]:
    """Fit a logistic regression on the pairs that are not refused, for the raw features."""
    table, labels, shares = [], [], []
    for name, pairs in sets.items():
        for pair in pairs:
            if not reader.refused(pair.question, pair.stored):
                table.append(reader.features(pair.question, pair.stored, pair.cosine))
                labels.append(pair.right)
                shares.append(SHARES[name])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000))
    model.fit(np.array(table), labels, logisticregression__sample_weight=shares)
    scaler, regression = model[0], model[-1]
    slopes = regression.coef_[0] / scaler.scale_
    weights = MatcherWeights(
        embedder=embedder,
        min_cosine=FLOOR,
        min_probability=1.0,
        intercept=round(float(regression.intercept_[0] - slopes @ scaler.mean_), 5),
        coefficients=tuple(round(float(slope), 5) for slope in slopes),
    )
    return weights, regression.coef_[0]


def scorer(reader: Reader, weights: MatcherWeights) -> Score:
    """Return the score of guards and weights together: 0 for a refused pair."""
    known: dict[tuple[str, str], float] = {}

    def score(a: str, b: str, cosine: float) -> float:
        if (a, b) not in known:
            refused = reader.refused(a, b)
            known[a, b] = 0.0 if refused else weights.probability(reader.features(a, b, cosine))
        return known[a, b]

    return score


def pairs_of(path: Path, half: int, embedder: StaticEmbedder) -> list[Candidate]:
    """Return one half of the labelled pairs."""
    chosen = [row for row in rows(path) if half_of(row["a"]) == half]
    a = embedder.embed([row["a"] for row in chosen])
    b = embedder.embed([row["b"] for row in chosen])
    cosines = (a * b).sum(1)
    return [
        Candidate(row["a"], row["b"], float(cosine), bool(row["same"]))
        for row, cosine in zip(chosen, cosines, strict=True)
    ]


def auc(pairs: Iterable[Candidate], score: Score) -> float:
    """Return the area under the ROC curve of a score."""
    pairs = list(pairs)
    scores = [score(pair.question, pair.stored, pair.cosine) for pair in pairs]
    return float(roc_auc_score([pair.right for pair in pairs], scores))


def show(name: str, data: Stream, score: Score, bounds: Iterable[float]) -> None:
    """Print the hits of a cache that accepts from each bound on."""
    for bound in bounds:
        outcome = simulate(data, score, bound)
        print(
            f"{name:34} bound {bound:5.3f}  hit {outcome.hit_rate:6.1%}  "
            f"wrong of hits {outcome.wrong_rate:6.2%}  semantic {outcome.semantic:5}  "
            f"wrong of semantic {outcome.wrong_semantic_rate:6.2%}"
        )


def cosine_only(_a: str, _b: str, cosine: float) -> float:
    """Return the score of a plain semantic cache: the cosine."""
    return cosine


def main() -> None:
    """Fit and report; with `--write` also write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="replace the bundled weights")
    arguments = parser.parse_args()
    embedder = StaticEmbedder()
    reader = Reader()
    names = {kind: f"cache_stream_{kind}.jsonl.gz" for kind in ("questions", "intents")}
    pairs = arguments.data / "cache_qqp_pairs.jsonl.gz"
    tuning = {k: stream(arguments.data / f, TUNING, embedder) for k, f in names.items()}
    sets = {kind: list(candidates(data)) for kind, data in tuning.items()}
    sets["pairs"] = pairs_of(pairs, TUNING, embedder)
    weights, standardised = fit(sets, reader, embedder.id)
    for name, coefficient in zip(FEATURES, standardised, strict=True):
        print(f"  {name:20}{coefficient:8.3f}")
    score = scorer(reader, weights)
    bound = next(
        (b for b in BOUNDS if simulate(tuning["questions"], score, b).wrong_rate <= MAX_WRONG),
        BOUNDS[-1],
    )
    print(f"tuned bound {bound}")
    held_out = pairs_of(pairs, REPORTING, embedder)
    print(f"pairs AUC: cosine {auc(held_out, cosine_only):.3f}, score {auc(held_out, score):.3f}")
    for kind, file in names.items():
        data = stream(arguments.data / file, REPORTING, embedder)
        show(f"{kind}, exact only", data, cosine_only, (2.0,))
        show(f"{kind}, cosine", data, cosine_only, COSINES)
        show(f"{kind}, score with guards", data, score, BOUNDS)
    if arguments.write:
        fitted = {
            "version": 1,
            "embedder": embedder.id,
            "floor": FLOOR,
            "bound": bound,
            "intercept": weights.intercept,
            "coefficients": dict(zip(FEATURES, weights.coefficients, strict=True)),
        }
        STATIC_WEIGHTS.write_text(json.dumps(fitted, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
