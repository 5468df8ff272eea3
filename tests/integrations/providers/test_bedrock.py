"""What only Bedrock has: guardrails, service tiers, streams that break off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_aws import ChatBedrock
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage

from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler
from llama_index_llm_optimizers import CachedLLM, CostEventHandler
from llm_optimizers.costs import Ledger, PriceBook
from support.provider_servers import langchain_ways, llama_index_ways
from support.provider_servers.base import Answer, ProviderServer, Tokens, fixed, provider_server
from support.provider_servers.bedrock import BEDROCK, MODEL, BedrockHandler
from support.provider_servers.bedrock_invoke import InvokeHandler, chat_bedrock
from support.provider_servers.langchain_ways import CACHING, WRAPPERS, content_of

pytestmark = [pytest.mark.providers, pytest.mark.loopback]
QUESTION = "How is the weather in Ulm?"
CHAT = [ChatMessage(QUESTION)]


@contextmanager
def serving(**settings: Any) -> Iterator[ProviderServer]:
    """Run a server of which the handler has these attributes."""
    handler = type("Handler", (BedrockHandler,), settings)
    with provider_server(handler, fixed(Answer(text="It is sunny."))) as server:
        yield server


def test_a_stream_that_a_guardrail_may_have_cut_is_not_stored() -> None:
    with serving() as server:
        guarded = {"guardrail_identifier": "guard", "guardrail_version": "1"}
        llm = CachedLLM(BEDROCK.llama_index(server, **guarded))
        for _ in range(2):
            list(llm.stream_chat(CHAT))
        assert len(server.requests) == 2
        for _ in range(2):  # A whole answer says whether the guardrail intervened.
            llm.chat(CHAT)
        assert len(server.requests) == 3


@pytest.mark.parametrize("way", ["stream_chat", "astream_complete"])
async def test_a_stream_that_broke_off_is_not_stored(way: str) -> None:
    with serving(broken=True) as server:
        llm = CachedLLM(BEDROCK.llama_index(server))
        for _ in range(2):
            await llama_index_ways.ask(llm, way, QUESTION if "complete" in way else CHAT)
        assert len(server.requests) == 2
        model = CachedChatModel(model=BEDROCK.langchain(server))
        for _ in range(2):
            with pytest.raises(ConnectionError, match="messageStop"):
                list(model.stream(QUESTION))
        assert len(server.requests) == 4


@pytest.mark.parametrize("tier", ["flex", "priority", "default"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_tier_is_the_one_that_answered(tier: str, stream: bool) -> None:
    with serving(more={"serviceTier": {"type": tier}}) as server:
        costs = CostCallbackHandler(Ledger())
        way = "stream" if stream else "invoke"
        model = BEDROCK.langchain(server)
        await langchain_ways.ask(model, way, [HumanMessage(QUESTION)], {"callbacks": [costs]})
        with CostEventHandler(Ledger()) as other:
            way = "stream_chat" if stream else "chat"
            await llama_index_ways.ask(BEDROCK.llama_index(server), way, CHAT)
    (record,), (same,) = costs.ledger.records(), other.ledger.records()
    assert record.tier == same.tier == ("standard" if tier == "default" else tier)
    # The price list has only the usual prices of Bedrock.
    assert (record.cost is None) == (same.cost is None) == (tier != "default")


@pytest.fixture(scope="module")
def invoked() -> Iterator[tuple[ProviderServer, ChatBedrock]]:
    """A server of InvokeModel, with a model that talks to it."""
    with provider_server(InvokeHandler, fixed(Answer())) as server:
        yield server, chat_bedrock(server)


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_anthropics_own_format_at_bedrock(
    invoked: tuple[ProviderServer, ChatBedrock], wrapper: str, way: str
) -> None:
    server, model = invoked
    tokens = Tokens(fresh=11, output=70, read=100, written_5m=20)
    server.reset(fixed(Answer(text="It is sunny.", tokens=tokens)))
    bare = await langchain_ways.ask(model, way, [HumanMessage(QUESTION)])
    (expected,) = server.requests
    server.reset(server.reply)
    costs = CostCallbackHandler(Ledger())
    wrapped = WRAPPERS[wrapper](model)
    answers = [
        await langchain_ways.ask(wrapped, way, [HumanMessage(QUESTION)], {"callbacks": [costs]})
        for _ in range(2)
    ]
    hits = wrapper in ("cached", "all") or (wrapper in CACHING and "invoke" in way)
    assert server.requests == [expected] * (1 if hits else 2)
    for answer in answers:
        assert content_of(answer, ids=False) == content_of(bare, ids=False)
    first, *_ = costs.ledger.records()
    assert first.usage == tokens.usage
    assert first.cost == PriceBook().cost(tokens.usage, MODEL, provider="aws")


def test_counts_of_zero_are_no_counts() -> None:
    """LangChain sets them if the headers with the counts are missing: the call was not free."""
    handler = type("Handler", (InvokeHandler,), {"counted": False})
    with provider_server(handler, fixed(Answer(text="It is sunny."))) as server:
        costs = CostCallbackHandler(Ledger())
        answer = chat_bedrock(server).invoke(QUESTION, {"callbacks": [costs]})
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 0
    (record,) = costs.ledger.records()
    assert record.cost is None or (record.estimated and record.cost > 0)
