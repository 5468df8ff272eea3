"""Several processes share a cache file; some are killed or run out of disk space."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from llm_optimizers.caching import ResponseCache
from support import cache_worker
from support.cache_worker import asked

WORKER = Path(cache_worker.__file__)


def start(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(path), name, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def live() -> str:
    raise AssertionError("the model was called")


def check(path: Path, kept: dict[str, list[int]]) -> None:
    with closing(ResponseCache[str](path=path)) as cache:
        for name, numbers in kept.items():
            for number in numbers:
                assert cache.answer(asked(name, number), live).value == f"{name} {number}"
        assert cache.stats.troubles == {}


@pytest.mark.slow
def test_two_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    workers = {name: start(path, name, 150) for name in ("shoes", "hats")}
    kept = {}
    for name, worker in workers.items():
        out, err = worker.communicate(timeout=120)
        assert worker.returncode == 0, err
        kept[name] = [int(line) for line in out.split()]
        assert kept[name] == list(range(150)), err
    check(path, kept)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 40])
def test_a_killed_process_keeps_every_stored_entry(tmp_path: Path, moment: int) -> None:
    path = tmp_path / "cache.sqlite"
    worker = start(path, "shoes", 100_000)
    kept = []
    assert worker.stdout is not None
    for line in worker.stdout:
        kept.append(int(line))
        if len(kept) == moment:
            os.kill(worker.pid, signal.SIGKILL)
            break
    kept += [int(line) for line in worker.stdout.read().split()]
    worker.communicate(timeout=60)
    assert worker.returncode == -signal.SIGKILL
    assert len(kept) >= moment
    check(path, {"shoes": kept})
    with closing(ResponseCache[str](path=path)) as cache:
        cache.update(asked("hats", 1), "new")
        assert cache.answer(asked("hats", 1), live).value == "new"


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from llm_optimizers.caching import ResponseCache
from support.cache_worker import asked
cache = ResponseCache(path=sys.argv[1])
cache.update(asked("shoes", 0), "first")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for number in range(1, 60):
    assert cache.answer(asked("shoes", number), lambda: "x" * 20_000).value[0] == "x"
assert cache.answer(asked("shoes", 0), lambda: 1 / 0).value == "first"
assert cache.stats.troubles["store"] > 0
cache.close()
"""


@pytest.mark.slow
def test_a_full_disk_does_not_fail_a_call(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        env={**os.environ, "PYTHONPATH": str(WORKER.parent.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the cache's store failed") == 1
    check(path, {})
    with closing(ResponseCache[str](path=path)) as cache:
        assert cache.answer(asked("shoes", 0), live).value == "first"
