"""The prompts of each data set, and the weights to measure them with.

A file that the shipped weights were fitted on is measured in halves, each with weights fitted on
the other half of all such files.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from harness import Run
from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.prompts.context import RankingWeights
from prompts.prompt import Prompt
from prompts.questions import Library, questions

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import fit_ranking

__all__ = ["FILES", "KINDS", "LANGUAGES", "Fold", "english", "folds", "own_questions"]

FILES = {"nq20": "compress_nq20.jsonl.gz", "xquad15": "compress_xquad15.jsonl.gz"}
MANY_LANGUAGES = "compress_xquad15_languages.jsonl.gz"
LANGUAGES = ("de", "es", "ru", "ar", "hi", "th", "zh")
KINDS = {"docs": "docs", "tables": "tables", "two_hops": "two_hop"}
"""Our own sets, and the kind of their questions."""
FEWEST = 60
"""Our own questions that must be left for their figures to mean something."""

Fold: TypeAlias = tuple[list[Prompt], RankingWeights | None]
"""Prompts and the weights to measure them with; None for those that are shipped."""
Rows: TypeAlias = list[dict[str, Any]]


def folds(name: str, run: Run) -> list[Fold]:
    """Return the folds of a data set; none, with a message, if it is not there."""
    if name in KINDS:
        own = own_questions(run)[name]
        return [(own, None)] if own else []
    file = FILES.get(name, MANY_LANGUAGES)
    if not _is_there(file, run):
        return []
    rows = _rows(run, file)
    halves = [rows[half::2] for half in (0, 1)] if file in _fitted(run) else [rows]
    if name in LANGUAGES:
        halves = [[row for row in half if row["language"] == name] for half in halves]
    other = ", weights of the other half" if len(halves) > 1 else ""
    run.say(f"  {name}: {sum(map(len, halves))} prompts{other}")
    weights = [_weights_of(1 - half, run) for half in (0, 1)] if len(halves) > 1 else [None]
    return [(_prompts(half), fitted) for half, fitted in zip(halves, weights, strict=True)]


def english(run: Run) -> list[Prompt]:
    """Return the prompts of all files with titles."""
    there = [file for file in FILES.values() if _is_there(file, run)]
    return [prompt for file in there for prompt in _prompts(_rows(run, file))]


def _is_there(file: str, run: Run) -> bool:
    """Return whether a file is in the folder of the data; say so if it is not."""
    there = (run.data / file).is_file()
    if not there:
        run.say(
            f"  {run.data / file} is missing: its rows are left out; pass its folder with --data"
        )
    return there


def own_questions(run: Run) -> dict[str, list[Prompt]]:
    """Return our own questions whose packages are installed, by set.

    Raises:
        SystemExit: too few of them are left.
    """
    if "own" not in run.shared:
        library, asked = Library(), questions()
        made = [(question["kind"], library.prompt(question)) for question in asked]
        skipped = Counter(kind for kind, prompt in made if prompt is None)
        run.say(f"  {len(asked)} questions about installed packages, {skipped.total()} skipped")
        if len(made) - skipped.total() < FEWEST:
            raise SystemExit(
                f"{len(made) - skipped.total()} questions are left, fewer than {FEWEST}: "
                "pip install 'llm-optimizers[dev]', whose packages they are about"
            )
        run.shared["own"] = {
            name: [prompt for each, prompt in made if each == kind and prompt is not None]
            for name, kind in KINDS.items()
        }
    found: dict[str, list[Prompt]] = run.shared["own"]
    return found


def _prompts(rows: Rows) -> list[Prompt]:
    return [Prompt.from_row(row) for row in rows]


def _rows(run: Run, file: str) -> Rows:
    if file not in run.shared:
        with gzip.open(run.data / file, "rt", encoding="utf-8") as lines:
            run.shared[file] = [json.loads(line) for line in lines]
    rows: Rows = run.shared[file]
    return rows


def _fitted(run: Run) -> Sequence[str]:
    """Return the files that the shipped weights were fitted on, by their content."""
    if "fitted" not in run.shared:
        digests = json.loads(fit_ranking.OUT.read_text())["fitted_on"].values()
        there = [
            path
            for file in (*FILES.values(), MANY_LANGUAGES)
            if (path := run.data / file).is_file()
        ]
        run.shared["fitted"] = [p.name for p in there if fit_ranking.digest(p) in digests]
    fitted: Sequence[str] = run.shared["fitted"]
    return fitted


def _weights_of(half: int, run: Run) -> RankingWeights:
    """Return weights fitted on one half of all files that the shipped weights were fitted on."""
    if ("weights", half) not in run.shared:
        rows = [row for file in _fitted(run) for row in _rows(run, file)[half::2]]
        fitted = fit_ranking.fitted_on(rows, StaticEmbedder().embed)
        run.shared["weights", half] = RankingWeights.from_json(fitted)
    weights: RankingWeights = run.shared["weights", half]
    return weights
