"""Seconds that an import takes in a fresh process."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections import Counter

from harness import Row

ROUNDS = 11
CORE = "import langchain_core"
EXTENDED = (
    "from langchain_core.caches import BaseCache;"
    " from langchain_core.callbacks import BaseCallbackHandler;"
    " from langchain_core.embeddings import Embeddings;"
    " from langchain_core.language_models import BaseChatModel"
)
PACKAGE = "import langchain_llm_optimizers"
ALL = "from langchain_llm_optimizers import *"


def import_time() -> list[Row]:
    """Measure the import of all public names, beyond that of the LangChain classes they extend."""
    cases = {
        "all its names, over the LangChain classes they extend": (EXTENDED, ALL),
        "all its names, over `import langchain_core`": (CORE, ALL),
        "the package alone, over `import langchain_core`": (CORE, PACKAGE),
        "`import langchain_core`": ("pass", CORE),
        "the LangChain classes, over `import langchain_core`": (CORE, EXTENDED),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, (before, measured) in cases.items():
            times[name].append(import_seconds(before, measured))
    medians = {name: statistics.median(each) for name, each in times.items()}
    name, value = next(iter(medians.items()))
    return [
        Row(name="import_seconds", value=value, target="< 0.5", note=name),
        *(Row(name=name, value=value, unit="s") for name, value in medians.items()),
        *(
            Row(name=f"  traced, all its names: modules of {name}", value=value, unit="s")
            for name, value in largest_imports(ALL, 8)
        ),
    ]


def import_seconds(before: str, measured: str) -> float:
    """Return the seconds of the second statement, after the first, in a fresh process."""
    code = f"""
import time
{before}
start = time.perf_counter()
{measured}
print(time.perf_counter() - start)
"""
    return float(run_python("-c", code).stdout)


def largest_imports(statement: str, count: int) -> list[tuple[str, float]]:
    """Return the packages whose own modules take longest, in seconds with the import trace on."""
    times: Counter[str] = Counter()
    for line in run_python("-X", "importtime", "-c", statement).stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            times[name.strip().partition(".")[0]] += int(own)
    return [(package, own / 1e6) for package, own in times.most_common(count)]


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
