"""The sample data in the package: one day of a support product, and labels of the week before.

`llm-optimizers demo` and the notebooks replay that day.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import Any

from llm_optimizers.evidence.labels import read_labels
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.replay.answers import LoggedAnswers
from llm_optimizers.replay.log import Log, parse_log
from llm_optimizers.replay.server import recorded_server
from llm_optimizers.routing.learning.artefact import RouterArtefact
from llm_optimizers.routing.learning.calibration import calibrate

__all__ = ["CHEAP", "STRONG", "day_log", "recorded_provider", "week_before"]

STRONG = "gpt-4o"
CHEAP = "gpt-4o-mini"
TOLERANCE = 0.02
"""The share of right answers that routing to the cheap model may lose."""
_DATA = files("llm_optimizers.replay") / "data"


def day_log() -> Log:
    """Return the requests of one Monday of a support product."""
    with (_DATA / "day.jsonl").open("rb") as lines:
        return parse_log(lines)


def week_before() -> RouterArtefact:
    """Fit a router on the labels of the week before and run its activation test."""
    with as_file(_DATA / "week_before.jsonl") as path:
        labels = read_labels(path)
    calibration = calibrate(labels, strong=STRONG, weak=[CHEAP], tolerance=TOLERANCE)
    return RouterArtefact.of(calibration, created=datetime.now(UTC).isoformat())


def recorded_provider(*, cheap_models: Iterable[str] = ()) -> dict[str, Any]:
    """Serve the day until the process ends; return the `ChatOpenAI` settings to reach the server.

    Models in `cheap_models` give the answers that a cheap model gave that day, some of them wrong.
    """
    stack = ExitStack()
    rule = LoggedAnswers(day_log().requests, TokenCounter(), cheap_models=frozenset(cheap_models))
    url = stack.enter_context(recorded_server(rule))
    atexit.register(stack.close)
    return {"base_url": url, "api_key": "recorded"}
