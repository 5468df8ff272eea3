"""What the shipped day of requests costs with all strategies on, through each framework.

    python benchmarks/demo.py --json rows.json

The figures of `llm-optimizers demo`: the money and the answers are the same on every machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from harness import Row, Run, Section, main

MAIN = "from llm_optimizers.cli import main; main()"


def day(framework: str, _: Run) -> Iterator[Row]:
    """One run of the command in a process of its own."""
    command = [sys.executable, "-c", MAIN, "demo", "--json", "--framework", framework]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    yield Row(name="cost_usd", value=found["cost"], target="< 0.32", unit="$")
    yield Row(name="right_answers", value=found["right_answers"], target=">= 423")
    yield Row(name="wrong_hits", value=found["wrong_hits"], target="= 0")
    yield Row(name="overhead per call (median)", value=found["overhead_ms"], unit="ms")


SECTIONS = [
    Section(name=name, measure=partial(day, name), about=f"a day of requests through {title}")
    for name, title in (("langchain", "LangChain"), ("llama-index", "LlamaIndex"))
]

if __name__ == "__main__":
    main(__doc__, SECTIONS)
