"""The real ChatOpenAI: combined prompts over HTTP, and a chain through the batch API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from openai import BadRequestError, OpenAI
from pydantic import BaseModel

from langchain_llm_optimizers import (
    BatchingChatModel,
    CostCallbackHandler,
    batch_later,
    collect_later,
)
from llm_optimizers.batching import BatchResult, ProviderBatch
from llm_optimizers.costs import Ledger, Usage
from llm_optimizers.errors import ConfigurationError, ItemError
from support.batch_server import BatchServer, Script, batch_server
from support.openai_server import FakeOpenAI, last_text, openai_server

pytestmark = pytest.mark.loopback

WAIT = 60.0
PROMPT = ChatPromptTemplate([("system", "Be brief."), ("human", "{question}")])


def reply(body: dict[str, Any]) -> str:
    if "response_format" not in body:
        return f"answer to {last_text(body)}"
    asked = json.loads(last_text(body).split("\n\n")[1])
    answers = [{"id": q["id"], "answer": f"answer to {q['request']}"} for q in asked]
    return json.dumps({"answers": answers[::-1]})


def chat(url: str, **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=url, api_key="test", max_retries=0, **settings)


def test_questions_share_a_prompt_under_a_strict_schema() -> None:
    with openai_server(reply=reply) as server:
        model = BatchingChatModel(
            model=chat(server.url, model="gpt-4o-mini", max_tokens=50),
            combine=True,
            max_delay=WAIT,
        )
        chain = PROMPT | model | StrOutputParser()
        answers = chain.batch([{"question": f"q{n}"} for n in range(12)])
        assert answers == [f"answer to q{n}" for n in range(12)]
        assert len(server.requests) == 2
        body = server.requests[0]
        assert body["messages"][0] == {"content": "Be brief.", "role": "system"}
        schema = body["response_format"]["json_schema"]
        assert schema["schema"]["properties"]["answers"]["items"]["additionalProperties"] is False
        assert body.get("max_tokens", body.get("max_completion_tokens")) == 412
        model.close()


def test_a_single_question_keeps_the_models_whole_message() -> None:
    with openai_server(reply=reply) as server:
        child = chat(server.url, model="gpt-4o-mini")
        model = BatchingChatModel(model=child, combine=True)
        answer = model.invoke("q")
        plain = child.invoke("q")
        assert answer.response_metadata.keys() == plain.response_metadata.keys()
        assert answer.usage_metadata == plain.usage_metadata
        model.close()


def account(server: FakeOpenAI) -> tuple[list[Any], Ledger]:
    ledger = Ledger()
    child = chat(server.url, model="gpt-4o-mini")
    model = BatchingChatModel(model=child, combine=True, max_size=3, max_delay=WAIT)
    config: Any = {"callbacks": [CostCallbackHandler(ledger)]}
    answers = model.batch([f"q{n}" for n in range(3)], config, return_exceptions=True)
    model.close()
    return answers, ledger


def billed(server: FakeOpenAI, ledger: Ledger) -> bool:
    spent = sum(record.usage for record in ledger.records())
    return spent == sum(Usage.from_openai(usage) for usage in server.billed)


def test_the_share_of_a_question_whose_retry_fails_is_recorded() -> None:
    def without_one(body: dict[str, Any]) -> str:
        answers = json.loads(reply(body))["answers"]
        server.failures.append(400)
        return json.dumps({"answers": [each for each in answers if each["id"] != "q2"]})

    with openai_server(reply=without_one) as server:
        answers, ledger = account(server)
        assert [isinstance(answer, BadRequestError) for answer in answers] == [False, True, False]
        assert len(server.requests) == 2
        assert Counter(record.status for record in ledger.records()) == {"ok": 2, "error": 1}
        assert billed(server, ledger)
        failed = next(record for record in ledger.records() if record.status == "error")
        assert failed.cost is not None
        assert failed.cost > 0
        assert failed.savings == ()


def test_a_cut_off_combined_answer_is_read_in_part_and_billed() -> None:
    def cut(body: dict[str, Any]) -> str:
        whole = reply(body)
        server.finish_reason = "length" if "response_format" in body else "stop"
        return whole[: whole.rindex("{") + 9] if "response_format" in body else whole

    with openai_server(reply=cut) as server:
        answers, ledger = account(server)
        assert [answer.text for answer in answers] == [f"answer to q{n}" for n in range(3)]
        assert len(server.requests) == 2
        assert billed(server, ledger)


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with batch_server() as server:
        yield server


@pytest.fixture
def batch(server: BatchServer, tmp_path: Path) -> Iterator[ProviderBatch]:
    with OpenAI(base_url=server.url, api_key="test") as sdk:
        batch = ProviderBatch(sdk, path=tmp_path / "b.db", ledger=Ledger(), poll_s=0.001)
        yield batch
        batch.close()


def lines(server: BatchServer) -> list[dict[str, Any]]:
    (sent,) = server.batches.values()
    return [line["body"] for line in server.lines(sent)]


def test_a_chain_goes_through_the_batch_api(batch: ProviderBatch, server: BatchServer) -> None:
    model = chat(server.url, model="gpt-4o-mini", temperature=0.5)
    chain = PROMPT | model | StrOutputParser() | RunnableLambda(str.upper)
    job = batch_later(chain, [{"question": f"q{n}"} for n in range(5)], batch)
    assert collect_later(chain, job, batch) == [f"ANSWER TO Q{n}" for n in range(5)]
    body = lines(server)[0]
    assert body["messages"][0]["role"] == "system"
    assert (body["model"], body["temperature"], "stream" in body) == ("gpt-4o-mini", 0.5, False)


def test_a_wrapped_model_with_tools_goes_through_the_batch_api(
    batch: ProviderBatch, server: BatchServer
) -> None:
    def magic(number: int) -> int:
        """Do magic."""
        return number

    model = BatchingChatModel(model=chat(server.url, model="gpt-4o-mini"))
    bound = model.bind_tools([magic])
    job = batch_later(bound, ["q0", "q1"], batch, id="mine")
    answers = collect_later(bound, job, batch)
    assert [type(answer) for answer in answers] == [AIMessage, AIMessage]
    assert answers[1].text == "answer to q1"
    assert answers[0].usage_metadata["input_tokens"] == 1_000
    assert lines(server)[0]["tools"][0]["function"]["name"] == "magic"


class City(BaseModel):
    """A city."""

    name: str
    people: int | None = None


class Collected:
    """Run a batch of one request."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    def collect(self, _: str, **__: Any) -> list[BatchResult]:
        return [BatchResult(id="1", state="answered", body=self.body)]


CITY = '{"name": "Rome", "people": 3}'


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [City, City.model_json_schema()])
def test_structured_output_is_the_same_as_in_an_ordinary_call(
    batch: ProviderBatch, server: BatchServer, method: str, schema: Any, wrapped: bool
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "City", "arguments": CITY}}
    spoken = {"content": CITY} if method != "function_calling" else {"tool_calls": [call]}
    with openai_server(reply=lambda body: spoken) as plain:
        model: BaseChatModel = chat(plain.url, model="gpt-4o-mini")
        if wrapped:
            model = BatchingChatModel(model=model)
        chain = PROMPT | model.with_structured_output(schema, method=method)
        expected = chain.invoke({"question": "q"})
        (usual,) = plain.requests
        job = batch_later(chain, [{"question": "q"}], batch)
        (body,) = lines(server)
        assert {**body, "stream": None} == {**usual, "stream": None}
        answer = Collected(plain.completion(body, 1))
        assert collect_later(chain, job, answer) == [expected]
        assert batch.status(job).total == 1


def test_a_missing_or_refused_structured_answer_is_its_inputs_error() -> None:
    chain = chat("http://x", model="gpt-4o-mini").with_structured_output(City)

    def outcome(**message: Any) -> Any:
        body = FakeOpenAI(reply=lambda _: message).completion({"model": "gpt-4o-mini"}, 1)
        return collect_later(chain, "job", Collected(body))[0]

    assert "Invalid JSON" in str(outcome(content="Rome, I think"))
    assert "I will not" in str(outcome(refusal="I will not"))


def test_a_failed_inputs_result_is_its_exception(batch: ProviderBatch, server: BatchServer) -> None:
    server.scripts.append(Script(errors={1: (400, "bad_request")}))
    chain = chat(server.url, model="gpt-4o-mini") | JsonOutputParser()
    job = batch_later(chain, ["q0", "q1"], batch)
    first, second = collect_later(chain, job, batch)
    assert "Invalid json" in str(first)
    assert isinstance(second, ItemError)
    assert second.kind == "bad_request"


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        (RunnableLambda(str), "0 chat models"),
        (FakeListChatModel(responses=["a"]) | FakeListChatModel(responses=["b"]), "2 chat models"),
        (FakeListChatModel(responses=["a"]), "FakeListChatModel cannot be sent"),
        (ChatOpenAI(model="gpt-5", api_key="x", use_responses_api=True), "use_responses_api=False"),
    ],
)
def test_chains_that_cannot_be_sent_are_rejected(
    chain: BaseChatModel, reason: str, batch: ProviderBatch
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        batch_later(chain, ["q"], batch)
