"""The recorded provider, spoken to by the real SDK and by clients that send nonsense."""

from __future__ import annotations

import json

import httpx
import pytest
from openai import NotFoundError, OpenAI

from llm_optimizers.prompts import TokenCounter
from llm_optimizers.replay.answers import LoggedAnswers, RecordedAnswer
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.replay.provider import REPLAY_ID
from llm_optimizers.replay.server import recorded_server
from llm_optimizers.types import ChatRequest, Message

pytestmark = pytest.mark.loopback

ANSWER = "Thirty days, and  we pay\nfor the way back — ever so gladly, whatever the reason is."


def logged(name, text, **more):
    request = ChatRequest(messages=(Message(role="user", content=text),), model="gpt-4o")
    return LoggedRequest(id=name, request=request, **more)


LOG = [
    logged("a", "How long may I return it?", response=ANSWER),
    logged("b", "What is my balance?", answer_class="balance"),
    logged(
        "c", "Is it waterproof?", response="Yes.", cheap_response="No idea.", cheap_correct=False
    ),
    logged("d", "context: the lid is green\nWhat colour?", response="Green.", evidence="is green"),
]


@pytest.fixture(scope="module")
def counter():
    return TokenCounter()


@pytest.fixture
def answers(counter):
    return LoggedAnswers(LOG, counter, cheap_models=frozenset({"gpt-4o-mini"}), assumed_tokens=70)


@pytest.fixture
def url(answers):
    with recorded_server(answers) as url:
        yield url


@pytest.fixture
def client(url):
    with OpenAI(base_url=url, api_key="recorded", max_retries=0) as client:
        yield client


def user(text):
    return [{"role": "user", "content": text}]


def test_a_request_gets_the_logs_answer_and_true_token_counts(client, counter):
    got = client.chat.completions.create(model="gpt-4o", messages=user(LOG[0].request.question))
    assert got.choices[0].message.content == ANSWER
    assert got.choices[0].finish_reason == "stop"
    assert got.usage.prompt_tokens == counter.count_request(LOG[0].request).tokens
    assert got.usage.completion_tokens == counter.count(ANSWER, "gpt-4o").tokens
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens


def test_a_stream_adds_up_to_the_answer_and_ends_with_the_usage(client):
    asked = {"model": "gpt-4o", "messages": user(LOG[0].request.question)}
    whole = client.chat.completions.create(**asked)
    stream = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == ANSWER
    assert len(chunks) > 3
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in client.chat.completions.create(**asked, stream=True))


def test_a_request_is_found_by_id_when_its_messages_were_changed(client):
    got = client.chat.completions.create(
        model="gpt-4o", messages=user("shorter"), extra_headers={REPLAY_ID: "a"}
    )
    assert got.choices[0].message.content == ANSWER


def test_a_request_missing_from_the_log_is_not_found(client):
    with pytest.raises(NotFoundError, match="no such request"):
        client.chat.completions.create(model="gpt-4o", messages=user("Never asked"))


def test_a_missing_answer_is_a_placeholder_of_the_assumed_length(client):
    got = client.chat.completions.create(model="gpt-4o", messages=user(LOG[1].request.question))
    assert "no answer in the log" in got.choices[0].message.content
    assert got.usage.completion_tokens == 70


def test_a_cheap_model_gives_its_own_answer_where_it_was_wrong(client):
    def ask(model):
        got = client.chat.completions.create(model=model, messages=user("Is it waterproof?"))
        return got.choices[0].message.content

    assert (ask("gpt-4o"), ask("gpt-4o-mini")) == ("Yes.", "No idea.")


def test_a_request_that_lost_its_evidence_gets_no_answer(client):
    got = client.chat.completions.create(
        model="gpt-4o", messages=user("What colour?"), extra_headers={REPLAY_ID: "d"}
    )
    assert got.choices[0].message.content == "The context does not say."


def test_estimated_counts_are_remembered(client, answers):
    asked = user(LOG[0].request.question)
    client.chat.completions.create(model="gpt-4o", messages=asked)
    assert not answers.estimated
    client.chat.completions.create(model="mystery-9", messages=asked)
    assert answers.estimated


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b'"text"',
        b"{}",
        b'{"messages": "x"}',
        b'{"messages": [5]}',
        b'{"messages": [{"role": "boss", "content": "x"}]}',
        b'{"messages": [{"role": "assistant", "tool_calls": 5}]}',
        b"[" * 100_000,
    ],
)
def test_a_malformed_request_is_a_400_and_the_server_continues(url, body, client):
    got = httpx.post(f"{url}/chat/completions", content=body)
    assert got.status_code == 400
    assert got.json()["error"]["message"].startswith("bad request")
    assert client.chat.completions.create(model="gpt-4o", messages=user(LOG[0].request.question))


def test_unknown_paths_are_not_found(url):
    assert httpx.post(f"{url}/embeddings", json={}).status_code == 404
    assert httpx.get(f"{url}/models").status_code == 404
    assert httpx.get(f"{url}/files/file-99/content").status_code == 404
    assert httpx.get(f"{url}/batches/batch_99").status_code == 404


def test_files_and_batches_through_the_sdk(client):
    def line(name, question):
        body = {"model": "gpt-4o", "messages": user(question)}
        asked = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(asked)

    lines = [line("one", LOG[0].request.question), line("two", "Never asked")]
    file = client.files.create(file=("b.jsonl", "\n".join(lines).encode()), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"app": "x"},
    )
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    assert [each.id for each in client.batches.list()] == [batch.id]
    raw = client.files.content(batch.output_file_id).text
    rows = {row["custom_id"]: row["response"] for row in map(json.loads, raw.splitlines())}
    assert rows["one"]["body"]["choices"][0]["message"]["content"] == ANSWER
    assert rows["two"]["status_code"] == 404


def test_a_batch_line_is_found_by_metadata_and_billed_as_batch(answers):
    billed = []
    with (
        recorded_server(answers, billed.append) as url,
        OpenAI(base_url=url, api_key="x") as client,
    ):
        body = {"model": "gpt-4o", "messages": user("shorter"), "metadata": {REPLAY_ID: "a"}}
        asked = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
        file = client.files.create(file=("b.jsonl", json.dumps(asked).encode()), purpose="batch")
        client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        client.chat.completions.create(model="gpt-4o", messages=user("Is it waterproof?"))
    assert [(each.request_id, each.batch) for each in billed] == [("a", True), ("", False)]
    assert all(each.prompt_tokens and each.completion_tokens for each in billed)


def test_a_truncated_answer_has_finish_reason_length():
    class Cutting:
        def answer(self, request, request_id):
            return RecordedAnswer(text="half an", prompt_tokens=5, completion_tokens=2, cut=True)

    with recorded_server(Cutting()) as url, OpenAI(base_url=url, api_key="x") as client:
        asked = {"model": "gpt-4o", "messages": user("x")}
        whole = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("content", [b"x", b"[1]", b'{"custom_id": "a"}', b'{"body": {}}'])
def test_a_malformed_batch_is_a_400(client, url, content):
    file = client.files.create(file=("b.jsonl", content), purpose="batch")
    got = httpx.post(f"{url}/batches", json={"input_file_id": file.id})
    assert got.status_code == 400
    assert httpx.post(f"{url}/batches", json={"input_file_id": "file-99"}).status_code == 400
    assert httpx.post(f"{url}/files", content=b"no form").status_code == 400


def test_the_server_stops_and_frees_its_port(answers):
    with recorded_server(answers) as url:
        assert httpx.get(f"{url}/batches").json()["data"] == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models")
