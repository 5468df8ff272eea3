"""`batch_later` through a chain whose model is cached, routed and optimised, for tenants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from openai import OpenAI
from pydantic import BaseModel

from langchain_llm_optimizers import (
    BatchingChatModel,
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
    batch_later,
    collect_later,
)
from llm_optimizers.batching import ProviderBatch
from llm_optimizers.caching import fresh_answers, tenant
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing import CascadePolicy, KeywordPolicy
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.cascade.verifier import Judge, Verifier
from llm_optimizers.types import ChatRequest
from support.batch_server import BatchServer, batch_server
from support.openai_server import openai_server

pytestmark = pytest.mark.loopback


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


def chat(url: str, model: str = "gpt-4o-mini", **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=url, api_key="test", max_retries=0, model=model, **settings)


def bodies(server: BatchServer) -> list[dict[str, Any]]:
    """Return the bodies of all lines that were sent, whatever the order of their batches."""
    return [line["body"] for sent in server.batches.values() for line in server.lines(sent)]


def asked(server: BatchServer) -> list[str]:
    return [body["messages"][-1]["content"] for body in bodies(server)]


def ledger_of(batch: ProviderBatch) -> Ledger:
    ledger = batch._ledger  # noqa: SLF001 - the fixture made it
    assert ledger is not None
    return ledger


def test_a_cached_input_is_not_sent_and_new_answers_are_stored(
    batch: ProviderBatch, server: BatchServer
) -> None:
    chain = CachedChatModel(chat(server.url), HybridCache(semantic=False)) | StrOutputParser()
    first = collect_later(chain, batch_later(chain, ["q0", "q1"], batch), batch)
    again = batch_later(chain, ["q1", "q2", "q0"], batch)
    assert batch.status(again).total == 3
    assert collect_later(chain, again, batch) == [first[1], "answer to q2", first[0]]
    assert asked(server) == ["q0", "q1", "q2"]
    # And an ordinary call is served: the server has no endpoint for it.
    assert chain.invoke("q2") == "answer to q2"


def test_a_batch_of_hits_sends_nothing(batch: ProviderBatch, server: BatchServer) -> None:
    costs = CostCallbackHandler()
    with openai_server() as plain:
        model = CachedChatModel(chat(plain.url), HybridCache(), callbacks=[costs])
        expected = model.invoke("q0")
        id_ = batch_later(model, ["q0", "q0"], batch)
        messages = collect_later(model, id_, batch)
    assert not server.batches
    assert [m.text for m in messages] == [expected.text] * 2
    assert all(m.response_metadata["cache_hit"]["tier"] == "exact" for m in messages)
    assert all(m.usage_metadata["total_cost"] == 0 for m in messages)
    assert [r.hit_strategy for r in costs.ledger.records()] == [None, "cache.exact", "cache.exact"]
    assert all(result.cost == Decimal(0) for result in batch.results(id_))
    assert ledger_of(batch).summary().requests == 0


def test_only_the_submitters_tenant_is_served_and_gets_the_answers(
    batch: ProviderBatch, server: BatchServer
) -> None:
    model = CachedChatModel(chat(server.url), HybridCache(semantic=False))
    with tenant("acme"):
        id_ = batch_later(model, ["q0"], batch)
    with tenant("other"):
        collect_later(model, id_, batch)
        second = batch_later(model, ["q0"], batch)
    collect_later(model, second, batch)
    assert asked(server) == ["q0", "q0"]
    with tenant("acme"):
        third = batch_later(model, ["q0"], batch)
    assert collect_later(model, third, batch)[0].response_metadata["cache_hit"]["tier"] == "exact"
    assert len(server.batches) == 2


def test_another_process_stores_the_answers_once(server: BatchServer, tmp_path: Path) -> None:
    def opened() -> tuple[CachedChatModel, ProviderBatch]:
        cache = HybridCache(path=tmp_path / "cache.sqlite", semantic=False)
        sdk = OpenAI(base_url=server.url, api_key="test")
        batch = ProviderBatch(sdk, path=tmp_path / "b.db", poll_s=0.001)
        return CachedChatModel(chat(server.url), cache), batch

    model, batch = opened()
    id_ = batch_later(model, ["q0"], batch, id="mine")
    batch.close()
    other, collector = opened()
    collect_later(other, id_, collector)
    assert len(model.cache.responses) == 1
    other.cache.clear()
    # Collecting again brings nothing back that was deleted in the meantime.
    assert collect_later(other, id_, collector)[0].text == "answer to q0"
    assert len(other.cache.responses) == 0
    # Submitting again under the id is the same batch, though the cache answers differently now.
    assert batch_later(other, ["q0"], collector, id="mine") == "mine"
    with pytest.raises(ConfigurationError, match="other requests"):
        batch_later(other, ["q1"], collector, id="mine")
    with pytest.raises(ConfigurationError, match="other requests"):
        batch_later(other.bind(temperature=0.3), ["q0"], collector, id="mine")
    assert len(server.batches) == 1
    collector.close()


def test_a_fresh_answer_is_not_taken_from_the_cache(
    batch: ProviderBatch, server: BatchServer
) -> None:
    model = CachedChatModel(chat(server.url), HybridCache())
    collect_later(model, batch_later(model, ["q0"], batch), batch)
    with fresh_answers():
        batch_later(model, ["q0"], batch)
    assert asked(server) == ["q0", "q0"]


def test_answers_that_a_parser_refuses_are_not_stored(
    batch: ProviderBatch, server: BatchServer
) -> None:
    model = CachedChatModel(chat(server.url), HybridCache())
    chain = model | JsonOutputParser()
    (error,) = collect_later(chain, batch_later(chain, ["q0"], batch), batch)
    assert "Invalid json" in str(error)
    assert len(model.cache.responses) == 0


def test_each_input_goes_to_the_model_that_the_router_chooses(
    batch: ProviderBatch, server: BatchServer
) -> None:
    router = ChatModelRouter(
        models={"small": chat(server.url), "large": chat(server.url, "gpt-4o")},
        policy=KeywordPolicy(weak="small", strong="large", threshold=1),
    )
    prompt = ChatPromptTemplate([("human", "{question}")])
    chain = prompt | router
    inputs = [{"question": "prove and analyze this"}, {"question": "hello"}]
    messages = collect_later(chain, batch_later(chain, inputs, batch), batch)
    assert {b["messages"][0]["content"]: b["model"] for b in bodies(server)} == {
        "prove and analyze this": "gpt-4o",
        "hello": "gpt-4o-mini",
    }
    assert [m.response_metadata["llm_optimizers"]["routed"] for m in messages] == ["large", "small"]
    records = {record.model: record for record in ledger_of(batch).records()}
    assert {record.baseline_model for record in records.values()} == {"gpt-4o"}
    assert [s.strategy for s in records["gpt-4o-mini"].savings] == ["routing", "batching"]
    assert [s.strategy for s in records["gpt-4o"].savings] == ["batching"]


def test_a_cascade_sends_the_strong_model(batch: ProviderBatch, server: BatchServer) -> None:
    router = ChatModelRouter(
        models={"small": chat(server.url), "large": chat(server.url, "gpt-4o")},
        policy=CascadePolicy(cheap="small", strong="large"),
    )
    (message,) = collect_later(router, batch_later(router, ["q0"], batch), batch)
    assert message.text == "answer to q0"
    assert [body["model"] for body in bodies(server)] == ["gpt-4o"]


def test_a_stored_draft_that_a_cascade_refuses_is_no_answer(
    batch: ProviderBatch, server: BatchServer
) -> None:
    with openai_server(reply=lambda _: "I'm sorry, I can't help with that.") as plain:
        small = CachedChatModel(chat(plain.url), HybridCache())
        small.invoke("q0")
        router = ChatModelRouter(
            models={"small": small, "large": chat(server.url, "gpt-4o")},
            policy=CascadePolicy(cheap="small", strong="large"),
        )
        (message,) = collect_later(router, batch_later(router, ["q0"], batch), batch)
    assert small.cache.stats.hits == {"exact": 1}
    assert message.text == "answer to q0"
    assert message.response_metadata["llm_optimizers"]["routed"] == "large"


def test_a_hit_within_a_router_is_served(batch: ProviderBatch, server: BatchServer) -> None:
    with openai_server(reply=lambda _: "stored") as plain:
        large = CachedChatModel(chat(plain.url, "gpt-4o"), HybridCache())
        large.invoke("q0")
        router = ChatModelRouter(models={"small": chat(server.url), "large": large})
        (message,) = collect_later(router, batch_later(router, ["q0"], batch), batch)
    assert message.text == "stored"
    assert message.response_metadata["cache_hit"]["tier"] == "exact"
    assert not server.batches


def test_prompts_are_shortened_and_counted(batch: ProviderBatch, server: BatchServer) -> None:
    pages = "\n\n".join(
        f"Page {n}. The {word} is kept in room {n}, on the shelf by the door, behind the lamp."
        for n, word in enumerate(["apple", "bread", "candle", "drum", "engine", "flute"])
    )
    text = f"<context>\n{pages}\n</context>\nWhere is the candle kept?"
    model = OptimizedChatModel(chat(server.url), context_tokens=60)
    collect_later(model, batch_later(model, [text], batch), batch)
    (sent,) = asked(server)
    assert "candle" in sent
    assert len(sent) < len(text)
    (record,) = ledger_of(batch).records()
    assert record.baseline_usage is not None
    assert record.baseline_usage.input_tokens > record.usage.input_tokens
    assert [s.strategy for s in record.savings] == ["prompts", "batching"]


def test_metadata_and_tags_of_each_input_reach_the_ledger(
    batch: ProviderBatch, server: BatchServer
) -> None:
    model = CachedChatModel(chat(server.url), HybridCache(), metadata={"feature": "digest"})
    chain = model.with_config(tags=["nightly"])
    id_ = batch_later(
        chain,
        ["q0", "q1"],
        batch,
        config=[{"metadata": {"user": "a"}}, {"metadata": {"user": "b"}}],
    )
    collect_later(chain, id_, batch)
    found = [dict(record.tags) for record in ledger_of(batch).records()]
    assert found == [
        {"feature": "digest", "user": user, "tags": "nightly", "batch": id_} for user in "ab"
    ]


class City(BaseModel):
    """A city."""

    name: str


def test_structured_output_of_a_router_in_a_cache(
    batch: ProviderBatch, server: BatchServer
) -> None:
    router = ChatModelRouter([chat(server.url), chat(server.url, "gpt-4o")])
    model = CachedChatModel(router, HybridCache())
    chain = model.with_structured_output(City)
    id_ = batch_later(chain, ["Rome?"], batch)
    (body,) = bodies(server)
    assert body["model"] == "gpt-4o"
    assert body["response_format"]["json_schema"]["name"] == "City"
    (error,) = collect_later(chain, id_, batch)  # the server's answer is no JSON
    assert isinstance(error, Exception)
    assert len(model.cache.responses) == 0


@pytest.mark.parametrize("combine", [False, True])
def test_calls_do_not_wait_for_others_in_a_batching_model(
    combine: bool, batch: ProviderBatch, server: BatchServer
) -> None:
    inner = BatchingChatModel(chat(server.url), combine=combine, max_delay=60)
    model: BaseChatModel = CachedChatModel(inner, HybridCache())
    messages = collect_later(model, batch_later(model, ["q0", "q1"], batch), batch)
    assert [type(message) for message in messages] == [AIMessage, AIMessage]
    assert collect_later(model, batch_later(model, ["q0"], batch), batch)[0].text == "answer to q0"
    assert asked(server) == ["q0", "q1"]


def test_a_call_at_the_same_time_never_gets_a_captured_one(
    batch: ProviderBatch, server: BatchServer
) -> None:
    """A batch's call waits for nobody and nobody waits for it: its answer comes a day later."""
    model = CachedChatModel(chat(server.url), HybridCache())
    batch_later(model, ["q0"], batch)
    with openai_server(reply=lambda _: "now") as plain:
        now = CachedChatModel(chat(plain.url), model.cache)
        assert now.invoke("q0").text == "now"
    assert model.cache.stats.misses >= 1


class Trusting:
    """A user's check that accepts everything."""

    name = "trusting"
    gate = False

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float | None:
        return 1.0


@pytest.mark.parametrize(
    ("samples", "judge"), [((), None), (("other",), None), ((), Judge(model="other"))]
)
def test_a_draft_that_nobody_saw_passes_no_check(
    samples: Sequence[str], judge: Judge | None, batch: ProviderBatch, server: BatchServer
) -> None:
    """Neither the cheap model nor the one that helps to check it answers instead."""
    names = {"small": "gpt-4o-mini", "other": "gpt-4.1-mini", "large": "gpt-4o"}
    verifier = Verifier(checks=(Trusting(),), judge=judge)
    router = ChatModelRouter(
        models={name: chat(server.url, model) for name, model in names.items()},
        policy=CascadePolicy(cheap="small", strong="large", samples=samples, verifier=verifier),
    )
    batch_later(router, ["q0"], batch)
    assert [(body["model"], body["messages"][-1]["content"]) for body in bodies(server)] == [
        ("gpt-4o", "q0")
    ]


@pytest.mark.parametrize("where", ["model", "global", "in a router", "in a batching model"])
def test_the_cache_that_langchain_asks_is_asked(
    where: str, batch: ProviderBatch, server: BatchServer
) -> None:
    cache, costs = HybridCache(semantic=False), CostCallbackHandler()
    if where == "global":
        set_llm_cache(cache)
    with openai_server(reply=lambda _: "stored") as plain:

        def model(url: str) -> BaseChatModel:
            own = chat(url, cache=None if where == "global" else cache)
            if where == "in a router":
                return ChatModelRouter([own])
            return BatchingChatModel(own) if where == "in a batching model" else own

        try:
            asking = ChatOpenAI.model_copy(chat(plain.url), update={"cache": cache})
            asking.openai_api_base = server.url  # the same settings, so the same key
            asking.invoke("q0", {"callbacks": [costs]})
            chain = model(server.url)
            with tenant("acme"):
                batch_later(chain, ["q0"], batch)
            id_ = batch_later(chain, ["q0", "q1"], batch, config={"callbacks": [costs]})
            messages = collect_later(chain, id_, batch)
            again = batch_later(chain, ["q1"], batch)
        finally:
            set_llm_cache(None)
    assert [message.text for message in messages] == ["stored", "answer to q1"]
    assert messages[0].response_metadata["cache_hit"]["tier"] == "exact"
    assert [r.hit_strategy for r in costs.ledger.records()] == [None, "cache.exact"]
    # Another tenant asks the model; an answer behind a router is not stored.
    assert asked(server) == ["q0", "q1", *(["q1"] if where == "in a router" else [])]
    assert batch.status(again).total == 1
