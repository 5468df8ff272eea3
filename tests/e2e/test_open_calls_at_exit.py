"""Calls in flight when a process ends, or its ledger is closed, are in the ledger."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llm_optimizers.costs import Ledger
from support import exit_worker
from support.frameworks import FRAMEWORKS


@pytest.mark.parametrize("ending", ["exit", "close"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_calls_in_flight_are_recorded_once(framework: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / "costs.sqlite"
    worker = [sys.executable, "-m", exit_worker.__name__, framework, str(path), ending]
    root = Path(exit_worker.__file__).parents[1]
    subprocess.run(worker, check=True, cwd=root, timeout=120, capture_output=True)
    with Ledger(path) as ledger:
        found = list(ledger.records())
    assert [(record.status, record.estimated) for record in found] == [("abandoned", True)] * 3
    assert all((record.cost or 0) > 0 for record in found)
