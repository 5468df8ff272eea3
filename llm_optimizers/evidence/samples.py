"""From traffic to labels: keep a sample of requests, ask both models, let someone grade.

Keeping prompts is the user's decision: nothing is kept unless a file is named, and the file is
theirs. Shadow calls are made afterwards and never while a user waits.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from llm_optimizers.evidence.labels import Label

__all__ = ["TrafficSample", "read_traffic", "shadow"]

_log = logging.getLogger(__name__)


class TrafficSample:
    """Appends a share of the prompts that pass, with their task tags, to a file of JSON lines.

    Safe to share between threads. A file that cannot be written is told once and costs nobody
    an answer.
    """

    def __init__(
        self, path: str | Path, *, rate: float = 0.1, rng: random.Random | None = None
    ) -> None:
        self._path = Path(path)
        self._rate = rate
        # Chance picks a sample; nothing secret hangs on it.
        self._rng = rng or random.Random()  # noqa: S311
        self._lock = threading.Lock()
        self._warned = False

    def offer(self, prompt: str, *, task: str = "") -> bool:
        """Keep the prompt with the sample's probability; says whether it was kept."""
        with self._lock:
            if not prompt or self._rng.random() >= self._rate:
                return False
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    row = {"prompt": prompt, "task": task}
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
            except OSError as error:
                if not self._warned:
                    self._warned = True
                    _log.warning("traffic is not sampled: %s", error)
                return False
        return True


def read_traffic(path: str | Path) -> Iterator[tuple[str, str]]:
    """Prompts and task tags of a sampled file; a line that was cut short is passed over."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, Mapping) and isinstance(row.get("prompt"), str):
            yield row["prompt"], str(row.get("task") or "")


def shadow(
    traffic: Iterable[tuple[str, str]],
    models: Sequence[str],
    *,
    answer: Callable[[str, str], str],
    grade: Callable[[str, str, str], float],
) -> Iterator[Label]:
    """Ask every model each prompt and grade the answers, one label at a time.

    `answer(model, prompt)` calls a model; `grade(prompt, answer, model)` says what its answer is
    worth: a checker, a judge model, or a person. A prompt that fails on any model is left out,
    since half a label teaches nothing; the failure is logged.
    """
    for prompt, task in traffic:
        try:
            scores = {model: grade(prompt, answer(model, prompt), model) for model in models}
        except Exception as error:  # noqa: BLE001 - one failed label must not end the labelling
            _log.warning("a prompt was left unlabelled: %s", type(error).__name__)
            continue
        yield Label(prompt=prompt, scores=scores, task=task)
