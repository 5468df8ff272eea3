"""The time of exact hits, hits in a file, hits by meaning, a chain and an import; right hits.

    python benchmarks/cache.py --data ../shared/data --json rows.json
    python benchmarks/cache.py --data ../shared/data --only quality

`quality` counts right and wrong hits at the defaults, over streams of requests whose right answers
are known; `templates` sends questions in the prompts of retrieval templates. Neither depends on a
seed or a machine. Every time is a median of many repeats, alternating with what it is compared
with. GPTCache is not a dependency: `--gptcache-python` names a Python that has it; otherwise it is
installed in a temporary virtual environment.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cache.chain import chain_overhead
from cache.exact import memory_hit, sqlite_hit
from cache.imports import import_time
from cache.meaning import semantic_hit
from cache.quality import hit_quality
from cache.templates import template_hits
from harness import Section, main


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gptcache-python", type=Path, help="a Python that can import gptcache")
    parser.add_argument("--requests", type=int, help="of each stream in `quality`; all by default")


SECTIONS = [
    Section(
        name="memory",
        about="an exact hit in memory, against LangChain's InMemoryCache",
        measure=lambda _: memory_hit(),
    ),
    Section(
        name="file",
        about="an exact hit in an SQLite file, against GPTCache",
        measure=lambda run: sqlite_hit(run.options.gptcache_python),
    ),
    Section(
        name="meaning",
        about="a hit by meaning among 10,000 questions, against FAISS alone",
        measure=lambda run: semantic_hit(run.data),
    ),
    Section(
        name="chain",
        about="milliseconds that the cache and the ledger add to a chain on a miss",
        measure=lambda _: chain_overhead(),
    ),
    Section(
        name="import",
        about="seconds that an import takes",
        measure=lambda _: import_time(),
    ),
    Section(
        name="quality",
        about="right and wrong hits at the defaults, over streams of requests",
        measure=hit_quality,
    ),
    Section(
        name="templates",
        about="right and wrong hits of questions in the prompts of retrieval templates",
        measure=template_hits,
    ),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS, options)
