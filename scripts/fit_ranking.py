"""Fit the weights of `llm_optimizers.prompts.context.ranking.model` on questions with distractors.

    python scripts/fit_ranking.py FILE… [--embed MODULE:CLASS] [--out PATH]

Each line of a FILE (.jsonl.gz) is {question, answers, gold, docs: [{title, text}]}. The passage
model maximises the likelihood of the gold passage, the sentence model that of the sentences that
contain an answer, both with an L2 prior. Whether any passage has the answer is fitted on each
row's passages with its own question and with another row's. Nothing is random.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from llm_optimizers.embeddings import Embed
from llm_optimizers.prompts.context.ranking.analysis import Passage
from llm_optimizers.prompts.context.ranking.features import PASSAGE_FEATURES, SENTENCE_FEATURES
from llm_optimizers.prompts.context.ranking.model import (
    add_embedding_similarity,
    compute_features,
    log_mean_exp,
)

Floats: TypeAlias = npt.NDArray[np.float64]
Case: TypeAlias = tuple[Floats, Floats]
"""Features of the choices, shape (n, f), and which of them are right, shape (n,)."""

OUT = (
    Path(__file__).parents[1]
    / "llm_optimizers"
    / "prompts"
    / "context"
    / "ranking"
    / "ranking.json"
)
PRIOR = {"passage": 20.0, "sentence": 10.0}
ANSWERED = 0.97
"""Share of real requests whose passages have the answer."""
STRANGER = 7
"""How many rows further on the question comes from that a row's passages do not answer."""


def cases(rows: Iterable[dict[str, Any]], embed: Embed | None) -> tuple[list[Case], list[Case]]:
    """Return the passage choices and the sentence choices of every row."""
    passages: list[Case] = []
    sentences: list[Case] = []
    for row in rows:
        docs = [Passage(title=d["title"], text=d["text"]) for d in row["docs"]]
        features = compute_features(row["question"], docs)
        if embed is not None:
            features = add_embedding_similarity(
                row["question"], docs, features, range(len(docs)), embed
            )
        gold = row["gold"]
        passages.append((features.passages, np.eye(len(docs))[gold]))
        right = containing(features.terms[gold].sentences, row["answers"])
        if right.any():
            sentences.append((features.sentences[gold], right))
    return passages, sentences


def containing(sentences: Sequence[str], answers: Iterable[str]) -> Floats:
    """Return 1 for each sentence that contains part of an answer, else 0."""
    text = "".join(sentences).lower()
    ends = np.cumsum([len(s) for s in sentences])
    starts = ends - [len(s) for s in sentences]
    right = np.zeros(len(sentences))
    for answer in map(str.lower, answers):
        at = text.find(answer)
        while at >= 0:
            right[(starts < at + len(answer)) & (ends > at)] = 1
            at = text.find(answer, at + 1)
    return right


def fit(choices: Sequence[Case], prior: float) -> Floats:
    """Return weights for the raw features; the prior acts on standardised ones."""
    spread = np.concatenate([x for x, _ in choices]).std(axis=0) + 1e-9
    scaled = [(x / spread, y) for x, y in choices]
    weights = np.zeros(len(spread))
    value = likelihood(scaled, weights, prior)
    for _ in range(200):
        slope, curve = -prior * weights, prior * np.eye(len(weights))
        for x, y in scaled:
            p = softmax(x @ weights)
            q = p * y / (p @ y)
            slope += (q - p) @ x
            curve += (x * p[:, None]).T @ x - np.outer(p @ x, p @ x)
        step = np.linalg.solve(curve, slope)
        while (new := likelihood(scaled, weights + step, prior)) < value and abs(step).max() > 1e-9:
            step /= 2
        weights = weights + step
        if new - value < 1e-9:
            break
        value = new
    return weights / spread


def likelihood(choices: Sequence[Case], weights: Floats, prior: float) -> float:
    """Return the log-likelihood of the right choices with the prior."""
    data = sum(float(np.log(softmax(x @ weights) @ y)) for x, y in choices)
    return data - prior / 2 * float(weights @ weights)


def softmax(scores: Floats) -> Floats:
    """Return the probabilities of scores, shape (n,)."""
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum())


def weights_of(rows: Sequence[dict[str, Any]], embed: Embed | None) -> dict[str, dict[str, float]]:
    """Return fitted weights by model and feature name."""
    passages, sentences = cases(rows, embed)
    more = ("meaning", "best_meaning") if embed else ()
    named = {
        "passage": ((*PASSAGE_FEATURES, *more), fit(passages, PRIOR["passage"])),
        "sentence": ((*SENTENCE_FEATURES, *more[:1]), fit(sentences, PRIOR["sentence"])),
    }
    return {
        model: {name: round(float(w), 4) for name, w in zip(names, values, strict=True)}
        for model, (names, values) in named.items()
    }


def fit_found(rows: Sequence[dict[str, Any]], passage: Mapping[str, float]) -> dict[str, float]:
    """Return scale and offset of the probability that any passage has the answer.

    Of a hundred questions, `ANSWERED` are taken to have it: a request that is answered but held to
    have no answer costs tokens, so this is what decides how many of them there are.
    """
    weights = np.array([passage[name] for name in PASSAGE_FEATURES])
    heights: list[float] = []
    own: list[bool] = []
    for row, other in zip(rows, [*rows[STRANGER:], *rows[:STRANGER]], strict=True):
        docs = [Passage(title=d.get("title", ""), text=d["text"]) for d in row["docs"]]
        asked = [row["question"]]
        if not related(other["docs"][other["gold"]], row["docs"]):
            asked.append(other["question"])
        for question in asked:
            scores = compute_features(question, docs).passages @ weights
            heights.append(log_mean_exp(scores))
            own.append(question is row["question"])
    scale, shift = fit_logistic(np.array(heights), np.array(own))
    return {"scale": round(scale, 4), "offset": round(shift / scale, 4)}


def related(document: Mapping[str, str], others: Iterable[Mapping[str, str]]) -> bool:
    """Return whether a document, or another part of the same one, is among some."""
    title = document.get("title")
    return any(
        document["text"] == each["text"] or (title and title == each.get("title"))
        for each in others
    )


def fit_logistic(heights: Floats, own: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and intercept, with both classes weighted to their shares of real requests."""
    inputs = np.column_stack([heights, np.ones(len(heights))])
    weights = np.where(own, ANSWERED / own.mean(), (1 - ANSWERED) / (1 - own.mean()))
    fitted = np.zeros(2)
    for _ in range(100):
        p = 1 / (1 + np.exp(-inputs @ fitted))
        slope = inputs.T @ (weights * (own - p)) - fitted
        curve = (inputs * (weights * p * (1 - p))[:, None]).T @ inputs + np.eye(2)
        step = np.linalg.solve(curve, slope)
        fitted = fitted + step
        if abs(step).max() < 1e-9:
            break
    return float(fitted[0]), float(fitted[1])


def fitted_on(rows: Sequence[dict[str, Any]], embed: Embed) -> dict[str, Any]:
    """Return both sets of weights: for words alone, and for words and similarity.

    The second is the mean of both fits: in texts that the embedder knows less well than these
    (in other languages, about code) it is wrong more often, and the words are as good.
    """
    words, fitted = weights_of(rows, None), weights_of(rows, embed)
    means = {
        model: {name: round((w + words[model].get(name, 0.0)) / 2, 4) for name, w in own.items()}
        for model, own in fitted.items()
    }
    found = {"found": fit_found(rows, words["passage"])}
    return {"words": {**words, **found}, "meaning": means}


def digest(path: Path) -> str:
    """Return a hash that identifies a file the weights were fitted on."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(path: Path) -> list[dict[str, Any]]:
    """Return the rows of one data file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    """Fit and write the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument(
        "--embed",
        default="llm_optimizers.embeddings:StaticEmbedder",
        help="MODULE:CLASS of the embedder to fit `meaning` with",
    )
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    rows = [row for path in options.files for row in load(path)]
    module, _, name = options.embed.partition(":")
    embed = getattr(importlib.import_module(module), name)().embed
    fitted = fitted_on(rows, embed)
    fitted["fitted_on"] = {path.name: digest(path) for path in options.files}
    options.out.write_text(json.dumps(fitted, indent=1) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
