"""Right and wrong hits of a stream are counted by tier."""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

from cache.quality import STREAMS, hit_quality
from harness import Run

PROMPTS = [
    ("How do I reset my password?", 1),
    ("How do I reset my password?", 1),
    ("how do i reset my password", 1),
    ("How can I reset my password?", 1),
    ("How can I reset my password?", 2),
    ("Where is my order?", 3),
]


def run(folder: Path) -> Run:
    options = argparse.Namespace(data=folder, requests=None)
    return Run(options=options, seed=1, section="quality", shared={})


def test_hits_are_counted_as_right_or_wrong_by_tier(tmp_path: Path) -> None:
    with gzip.open(tmp_path / f"cache_stream_{STREAMS[0]}.jsonl.gz", "wt") as lines:
        for prompt, answer in PROMPTS:
            lines.write(json.dumps({"prompt": prompt, "answer_id": answer}) + "\n")
    rows = {row.name: row for row in hit_quality(run(tmp_path))}
    found = {name: row.value for name, row in rows.items() if name.startswith("questions:")}
    assert found == {
        "questions: hit_rate_pct": 100 * 4 / 6,
        "questions: wrong_hits_pct": 25.0,
        "questions: right exact hits": 1,
        "questions: wrong exact hits": 0,
        "questions: right normalised hits": 1,
        "questions: wrong normalised hits": 0,
        "questions: right semantic hits": 1,
        "questions: wrong semantic hits": 1,
    }


def test_a_stream_that_is_not_there_says_so(tmp_path: Path) -> None:
    rows = list(hit_quality(run(tmp_path)))
    assert [row.value for row in rows] == [None, None, None]
    assert "pass --data" in rows[0].note
