"""Exact hits: in memory against LangChain's own cache, in a file against GPTCache."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_core.caches import InMemoryCache

from cache.calls import QUESTION, cache_call
from harness import Row, interleaved
from langchain_llm_optimizers import HybridCache
from langchain_llm_optimizers.llm_string import identity_of_string
from langchain_llm_optimizers.messages import request_of_prompt
from llm_optimizers.caching.keys import cache_key

GPTCACHE = ("gptcache==0.1.44", "sqlalchemy", "faiss-cpu", "numpy", "setuptools<81")
MANY = 8_000


def memory_hit() -> list[Row]:
    """Compare with LangChain's own cache, which copies nothing and returns the stored object.

    Ours keeps no prompts and hashes them into a key instead; the target allows for that. Keys
    of recent prompts are remembered; the figures show both cases.
    """
    prompt, settings, answer = cache_call(QUESTION)
    theirs, ours, large = InMemoryCache(), HybridCache(), HybridCache(semantic=False)
    theirs.update(prompt, settings, answer)
    ours.update(prompt, settings, answer)
    # More prompts than are remembered, in turn, so that each key is forgotten when it comes again.
    many = [cache_call(f"{QUESTION} It is order number {n}.") for n in range(MANY)]
    for call in many:
        large.update(*call)
    calls = itertools.cycle(many)
    request = request_of_prompt(prompt, identity_of_string(settings))

    def lookup_forgotten() -> None:
        found = large.lookup(*next(calls)[:2])
        assert found is not None

    their, our, first, key, digest = interleaved(
        2_000,
        repeated(100, lambda: theirs.lookup(prompt, settings)),
        repeated(5, lambda: ours.lookup(prompt, settings)),
        repeated(1, lookup_forgotten),
        repeated(2, lambda: cache_key(request)),
        repeated(100, lambda: hashlib.sha256(f"{prompt}{settings}".encode()).hexdigest()),
    )
    row = Row(
        name="memory_hit_vs_inmemorycache",
        value=our / (their + key),
        target="<= 3",
        note="HybridCache.lookup / (InMemoryCache.lookup + the hashing of our key)",
    )
    return [
        row,
        Row(name="prompt and llm_string", value=len(prompt + settings), unit="characters"),
        Row(name="InMemoryCache.lookup, a hit", value=their * 1e6, unit="µs"),
        Row(name="hashing of our key", value=key * 1e6, unit="µs"),
        Row(name="SHA-256 of prompt and llm_string alone", value=digest * 1e6, unit="µs"),
        Row(name="HybridCache.lookup, an exact hit", value=our * 1e6, unit="µs"),
        Row(name="  the same, the prompt not remembered", value=first * 1e6, unit="µs"),
        Row(name="  the same / (theirs + our key)", value=first / (their + key), unit="×"),
        Row(name="ours / (theirs + SHA-256)", value=our / (their + digest), unit="×"),
        Row(name="(ours - SHA-256) / theirs", value=(our - digest) / their, unit="×"),
    ]


def repeated(count: int, operation: Callable[[], object]) -> Callable[[], int]:
    """Return a function that runs an operation `count` times, for one timing."""

    def subject() -> int:
        for _ in range(count):
            operation()
        return count

    return subject


def sqlite_hit(python: Path | None) -> list[Row]:
    """Compare with GPTCache's `get`, both on a RAM disk if there is one, so no disk is timed."""
    questions = [f"{QUESTION} It is order number {n}." for n in range(200)]
    with tempfile.TemporaryDirectory(dir=ram_disk()) as folder:
        ours = HybridCache(path=Path(folder) / "answers.sqlite")
        calls = [cache_call(question) for question in questions]
        for call in calls:
            ours.update(*call)
        times = []
        for _ in range(10):
            for prompt, settings, _ in calls:
                start = time.perf_counter()
                found = ours.lookup(prompt, settings)
                times.append(time.perf_counter() - start)
                assert found is not None
        ours.close()
        our = statistics.median(times)
        parts = [Row(name="HybridCache(path=…).lookup, a hit", value=our * 1e6, unit="µs")]
        try:
            with gptcache(python) as executable:
                peer = gptcache_times(executable, questions, folder)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            reason = f"GPTCache could not be installed: {error}; pass --gptcache-python"
            row = Row(name="sqlite_hit_speedup_vs_gptcache", value=None, target=">= 5", note=reason)
            return [row, *parts]
    row = Row(
        name="sqlite_hit_speedup_vs_gptcache",
        value=peer["get"] / our,
        target=">= 5",
        note="GPTCache.get (SQLite and FAISS) / HybridCache(path=…).lookup",
    )
    return [
        row,
        *parts,
        Row(name="GPTCache get, a hit", value=peer["get"] * 1e6, unit="µs"),
        Row(name="GPTCache put", value=peer["put"] * 1e6, unit="µs"),
    ]


def ram_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def gptcache(python: Path | None) -> Iterator[Path]:
    """Yield a Python that has GPTCache: the one given, or a temporary one."""
    if python is not None:
        yield python
        return
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        executable = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
        command = [executable, "-m", "pip", "install", "--quiet", *GPTCACHE]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        yield executable


def gptcache_times(python: Path, questions: list[str], folder: str) -> dict[str, float]:
    script = Path(__file__).with_name("gptcache_get.py")
    job = {"questions": questions, "answer": "Within 30 days.", "repeats": 3, "folder": folder}
    done = subprocess.run(
        [python, script],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))
