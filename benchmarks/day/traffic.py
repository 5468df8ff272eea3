"""The requests of a day, made by `make_day.py` and read line by line.

Fields and kinds are described in the README beside `make_day.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from llm_optimizers.evidence.labels import read_labels
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.routing.learning.artefact import RouterArtefact, read_artefact
from llm_optimizers.routing.learning.calibration import calibrate
from llm_optimizers.types import ChatRequest, Message

STRONG, CHEAP = "gpt-4o", "gpt-4o-mini"
TENANTS = ("alder", "birch")
LABELLED = ("exam", "maths")
"""The features that have labels."""
KINDS = ("question", "intent", "exam", "maths", "rag", "classify", "summarise")
HISTORY, DAY, LABELS, ROUTER = "history.jsonl", "day.jsonl", "labels.jsonl", "router.json"
TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request and what is known of its answers; the README explains the fields."""

    id: str
    tenant: str
    feature: str
    kind: str
    system: str
    text: str
    out: int
    right: str
    answer: Mapping[str, str]
    answer_assumed: Mapping[str, str]
    recorded: bool
    gold: str = ""
    gold_answers: tuple[str, ...] = ()

    def word(self, model: str, *, assumed: bool) -> str:
        """Return the word that a model answers with."""
        return self.answer_assumed.get(model, self.answer[model]) if assumed else self.answer[model]

    @property
    def day(self) -> str:
        """The day of the request: "r" for the measured day, "h0", "h1" … before."""
        return self.id.partition("-")[0] if "-" in self.id else self.id[0]

    def logged(self) -> LoggedRequest:
        """Return the request as the app gets it."""
        messages = (
            Message(role="system", content=self.system),
            Message(role="user", content=self.text),
        )
        return LoggedRequest(
            id=self.id,
            request=ChatRequest(messages=messages, model=STRONG),
            tenant=self.tenant,
            feature=self.feature,
            background=self.feature == "chores",
        )


def read(path: Path) -> Iterator[Request]:
    """Yield the requests of a file, in order of time."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            raw["gold_answers"] = tuple(raw.get("gold_answers", ()))
            del raw["time"]
            yield Request(**raw)


def make_traffic(data: Path, work: Path, *, seed: int, requests: int) -> Path:
    """Return the folder of a seed's files and fitted router, made first if it is missing.

    Raises:
        SystemExit: `make_day.py` is not beside the folder of the data sets.
    """
    folder = work / f"{requests}-requests-seed-{seed}"
    script = data.resolve().parent / "day" / "make_day.py"
    if not (folder / LABELS).is_file():
        if not script.is_file():
            raise SystemExit(f"missing: {script}; pass the data folder beside it with --data")
        command = [sys.executable, script, "--data", data.resolve(), "--out", folder]
        size = ["--seed", seed, "--requests", requests]
        subprocess.run(
            [str(part) for part in (*command, *size)], check=True, stdout=subprocess.DEVNULL
        )
    if not (folder / ROUTER).is_file():
        fit_router(folder / LABELS).save(folder / ROUTER)
    return folder


def describe_router(folder: Path) -> str:
    """Return a sentence on what the folder's router may do."""
    artefact = read_artefact(folder / ROUTER)
    if artefact.active:
        report = artefact.reports[CHEAP]
        return f"the router acts: {100 * report.cheap_share:.0f} % of the labels to {CHEAP}"
    return f"the router does not act: {'; '.join(artefact.reports[CHEAP].reasons)}"


def fit_router(labels: Path) -> RouterArtefact:
    """Fit a router on the labels, as `llm-optimizers router fit` does."""
    calibration = calibrate(read_labels(labels), strong=STRONG, weak=[CHEAP], tolerance=TOLERANCE)
    return RouterArtefact.of(calibration, created=datetime.now(UTC).date().isoformat())
