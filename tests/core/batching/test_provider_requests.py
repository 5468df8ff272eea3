"""Which requests are refused before sending, and how the others are split into shards."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.batching import AnthropicBatches, OpenAIBatches, ProviderBatch, ShardLimits
from llm_optimizers.batching.provider.batch import batch_client
from llm_optimizers.batching.provider.requests import (
    BatchRequest,
    form_shards,
    read_batch,
    read_jsonl,
)
from llm_optimizers.costs import Usage
from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.types import ChatRequest, Message

BODY = {"model": "m", "messages": [{"role": "user", "content": "a"}]}


def line(**changes: Any) -> str:
    return json.dumps({"custom_id": "x", "body": BODY} | changes)


def test_a_file_is_read_with_its_ids_or_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_text("\n".join([line(), "", json.dumps(BODY), line(custom_id="y")]))
    assert [request.id for request in read_jsonl(path)] == ["x", "3", "y"]


def test_every_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    lines = [
        line(),
        "{not json",
        line(),
        "[1]",
        line(custom_id="b", body=3),
        line(custom_id="c", body={"model": "m"}),
        line(custom_id="d", body={"messages": BODY["messages"]}),
        line(custom_id="e", body=BODY | {"stream": True}),
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigurationError) as caught:
        read_jsonl(path)
    errors = str(caught.value).splitlines()
    assert [error.partition(":")[0] for error in errors] == [f"line {n}" for n in range(2, 9)]
    for error, word in zip(
        errors,
        ["not JSON", "id 'x'", "object", "`body`", "`messages`", "`model`", "stream"],
        strict=True,
    ):
        assert word in error


def test_lines_that_are_not_valid_json_are_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    valid = json.dumps(BODY).encode()
    half = json.dumps({**BODY, "user": "\ud83d"}).encode()
    path.write_bytes(b"\n".join([valid, b"\xff\xfe", valid, b"[" * 100_000, half]))
    with pytest.raises(ConfigurationError) as caught:
        read_jsonl(path)
    errors = str(caught.value).splitlines()
    assert [error.split(":")[0] for error in errors] == ["line 2", "line 4", "line 5"]
    for word, error in zip(["UTF-8", "nested too deeply", "surrogates"], errors, strict=True):
        assert word in error


def test_many_errors_are_counted_and_missing_files_and_empty_batches_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="and 10 more"):
        read_batch([{}] * 30)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_jsonl(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="no requests"):
        read_batch([])
    with pytest.raises(ConfigurationError, match="body cannot be stored"):
        read_batch([BODY | {"temperature": float("nan")}])


def test_chat_requests_are_accepted() -> None:
    request = ChatRequest(messages=(Message(role="user", content="hé"),), model="m")
    (read,) = read_batch([request], count_tokens=lambda body: len(body["messages"]))
    assert json.loads(read.body) == request.to_openai()
    assert (read.id, read.tokens) == ("1", 1)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 900)), max_size=40)
)
def test_shards_hold_one_model_and_keep_every_limit(items: list[tuple[str, int, int]]) -> None:
    requests = [
        BatchRequest(id=str(n), body="x" * size, model=model, tokens=tokens)
        for n, (model, tokens, size) in enumerate(items)
    ]
    limits = ShardLimits(max_requests=7, max_bytes=3_000, max_tokens=100)
    shards = list(form_shards(requests, limits))
    assert sorted(int(r.id) for shard in shards for r in shard) == list(range(len(items)))
    for shard in shards:
        assert shard
        assert len(shard) <= 7
        assert len({r.model for r in shard}) == 1
        assert sum(r.size for r in shard) <= 3_000
        assert sum(r.tokens for r in shard) <= 100


class UnusedClient:
    """A client that must not be called."""

    provider = "unknown"
    limits = ShardLimits(max_requests=10, max_bytes=2_000)

    create = find = look = results = cancel = staticmethod(pytest.fail)


def test_a_request_larger_than_a_batch_is_refused_before_sending(tmp_path: Path) -> None:
    batch = ProviderBatch(UnusedClient(), path=tmp_path / "b.db")
    huge = {"model": "m", "messages": [{"role": "user", "content": "x" * 5_000}]}
    with pytest.raises(ConfigurationError, match="larger than a whole batch"):
        batch.submit([BODY, huge])
    batch.close()


def test_a_journal_of_another_version_or_kind_is_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    ProviderBatch(UnusedClient(), path=newer).close()
    with closing(sqlite3.connect(newer)) as db, db:
        db.execute("PRAGMA user_version = 7")
    text = tmp_path / "text.db"
    text.write_text("no database at all, but long enough to be looked at" * 50)
    for path, reason in [(newer, "batch journal .* is of version 7"), (text, "no SQLite file")]:
        with pytest.raises(StoreError, match=reason):
            ProviderBatch(UnusedClient(), path=path)


class FakeMessageBatches:
    """Anthropic's batches: succeeded, errored, expired and canceled, in any order."""

    def __init__(self) -> None:
        self.sent: list[list[dict[str, Any]]] = []

    def create(self, *, requests: Iterable[Any]) -> Any:
        self.sent.append(list(requests))
        return SimpleNamespace(id=f"msgbatch_{len(self.sent)}")

    def retrieve(self, message_batch_id: str) -> Any:
        return SimpleNamespace(processing_status="ended")

    def results(self, message_batch_id: str) -> Iterable[Any]:
        sent = self.sent[int(message_batch_id.rpartition("_")[2]) - 1]
        for request in reversed(sent):
            yield SimpleNamespace(
                custom_id=request["custom_id"],
                result=self._result(request["params"]["messages"][0]["content"]),
            )

    def cancel(self, message_batch_id: str) -> Any:
        return None

    def _result(self, question: str) -> Any:
        if question == "bad":
            error = SimpleNamespace(type="invalid_request_error", message="too long")
            return SimpleNamespace(type="errored", error=SimpleNamespace(error=error))
        if question == "late" and len(self.sent) == 1:
            return SimpleNamespace(type="expired")
        body = {
            "content": [{"type": "text", "text": f"answer to {question}"}],
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 2},
        }
        message = SimpleNamespace(model_dump=lambda mode: body)
        return SimpleNamespace(type="succeeded", message=message)


def test_anthropics_outcomes_become_results(tmp_path: Path) -> None:
    fake = FakeMessageBatches()
    client = SimpleNamespace(messages=SimpleNamespace(batches=fake))
    batch = ProviderBatch(client, path=tmp_path / "b.db", poll_s=0)
    results = batch.collect(
        batch.submit(
            [
                {
                    "model": "claude-sonnet-4-5",
                    "max_tokens": 9,
                    "messages": [{"role": "user", "content": q}],
                }
                for q in ("good", "bad", "late")
            ]
        )
    )
    assert [result.text for result in results] == ["answer to good", None, "answer to late"]
    assert results[1].error == "too long"
    assert results[0].usage == Usage(input_tokens=8, cache_read_tokens=3, output_tokens=2)
    assert results[0].cost is not None
    assert [len(sent) for sent in fake.sent] == [3, 1]
    batch.cancel(batch.jobs()[0])
    batch.close()


def test_clients_are_recognised_by_their_attributes() -> None:
    own = UnusedClient()
    assert batch_client(own) is own
    sdk = SimpleNamespace(files=1, batches=2)
    assert isinstance(batch_client(sdk), OpenAIBatches)
    batches = SimpleNamespace(create=print, retrieve=print, results=print)
    anthropic = SimpleNamespace(messages=SimpleNamespace(batches=batches))
    assert isinstance(batch_client(anthropic), AnthropicBatches)
    with pytest.raises(ConfigurationError, match="`client` is an object; give an openai"):
        batch_client(object())
    with pytest.raises(ConfigurationError, match="`client` is an AsyncOpenAI; give"):
        batch_client(type("AsyncOpenAI", (), {"files": 1, "batches": 2})())
