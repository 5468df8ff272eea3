"""A process for tests to kill: `python batch_collector.py URL JOURNAL LEDGER submit|collect`."""

from __future__ import annotations

import sys

from openai import OpenAI

from llm_optimizers.batching import OpenAIBatches, ProviderBatch, ShardLimits
from llm_optimizers.batching.provider import BatchStatus
from llm_optimizers.costs import Ledger

COUNT = 5_000


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(url: str, journal: str, ledger: str, command: str) -> None:
    client = OpenAI(base_url=url, api_key="test", max_retries=2)
    batch = ProviderBatch(
        OpenAIBatches(client, limits=ShardLimits(max_requests=1_200, max_bytes=10_000_000)),
        path=journal,
        ledger=Ledger(ledger),
        poll_s=0.05,
    )
    requests = [
        {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"question {n}"}]}
        for n in range(COUNT)
    ]
    batch.submit(requests, id="job")

    def progress(status: BatchStatus) -> None:
        if status.answered:
            say(f"answered {status.answered}")

    if command == "collect":
        results = batch.collect("job", progress=progress)
        answered = sum(result.state == "answered" for result in results)
        ordered = all(r.text == f"answer to question {n}" for n, r in enumerate(results))
        say(f"finished {len(results)} answered {answered} in order {ordered}")


if __name__ == "__main__":
    main(*sys.argv[1:])
