"""The ledger under load: the time of a record, a report, the size of files, what is lost.

    python benchmarks/costs.py --json rows.json
    python benchmarks/costs.py --records 20000 --runs 1

Records are as `costs/records.py` says. With fewer than a million (`--records`) every section has
less to do in proportion, and the rows make no claims. A row is the median of `--runs`, with the
lowest and the highest.

`record` times each `Ledger.record` in the thread that calls it; beside it what a record takes until
it is in the file, and what plain `sqlite3` takes for a row of 700 bytes in transactions of 1,000
and of one. `file` writes all records, closes the ledger and measures its files; then it runs
`llm-optimizers report FILE --json`, in a process of its own, and beside it a bare scan of the file.
`load` lets 4 processes with 8 threads each record 10,000 times a thread without pause, and does the
same again with one of them killed halfway, which had counted in shared memory what it recorded;
beside it the same threads with one commit for each record.
"""

from __future__ import annotations

import argparse

from costs.measures import ALL, files, load, record_time
from harness import Section, main


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", type=int, default=ALL, help="in the ledger; 1,000,000")
    parser.add_argument("--runs", type=int, default=3, help="of each measurement")


SECTIONS = [
    Section(name="record", about="the time of a record, for its caller", measure=record_time),
    Section(name="file", about="a file with a million records, and a report", measure=files),
    Section(name="load", about="processes that record without pause", measure=load),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS, _options)
