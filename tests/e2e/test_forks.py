"""What was used before a fork works in the child, whatever the parent's threads were doing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.redis_server import RedisProcess

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

TESTS = Path(__file__).parents[1]
WORKER = TESTS / "support" / "fork_worker.py"
NAMES = {
    "core": "small_parts,coalescer,queue,queue_in_a_file,tokens,embedder,ledger",
    "langchain": "batching,combining,cached,cached_in_a_file,routed",
    "llama_index": "batched_llm,cached_llm,routed_llm",
}


def run(names: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    paths = [str(TESTS), *sys.path]
    return subprocess.run(
        [sys.executable, str(WORKER), names, str(folder), *more],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_a_forked_child_works_though_all_locks_were_held(names: str, tmp_path: Path) -> None:
    done = run(names, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.loopback
def test_a_forked_child_makes_its_own_connections_to_redis(tmp_path: Path) -> None:
    with RedisProcess() as server:
        done = run("redis,queue_on_redis", tmp_path, server.url)
    assert (done.returncode, done.stderr) == (0, "")
