"""How often a shorter context still contains the answer, and the time it takes to choose it.

    python benchmarks/prompts.py --data ../shared/data --json rows.json

Every prompt is a question with retrieved passages, one of which contains the answer. A method gets
20 % (10 %) of the passages' tokens, including titles, and is right if what is left of that passage
still contains an answer. Data that the shipped weights were fitted on are measured with weights
fitted on the other half of the rows, so that no row is measured with weights fitted on it.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from harness import Row, Run, Section, main
from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.prompts import Passage
from llm_optimizers.prompts.context import RankingWeights
from prompts.lossless import lossless
from prompts.methods import PEERS, Method, selector_method, size
from prompts.speed import speed

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import fit_ranking

FILES = {"nq20": "compress_nq20.jsonl.gz", "xquad15": "compress_xquad15.jsonl.gz"}
TARGETS = {("nq20", 80): 0.95, ("nq20", 90): 0.91, ("xquad15", 80): 0.985, ("xquad15", 90): 0.97}

Prompt: TypeAlias = dict[str, Any]


def answers_kept(name: str, run: Run) -> Iterator[Row]:
    """Measure how often the answer is still there after cutting a data set's contexts."""
    data = load_data(run.data)
    if name not in data:
        run.say(f"  {run.data / FILES[name]} is missing: its rows are left out")
        return
    tuned = was_fitted_on(run.data / FILES[name])
    folds = list(halves(name, data)) if tuned else [(data[name], None)]
    run.say(f"  {len(data[name])} prompts" + (", weights of the other half" if tuned else ""))
    for saved in (80, 90):
        yield from retention(name, saved, folds, StaticEmbedder().embed, run)


def measure_speed(run: Run) -> Iterator[Row]:
    """Measure the milliseconds over the prompts of both data sets."""
    prompts = [prompt for each in load_data(run.data).values() for prompt in each]
    if prompts:
        yield from speed(prompts, StaticEmbedder().embed)
    else:
        run.say(f"  no data in {run.data}: pass its folder with --data")


def load_data(folder: Path) -> dict[str, list[Prompt]]:
    """Return the data sets that exist in the folder."""
    paths = {name: folder / file for name, file in FILES.items()}
    return {name: fit_ranking.load(path) for name, path in paths.items() if path.is_file()}


def was_fitted_on(path: Path) -> bool:
    fitted = json.loads(fit_ranking.OUT.read_text())
    return fit_ranking.digest(path) in fitted["fitted_on"].values()


def halves(
    name: str, data: dict[str, list[Prompt]]
) -> Iterator[tuple[list[Prompt], RankingWeights | None]]:
    """Yield each half of a data set, with weights fitted on the other half of all data sets."""
    embed = StaticEmbedder().embed
    for half in (0, 1):
        others = [p for prompts in data.values() for p in prompts[1 - half :: 2]]
        weights = RankingWeights.from_json(fit_ranking.fitted_on(others, embed))
        yield data[name][half::2], weights


def retention(
    name: str,
    saved: int,
    folds: Sequence[tuple[list[Prompt], RankingWeights | None]],
    embed: Callable[[Sequence[str]], np.ndarray],
    run: Run,
) -> Iterator[Row]:
    """Return our rows, then those of the methods we compare with."""
    share = (100 - saved) / 100
    best = [(p, selector_method(embed, weights)) for p, weights in folds]
    words = [(p, selector_method(None, weights)) for p, weights in folds]
    everything = [p for prompts, _ in folds for p in prompts]
    key = f"{name}_retention_at_{saved}"
    methods = [
        (key, best, f">= {TARGETS[name, saved]}"),
        (f"{key}_words_only", words, "-"),
        *((f"{key}_{peer}", [(everything, method)], "peer") for peer, method in PEERS.items()),
    ]
    for done, (title, parts, target) in enumerate(methods, 1):
        yield row(title, parts, share, target)
        run.progress(done, len(methods), f"methods at {saved} % saved")


def row(
    name: str, parts: Sequence[tuple[Sequence[Prompt], Method]], share: float, target: str
) -> Row:
    right: list[bool] = []
    kept: list[float] = []
    for prompts, method in parts:
        for prompt in prompts:
            passages = [Passage(title=d["title"], text=d["text"]) for d in prompt["docs"]]
            total = sum(size(p.title, p.text) for p in passages)
            left = method(prompt["question"], passages, int(total * share))
            text = left.get(prompt["gold"], "").lower()
            right.append(any(answer.lower() in text for answer in prompt["answers"]))
            used = sum(size(passages[at].title, text) for at, text in left.items())
            kept.append(used / total)
    note = f"saved {1 - statistics.fmean(kept):.1%}, n={len(right)}"
    return Row(name=name, value=statistics.fmean(right), target=target, note=note)


SECTIONS = [
    *(
        Section(
            name=name,
            measure=partial(answers_kept, name),
            about=f"answers still there, {FILES[name]}",
        )
        for name in FILES
    ),
    Section(name="lossless", measure=lossless, about="texts that mean the same, and tokens saved"),
    Section(name="speed", measure=measure_speed, about="milliseconds a choice takes"),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS)
