"""What the answers of a provider's batch and of rows are billed, as far as they say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llm_optimizers.batching import ProviderBatch
from llm_optimizers.batching.provider import LineOutcome, RemoteBatch, ShardLimits
from llm_optimizers.costs import CallRecord, Ledger
from llm_optimizers.costs.reports import used_in

MODEL = "gpt-4o-mini"


@dataclass
class Answering:
    """A batch API that answers every request with one body."""

    body: Mapping[str, Any]
    provider: str = "openai"
    limits: ShardLimits = field(
        default_factory=lambda: ShardLimits(max_requests=10, max_bytes=1_000_000)
    )
    sent: list[str] = field(default_factory=list)

    def create(self, lines: Sequence[tuple[str, Any]], label: str) -> str:
        self.sent += [name for name, _ in lines]
        return label

    def find(self, label: str) -> str | None:
        return None

    def look(self, remote_id: str) -> RemoteBatch:
        return RemoteBatch(state="completed", ended=True)

    def results(self, remote_id: str) -> Iterator[LineOutcome]:
        for name in self.sent:
            yield LineOutcome(
                name=name, status="answered", body=self.body, usage=used_in(self.body)
            )

    def cancel(self, remote_id: str) -> None:
        pass


def record_of(body: Mapping[str, Any], request: Mapping[str, Any], path: Path) -> CallRecord:
    with (
        Ledger() as ledger,
        closing(ProviderBatch(Answering(body), path=path / "b.db", ledger=ledger)) as batch,
    ):
        batch.collect(batch.submit([request]))
        (record,) = ledger.records()
    return record


ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


def test_an_answer_without_usage_is_unpriced(tmp_path: Path) -> None:
    record = record_of({"choices": []}, ASKED, tmp_path)
    assert (record.cost, record.baseline_cost, record.unpriced) == (None, None, "no usage")


def test_impossible_usage_is_suspicious(tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 99},
    }
    record = record_of({"usage": usage}, ASKED, tmp_path)
    assert record.suspicious
    assert record.usage.input_tokens == 99
    assert record.cost is not None


def test_what_answered_is_priced(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    record = record_of({"usage": usage, "model": "gpt-4o-2024-08-06"}, ASKED, tmp_path)
    assert (record.model, record.cost) == ("gpt-4o-2024-08-06", Decimal("1.25"))


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (ASKED, "answer"),
        (
            {
                "custom_id": "a",
                "method": "POST",
                "url": "/v1/embeddings",
                "body": {"model": "text-embedding-3-small", "input": "Hi"},
            },
            "embedding",
        ),
    ],
    ids=["chat", "embeddings"],
)
def test_embeddings_are_no_requests(request_: dict[str, Any], kind: str, tmp_path: Path) -> None:
    assert record_of({"usage": {"prompt_tokens": 8}}, request_, tmp_path).kind == kind
