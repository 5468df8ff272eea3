"""What the cache costs: exact hits, hits in a file, hits by meaning, a chain, an import.

    python benchmarks/cache.py --data ../shared/data --json rows.json

Every figure is a median of many repeats, taken in turns with what it is compared with. GPTCache
is a peer and no dependency: `--gptcache-python` names a Python that has it, else one is made in
a temporary virtual environment.
"""

from __future__ import annotations

from pathlib import Path

from claims.chain import chain_overhead
from claims.exact import memory_hit, sqlite_hit
from claims.imports import import_time
from claims.meaning import semantic_hit
from rows import arguments, show, write


def main() -> None:
    parser = arguments("What the cache costs.")
    parser.add_argument("--gptcache-python", type=Path, help="a Python that can import gptcache")
    options = parser.parse_args()
    measured = [
        memory_hit(),
        sqlite_hit(options.gptcache_python),
        semantic_hit(options.data),
        chain_overhead(),
        import_time(),
    ]
    rows = [row for row, _ in measured]
    show(rows, [each for _, ingredients in measured for each in ingredients])
    write(rows, options.json)


if __name__ == "__main__":
    main()
