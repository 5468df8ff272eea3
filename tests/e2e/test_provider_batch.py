"""The OpenAI SDK against a batch server on loopback: every way in which a batch can end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import AuthenticationError, OpenAI

from llm_optimizers.batching import OpenAIBatches, ProviderBatch, ShardLimits
from llm_optimizers.batching.provider import BatchStatus
from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.errors import ConfigurationError
from support import batch_collector
from support.batch_server import BatchServer, Script, batch_server

pytestmark = pytest.mark.loopback

MODEL = "gpt-4o-mini"
ANSWER = Usage(input_tokens=1_000, output_tokens=100)
SMALL = ShardLimits(max_requests=10, max_bytes=1_000_000)


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with batch_server() as server:
        yield server


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger()
    yield ledger
    ledger.close()


@pytest.fixture
def sdk(server: BatchServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.url, api_key="test", max_retries=0) as client:
        yield client


def body(question: str, model: str = MODEL) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": question}]}


def questions(count: int) -> list[dict[str, Any]]:
    return [body(f"question {n}") for n in range(count)]


@pytest.fixture
def batch(sdk: OpenAI, ledger: Ledger, tmp_path: Path) -> Iterator[ProviderBatch]:
    batch = ProviderBatch(
        OpenAIBatches(sdk, limits=SMALL),
        path=tmp_path / "batches.db",
        ledger=ledger,
        poll_s=0.001,
    )
    yield batch
    batch.close()


def check_ledger(ledger: Ledger, answers: int) -> None:
    """Check that there is one record per answer, at half of the standard price."""
    records = list(ledger.records())
    full = ledger.prices.cost(ANSWER, MODEL, provider="openai")
    assert len(records) == answers
    assert sum(record.cost or 0 for record in records) == full * answers / 2
    for record in records:
        (saving,) = record.savings
        assert (saving.strategy, saving.basis) == ("batching", "measured")
        assert saving.amount == full / 2
        assert record.tier == "batch"


def test_results_of_several_shuffled_shards_are_in_the_order_submitted(
    batch: ProviderBatch, server: BatchServer, ledger: Ledger
) -> None:
    seen: list[BatchStatus] = []
    job = batch.submit(questions(25))
    results = batch.collect(job, progress=seen.append)
    assert [r.text for r in results] == [f"answer to question {n}" for n in range(25)]
    assert [r.id for r in results] == [str(n) for n in range(1, 26)]
    assert server.sizes == [10, 10, 5]
    assert results[0].usage == ANSWER
    assert results[0].cost == ledger.prices.cost(ANSWER, MODEL, provider="openai", tier="batch")
    assert seen[-1].finished
    assert (seen[-1].answered, seen[-1].pending) == (25, 0)
    check_ledger(ledger, 25)
    batch.collect(job)
    check_ledger(ledger, 25)


def test_requests_of_several_models_keep_their_ids(
    batch: ProviderBatch, server: BatchServer
) -> None:
    lines = [
        {"custom_id": f"id {n}", "url": "/v1/chat/completions", "body": body(f"{n}", model)}
        for n, model in enumerate(["gpt-4o", MODEL] * 3)
    ]
    results = batch.collect(batch.submit(lines))
    assert [(r.id, r.text) for r in results] == [(f"id {n}", f"answer to {n}") for n in range(6)]
    assert server.sizes == [3, 3]


def test_only_the_missing_requests_of_an_expired_batch_are_sent_again(
    batch: ProviderBatch, server: BatchServer, ledger: Ledger
) -> None:
    server.scripts.extend([Script(state="expired", answers=0.7), Script(answers=0.34)])
    results = batch.collect(batch.submit(questions(10)))
    assert [r.text for r in results] == [f"answer to question {n}" for n in range(10)]
    assert server.sizes == [10, 3, 2]
    assert set(server.paid.values()) == {1}
    check_ledger(ledger, 10)


def test_failed_lines_are_retried_or_failed_by_their_error(
    batch: ProviderBatch, server: BatchServer, ledger: Ledger
) -> None:
    server.scripts.append(
        Script(errors={1: (429, "rate_limit_exceeded"), 3: (400, "invalid"), 5: (500, "oops")})
    )
    results = batch.collect(batch.submit(questions(8)))
    assert [r.state for r in results] == ["answered"] * 3 + ["failed"] + ["answered"] * 4
    assert (results[3].error_kind, results[3].error, results[3].cost) == (
        "invalid",
        "failure requested by the test",
        None,
    )
    assert server.sizes == [8, 2]
    check_ledger(ledger, 7)


def test_requests_that_stay_missing_fail_after_the_last_round(
    batch: ProviderBatch, server: BatchServer
) -> None:
    server.scripts.extend([Script(answers=0.5), Script(answers=0.5), Script(answers=0)])
    results = batch.collect(batch.submit(questions(8)))
    failed = [r for r in results if r.state == "failed"]
    assert len(failed) == 2
    assert failed[0].error_kind == "missing_completed"
    assert server.sizes == [8, 4, 2]
    assert set(server.paid.values()) == {1}


def test_requests_with_damaged_output_lines_are_sent_again(
    batch: ProviderBatch, server: BatchServer
) -> None:
    server.scripts.append(Script(damaged=2))
    results = batch.collect(batch.submit(questions(6)))
    assert {r.state for r in results} == {"answered"}
    assert server.sizes == [6, 2]


def test_line_separators_within_an_answer_do_not_split_its_line(
    batch: ProviderBatch, server: BatchServer
) -> None:
    question = "a\u2028b\u2029c\x85d\x1ee\x0cf"
    (result,) = batch.collect(batch.submit([body(question)]))
    assert result.text == f"answer to {question}"
    assert server.paid == {question: 1}


def test_a_file_refused_for_some_lines_fails_only_those(
    batch: ProviderBatch, server: BatchServer
) -> None:
    server.scripts.append(Script(faults={2: "invalid_json_line"}))
    results = batch.collect(batch.submit(questions(5)))
    assert [r.state for r in results] == ["answered"] * 2 + ["failed"] + ["answered"] * 2
    assert results[2].error == "invalid_json_line: no good"
    assert server.sizes == [5, 4]


def test_results_of_a_refused_batch_have_the_reason(
    batch: ProviderBatch, server: BatchServer
) -> None:
    server.scripts.extend([Script(code="model_not_found")] * 3)
    results = batch.collect(batch.submit(questions(2)))
    assert {(r.state, r.error) for r in results} == {("failed", "model_not_found: no")}


def test_at_the_token_limit_shards_wait_for_others_and_then_shrink(
    batch: ProviderBatch, server: BatchServer
) -> None:
    full = Script(code="token_limit_exceeded", polls=0)
    server.scripts.extend([Script(polls=2), full, full])
    results = batch.collect(batch.submit(questions(20)))
    assert {r.state for r in results} == {"answered"}
    assert set(server.paid.values()) == {1}
    # The second shard was refused next to the first, then alone, and then sent in halves.
    assert server.sizes == [10, 10, 10, 5, 5]


def test_the_users_limit_of_enqueued_tokens_is_kept(sdk: OpenAI, tmp_path: Path) -> None:
    open_tokens: list[int] = []
    batch = ProviderBatch(
        OpenAIBatches(sdk, limits=SMALL),
        path=tmp_path / "batches.db",
        poll_s=0.001,
        max_enqueued_tokens=200,
        count_tokens=lambda _: 10,
    )

    def check(status: BatchStatus) -> None:
        open_tokens.append(sum(s.requests * 10 for s in status.shards if s.state == "open"))

    assert len(batch.collect(batch.submit(questions(55)), progress=check)) == 55
    assert max(open_tokens) == 200
    batch.close()


def test_a_cancelled_batch_keeps_its_answers_and_sends_no_more(
    batch: ProviderBatch, server: BatchServer, ledger: Ledger
) -> None:
    server.scripts.extend([Script(polls=99)] * 2)
    job = batch.submit(questions(20))
    batch.cancel(job)
    results = batch.collect(job)
    states = [r.state for r in results]
    assert (states.count("answered"), states.count("cancelled")) == (10, 10)
    assert server.sizes == [10, 10]
    check_ledger(ledger, 10)


def test_a_batch_cancelled_elsewhere_is_completed(
    batch: ProviderBatch, server: BatchServer
) -> None:
    job = batch.submit(questions(4))
    server.cancel("batch_0")
    assert {r.state for r in batch.collect(job)} == {"answered"}
    assert server.sizes == [4, 2]
    assert set(server.paid.values()) == {1}


def test_outages_are_retried_and_a_lost_response_creates_no_second_batch(
    batch: ProviderBatch, server: BatchServer
) -> None:
    server.lose_next_answer = True
    job = batch.submit(questions(3))
    server.failures.extend([503, 429, 500])
    assert {r.state for r in batch.collect(job)} == {"answered"}
    assert server.sizes == [3]


def test_a_wrong_key_raises_and_loses_no_request(batch: ProviderBatch, server: BatchServer) -> None:
    server.failures.append(401)
    with pytest.raises(AuthenticationError):
        batch.submit(questions(3), id="mine")
    assert batch.status("mine").pending == 3
    assert {r.state for r in batch.collect("mine")} == {"answered"}
    assert server.sizes == [3]


def test_submitting_an_id_twice_gives_one_batch(batch: ProviderBatch, server: BatchServer) -> None:
    assert batch.submit(questions(3), id="mine") == batch.submit(questions(3), id="mine")
    batch.collect("mine")
    assert server.sizes == [3]
    assert batch.jobs() == ["mine"]
    with pytest.raises(ConfigurationError, match="other requests"):
        batch.submit(questions(2), id="mine")
    batch.forget("mine")
    with pytest.raises(ConfigurationError, match="has no batch 'mine'"):
        batch.collect("mine")


async def test_the_asynchronous_methods(batch: ProviderBatch, server: BatchServer) -> None:
    job = await batch.asubmit(questions(3))
    assert (await batch.astatus(job)).total == 3
    assert [r.state for r in await batch.acollect(job)] == ["answered"] * 3
    server.scripts.append(Script(polls=99))
    other = await batch.asubmit(questions(2))
    await batch.acancel(other)
    assert {r.state for r in await batch.acollect(other)} == {"answered", "cancelled"}


async def test_a_collect_that_times_out_says_how_many_requests_are_pending(
    batch: ProviderBatch, server: BatchServer
) -> None:
    server.scripts.append(Script(polls=10_000))
    job = batch.submit(questions(3))
    with pytest.raises(TimeoutError, match="3 requests of"):
        batch.collect(job, timeout=0.01)
    with pytest.raises(TimeoutError, match="3 requests of"):
        await batch.acollect(job, timeout=0.01)


def test_answers_that_a_ledger_could_not_keep_are_recorded_later(
    sdk: OpenAI, tmp_path: Path
) -> None:
    """As after a full disk and a kill: the ledger that held them in memory is gone."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"This is no database, whatever its name says. " * 100)

    def opened(ledger: Ledger) -> ProviderBatch:
        client = OpenAIBatches(sdk)
        return ProviderBatch(client, path=tmp_path / "batches.db", ledger=ledger, poll_s=0.001)

    with Ledger(path) as failing, closing(opened(failing)) as batch:
        job = batch.submit(questions(5))
        assert len(batch.collect(job)) == 5
        assert batch.status(job).finished
    assert failing.dropped == 5
    path.unlink()
    with Ledger(path) as ledger, closing(opened(ledger)) as batch:
        assert len(batch.collect(job)) == 5
        check_ledger(ledger, 5)


def test_five_thousand_requests_survive_two_kills(server: BatchServer, tmp_path: Path) -> None:
    """Killed right after submit, and again in the middle of collecting."""
    journal, ledger_path = tmp_path / "batches.db", tmp_path / "ledger.db"
    server.scripts.extend([Script(state="expired", answers=0.9), *[Script(polls=3)] * 4])

    def run(command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, batch_collector.__file__, server.url, journal, ledger_path, command],
            stdout=subprocess.PIPE,
            text=True,
        )

    submitter = run("submit")
    assert submitter.stdout is not None
    limit = time.monotonic() + 60
    while not server.batches:
        assert time.monotonic() < limit
        time.sleep(0.002)
    submitter.send_signal(signal.SIGKILL)
    submitter.wait()
    submitter.stdout.close()
    collector = run("collect")
    assert collector.stdout is not None
    assert collector.stdout.readline().startswith("answered")
    collector.send_signal(signal.SIGKILL)
    collector.wait()
    collector.stdout.close()
    collector = run("collect")
    printed, _ = collector.communicate(timeout=120)
    assert collector.returncode == 0
    assert printed.splitlines()[-1] == "finished 5000 answered 5000 in order True"
    assert len(server.paid) == 5_000
    assert set(server.paid.values()) == {1}
    ledger = Ledger(ledger_path)
    check_ledger(ledger, 5_000)
    summary = ledger.summary()
    assert summary.cost == ledger.prices.cost(ANSWER, MODEL, tier="batch") * 5_000
    ledger.close()
    assert isinstance(summary.cost, Decimal)
