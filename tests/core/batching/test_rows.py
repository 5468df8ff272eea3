"""AskRows: rows with results, in this process and in others."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from openai import OpenAI

from llm_optimizers.batching import AskRows
from llm_optimizers.costs import ModelPrice, PriceBook
from llm_optimizers.errors import ConfigurationError
from support.openai_server import FakeOpenAI, last_text, openai_server

pytestmark = pytest.mark.loopback

PRICES = {"mine": ModelPrice(input=Decimal(1), output=Decimal(2))}


CLIENTS: list[OpenAI] = []


def create_client(url: str) -> OpenAI:
    CLIENTS.append(OpenAI(base_url=url, api_key="test", max_retries=0))
    return CLIENTS[-1]


def reply(body: dict[str, Any]) -> str:
    return f"{body['messages'][0]['content']} > {last_text(body)}"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with openai_server(reply=reply) as server:
        yield server


def asker(server: FakeOpenAI, **settings: Any) -> AskRows:
    client = partial(OpenAI, base_url=server.url, api_key="test", max_retries=0)
    return AskRows("mine", client=client, prices=PRICES, **settings)


def test_rows_keep_their_order_and_get_result_usage_and_cost(server: FakeOpenAI) -> None:
    ask = asker(server, system="Be brief.", params={"temperature": 0})
    rows = ask([{"id": n, "prompt": f"q{n}"} for n in range(20)])
    assert [(row["id"], row["result"]) for row in rows] == [
        (n, f"Be brief. > q{n}") for n in range(20)
    ]
    assert rows[0]["usage"]["input_tokens"] == 10
    assert Decimal(rows[0]["cost"]) == Decimal("0.00002")
    assert rows[0]["error"] is None
    assert server.requests[0]["temperature"] == 0
    assert ask([]) == []
    ask.close()


def test_a_row_that_fails_does_not_affect_the_others(server: FakeOpenAI) -> None:
    server.failures.append(400)
    ask = asker(server, concurrency=1)
    messages = [{"role": "user", "content": "whole"}]
    first, second, third = ask([{"prompt": "a"}, {"prompt": None}, {"messages": messages}])
    assert first["result"] is None
    assert first["error"].startswith("BadRequestError")
    assert (first["usage"]["input_tokens"], first["cost"]) == (0, None)
    assert "no text under 'prompt'" in second["error"]
    assert third["result"] == "whole > whole"
    ask.close()


def test_an_unknown_model_is_unpriced(server: FakeOpenAI) -> None:
    client = partial(OpenAI, base_url=server.url, api_key="test")
    ask = AskRows("unlisted", client=client)
    assert ask([{"prompt": "a"}])[0]["cost"] is None
    ask.close()


def test_it_can_be_sent_to_other_processes(server: FakeOpenAI) -> None:
    ask = asker(server)
    ask([{"prompt": "warm"}])
    ask.close()
    again = pickle.loads(pickle.dumps(ask))
    chunks = [[{"prompt": f"{c}-{n}"} for n in range(5)] for c in range(4)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        answers = pool.map(again, chunks)
    assert [row["error"] for rows in answers for row in rows] == [None] * 20
    assert [row["result"] for rows in answers for row in rows] == [
        f"{c}-{n} > {c}-{n}" for c in range(4) for n in range(5)
    ]


def test_it_creates_one_client_in_a_process_however_often_it_is_sent(server: FakeOpenAI) -> None:
    sent = pickle.dumps(AskRows("mine", client=partial(create_client, server.url)))
    created = len(CLIENTS)
    first = pickle.loads(sent)
    first([{"prompt": "a"}])
    again = pickle.loads(sent)
    again([{"prompt": "b"}])
    assert len(CLIENTS) == created + 1
    assert pickle.loads(pickle.dumps(again)) is first
    other = pickle.loads(pickle.dumps(asker(server)))
    assert other is not first
    first.close()


def test_the_price_list_is_loaded_before_the_first_call(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls_before: list[int] = []
    warm_up = PriceBook.warm_up

    def counting(self: PriceBook) -> None:
        calls_before.append(len(server.requests))
        warm_up(self)

    monkeypatch.setattr(PriceBook, "warm_up", counting)
    ask = asker(server)
    ask([{"prompt": "a"}])
    assert calls_before == [0]
    ask.close()


def test_an_answer_without_text_is_an_error_with_a_cost(server: FakeOpenAI) -> None:
    server.reply = lambda body: {"content": None, "refusal": "I will not."}
    ask = asker(server)
    (row,) = ask([{"prompt": "a"}])
    assert (row["result"], row["error"]) == (None, "ItemError: the answer has no text: I will not.")
    assert (row["usage"]["input_tokens"], row["cost"]) == (10, "0.000020")
    ask.close()


def test_an_answer_without_usage_has_no_cost(server: FakeOpenAI) -> None:
    server.usage = {"prompt_tokens": 0, "completion_tokens": 0}
    ask = asker(server)
    (row,) = ask([{"prompt": "a"}])
    assert (row["usage"]["input_tokens"], row["cost"]) == (0, None)
    ask.close()


def test_what_the_provider_says_it_billed_is_the_cost(server: FakeOpenAI) -> None:
    server.usage = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.00123}
    ask = asker(server)
    (row,) = ask([{"prompt": "a"}])
    assert row["cost"] == "0.00123"
    ask.close()


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        AskRows("x", concurrency=0)
