"""Requests of a batch with what the app knows of them, and journals of the release before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from openai import OpenAI

from llm_optimizers.batching import ProviderBatch
from llm_optimizers.batching.provider import PreparedRequest, RequestContext
from llm_optimizers.costs import Ledger
from llm_optimizers.costs.removed import RemovedTokens
from llm_optimizers.errors import ConfigurationError
from support.batch_server import batch_server

pytestmark = pytest.mark.loopback

# The journal of the release before, with a batch whose first request was answered.
FORMER = """
CREATE TABLE jobs (id TEXT PRIMARY KEY, provider TEXT NOT NULL, created_at REAL NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0, driver TEXT, driven_until REAL NOT NULL DEFAULT 0);
CREATE TABLE requests (job TEXT NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL,
    endpoint TEXT NOT NULL, model TEXT NOT NULL, body TEXT NOT NULL, tokens INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0, shard INTEGER,
    answer TEXT, usage TEXT, error TEXT, error_kind TEXT, ended_at REAL,
    recorded INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (job, position)) WITHOUT ROWID;
CREATE INDEX states ON requests (job, state, recorded);
CREATE INDEX shard_members ON requests (job, shard);
CREATE TABLE shards (job TEXT NOT NULL, number INTEGER NOT NULL, remote_id TEXT,
    state TEXT NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (job, number)) WITHOUT ROWID;
INSERT INTO jobs (id, provider, created_at) VALUES ('old', 'openai', 1);
INSERT INTO shards VALUES ('old', 1, 'batch_x', 'collected (completed)', 10);
INSERT INTO requests VALUES ('old', 0, 'a', '/v1/chat/completions', 'gpt-4o',
    '{"messages":[{"content":"q0","role":"user"}],"model":"gpt-4o"}', 10, 'answered', 1, 1,
    '{"choices":[{"message":{"content":"kept"}}]}', '{"input_tokens":1000,"output_tokens":10}',
    NULL, NULL, 1, 0);
INSERT INTO requests (job, position, id, endpoint, model, body, tokens)
    VALUES ('old', 1, 'b', '/v1/chat/completions', 'gpt-4o',
    '{"messages":[{"content":"q1","role":"user"}],"model":"gpt-4o"}', 10);
PRAGMA application_id = %d;
PRAGMA user_version = %d;
"""


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[ProviderBatch]:
    with batch_server() as server, OpenAI(base_url=server.url, api_key="x") as sdk:
        batch = ProviderBatch(sdk, path=tmp_path / "b.db", ledger=Ledger(), poll_s=0.001)
        yield batch
        batch.close()


def asking(text: str) -> dict[str, object]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}


def test_the_context_reaches_the_record_and_the_result(batch: ProviderBatch) -> None:
    context = RequestContext(
        tags={"feature": "digest"},
        baseline_model="gpt-4o",
        baseline_provider="openai",
        removed=RemovedTokens(tokens=500),
        note={"any": ["json"]},
    )
    id_ = batch.submit([PreparedRequest(body=asking("q0"), context=context), asking("q1")])
    first, second = batch.collect(id_)
    assert first.note == {"any": ["json"]}
    assert second.note is None
    ledger = batch._ledger  # noqa: SLF001 - the fixture made it
    assert ledger is not None
    routed, plain = ledger.records()
    assert routed.tags == {"feature": "digest", "batch": id_}
    assert routed.baseline_model == "gpt-4o"
    assert routed.baseline_usage is not None
    assert routed.baseline_usage.input_tokens == routed.usage.input_tokens + 500
    assert [s.strategy for s in routed.savings] == ["prompts", "routing", "batching"]
    assert [s.strategy for s in plain.savings] == ["batching"]


def test_a_known_answer_is_not_sent_and_costs_nothing(batch: ProviderBatch) -> None:
    id_ = batch.submit([PreparedRequest(answer={"text": "kept"}), asking("q1")])
    known, asked = batch.collect(id_)
    assert (known.state, known.body, known.cost) == ("answered", {"text": "kept"}, Decimal(0))
    assert asked.text == "answer to q1"
    ledger = batch._ledger  # noqa: SLF001
    assert ledger is not None
    assert ledger.summary().requests == 1


def test_answers_are_handed_over_once(batch: ProviderBatch) -> None:
    id_ = batch.submit([asking("q0")])
    batch.collect(id_)
    assert [batch.hand_over(id_), batch.hand_over(id_)] == [True, False]
    with pytest.raises(ConfigurationError, match="no batch"):
        batch.hand_over("another")


def test_a_source_says_whether_a_batch_is_the_same(batch: ProviderBatch) -> None:
    batch.submit([PreparedRequest(body=asking("q0"), source="s")], id="mine")
    batch.submit([PreparedRequest(answer={"text": "now known"}, source="s")], id="mine")
    with pytest.raises(ConfigurationError, match="other requests"):
        batch.submit([PreparedRequest(body=asking("q0"), source="t")], id="mine")


@pytest.mark.parametrize("given", [{}, {"body": asking("a"), "answer": {"text": "b"}}])
def test_either_a_body_or_an_answer(given: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="either a `body` or an `answer`"):
        PreparedRequest(**given)  # type: ignore[arg-type]


def test_a_context_that_is_no_json_is_refused(batch: ProviderBatch) -> None:
    context = RequestContext(note={"a": object()})  # type: ignore[dict-item]
    with pytest.raises(ConfigurationError, match="request's context cannot be stored"):
        batch.submit([PreparedRequest(body=asking("q0"), context=context)])


@pytest.mark.parametrize("application", [0, int.from_bytes(b"LLMb")])
def test_a_journal_of_the_release_before_goes_on(tmp_path: Path, application: int) -> None:
    path = tmp_path / "b.db"
    with sqlite3.connect(path) as db:
        db.executescript(FORMER % (application, 0x5042_0001))
    db.close()
    with batch_server() as server, OpenAI(base_url=server.url, api_key="x") as sdk:
        batch = ProviderBatch(sdk, path=path, ledger=Ledger(), poll_s=0.001)
        results = batch.collect("old")
        assert [result.text for result in results] == ["kept", "answer to q1"]
        assert batch.submit([asking("q0")]) in batch.jobs()
        batch.close()
