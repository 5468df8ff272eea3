"""Nothing that may wait runs on an event loop: ledgers, files, embedders, policies, first loads.

Each test lets such work wait at a gate that the same loop opens later. If the loop itself waited
there, the gate would never open.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM

import langchain_llm_optimizers as langchain
import llama_index_llm_optimizers as llama_index
from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import Ledger
from llm_optimizers.evidence import SampleStore
from llm_optimizers.prompts import History, RequestOptimizer, Summariser
from llm_optimizers.prompts.context import ContextBudget
from llm_optimizers.routing import CascadePolicy, Choice, PolicyInput
from llm_optimizers.routing.cascade.checks import ModelAnswer
from llm_optimizers.routing.cascade.verifier import Verifier
from llm_optimizers.types import ChatRequest, Message
from tests.support.gates import Gate, writes_through

QUESTION = "How do I return worn boots?"
Ask = Callable[[str], Awaitable[object]]


def chat_model() -> Any:
    return FakeListChatModel(responses=["an answer"])


def with_handler(ledger: Ledger, ending: ExitStack) -> Ask:
    handler = langchain.CostCallbackHandler(ledger)
    handler.run_inline = True
    return lambda text: chat_model().ainvoke(text, {"callbacks": [handler]})


def with_events(ledger: Ledger, ending: ExitStack) -> Ask:
    ending.enter_context(llama_index.CostEventHandler(ledger))
    return MockLLM(max_tokens=5).acomplete


def cached(ledger: Ledger, ending: ExitStack) -> Ask:
    cache = langchain.HybridCache(ledger=ledger)
    return langchain.CachedChatModel(chat_model(), cache).ainvoke


def routed(ledger: Ledger, ending: ExitStack) -> Ask:
    return langchain.ChatModelRouter({"gpt-4o": chat_model()}, ledger=ledger).ainvoke


def routed_stream(ledger: Ledger, ending: ExitStack) -> Ask:
    router = langchain.ChatModelRouter({"gpt-4o": chat_model()}, ledger=ledger)

    async def read(text: str) -> None:
        async for _ in router.astream(text):
            pass

    return read


def routed_llm(ledger: Ledger, ending: ExitStack) -> Ask:
    return llama_index.RoutedLLM({"gpt-4o": MockLLM(max_tokens=5)}, ledger=ledger).acomplete


@pytest.mark.parametrize(
    "made", [with_handler, with_events, cached, routed, routed_stream, routed_llm]
)
async def test_a_ledger_that_waits(
    made: Callable[[Ledger, ExitStack], Ask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, path = Gate(), tmp_path / "costs.sqlite"
    writes_through(gate, path, monkeypatch)
    with ExitStack() as ending:
        ledger = Ledger(path)
        ask = made(ledger, ending)
        for _ in range(3):
            await ask(QUESTION)
        gate.open()
    await asyncio.to_thread(ledger.close)
    assert gate.used
    assert not gate.held_up
    assert ledger.dropped == 0


class SlowEmbeddings(Embeddings):
    """LangChain embeddings that only have synchronous methods."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def embed_query(self, text: str) -> list[float]:
        self.gate.pass_through()
        return [1.0, float(len(text))]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class AsyncOnlyInName(SlowEmbeddings):
    """Embeddings whose asynchronous method calls the synchronous one."""

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)


class SlowEmbedding(BaseEmbedding):
    """An embedding model as LlamaIndex's documentation writes it."""

    gate: Any

    def _get_query_embedding(self, query: str) -> list[float]:
        self.gate.pass_through()
        return [1.0, float(len(query))]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_query_embedding(text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


@pytest.mark.parametrize(
    "embeddings",
    [SlowEmbeddings, AsyncOnlyInName, lambda gate: SlowEmbedding(gate=gate)],
    ids=["sync", "async in name", "LlamaIndex"],
)
async def test_an_embedder_that_waits(embeddings: Callable[[Gate], object]) -> None:
    gate = Gate()
    cache: ResponseCache[str] = ResponseCache(embeddings=embeddings(gate))
    request = ChatRequest(messages=(Message(role="user", content=QUESTION),))
    looked_up = asyncio.create_task(cache.alookup(request))
    await asyncio.sleep(0)
    gate.open()
    assert await looked_up is None
    assert gate.used
    assert not gate.held_up


async def test_an_embedder_of_the_optimizer_that_waits() -> None:
    gate = Gate()
    embed = SlowEmbeddings(gate)
    optimizer = RequestOptimizer(
        context=ContextBudget(max_tokens=20),
        embed=lambda texts: _unit(embed.embed_documents(list(texts))),
    )
    optimizer.optimize(ChatRequest(messages=(Message(role="user", content="Hi"),), model="gpt-4o"))
    documents = "".join(f"<document>Shop {n} takes boots back.</document>\n" for n in range(30))
    text = f"<context>\n{documents}</context>\nWhich shop takes boots back?"
    request = ChatRequest(messages=(Message(role="user", content=text),), model="gpt-4o")
    shorter = asyncio.create_task(optimizer.aoptimize(request))
    await asyncio.sleep(0)
    gate.open()
    assert (await shorter).context
    assert gate.used
    assert not gate.held_up


def _unit(rows: Any) -> Any:
    import numpy as np

    found = np.asarray(rows, np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


user = contextvars.ContextVar("user", default="nobody")


class SlowPolicy:
    """A user's policy that waits, for a service say, and reads a context variable."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.users: list[str] = []

    def choose(self, policy_input: PolicyInput) -> Choice | None:
        self.gate.pass_through()
        self.users.append(user.get())
        return None


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
async def test_a_policy_that_waits(framework: str) -> None:
    gate = Gate()
    policy = SlowPolicy(gate)
    ask: Ask
    if framework == "langchain":
        ask = langchain.ChatModelRouter({"gpt-4o": chat_model()}, policy=policy).ainvoke
    else:
        ask = llama_index.RoutedLLM({"gpt-4o": MockLLM(max_tokens=5)}, policy=policy).acomplete
    user.set("u17")

    async def asked() -> None:
        await ask(QUESTION)

    task = asyncio.create_task(asked())
    await asyncio.sleep(0)
    gate.open()
    await task
    assert gate.used
    assert not gate.held_up
    assert policy.users == ["u17"]


async def test_a_policy_that_waits_now_and_then() -> None:
    """Quick decisions between slow ones do not bring the slow ones back to the loop."""

    class Changing:
        def choose(self, policy_input: PolicyInput) -> Choice | None:
            if "wait" in policy_input.request.question:
                gate.pass_through()
            return None

    gate = Gate()
    router = langchain.ChatModelRouter({"gpt-4o": chat_model()}, policy=Changing())
    for _ in range(3):
        gate.close()
        waiting = asyncio.create_task(router.ainvoke("wait"))
        asyncio.get_running_loop().call_later(0.05, gate.open)
        await waiting
        await router.ainvoke("do not")
    assert gate.used
    assert not gate.held_up


class SlowCheck:
    """A user's check of a draft that waits."""

    name = "slow"
    gate = True

    def __init__(self, gate: Gate) -> None:
        self.waits = gate

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float | None:
        self.waits.pass_through()
        return 1.0


async def test_a_check_of_a_cascade_that_waits() -> None:
    gate = Gate()
    policy = CascadePolicy(
        cheap="weak", strong="strong", verifier=Verifier(checks=(SlowCheck(gate),))
    )
    router = langchain.ChatModelRouter(
        {"weak": chat_model(), "strong": chat_model()}, policy=policy
    )
    task = asyncio.create_task(router.ainvoke(QUESTION))
    opening = asyncio.get_running_loop().call_later(0.1, gate.open)
    await task
    opening.cancel()
    assert gate.used
    assert not gate.held_up


async def test_a_file_of_samples_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, path = Gate(), tmp_path / "samples.sqlite"
    writes_through(gate, path, monkeypatch)
    traffic = SampleStore(path, rate=1.0)
    router = langchain.ChatModelRouter({"gpt-4o": chat_model()}, traffic=traffic)
    await router.awarm_up()
    await router.ainvoke(QUESTION)
    gate.open()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert [sample.prompt for sample in traffic.samples()] == [QUESTION]
    assert not gate.held_up
    traffic.close()


async def test_a_file_of_samples_that_waits_takes_one_thread_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, path = Gate(), tmp_path / "samples.sqlite"
    writes_through(gate, path, monkeypatch)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    store = SampleStore(path, rate=1.0)
    offered = [f"question {number}" for number in range(20)]
    for text in offered:
        assert store.offer(text)
    assert await asyncio.to_thread(lambda: "a thread is left") == "a thread is left"
    gate.open()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert [sample.prompt for sample in store.samples()] == offered
    assert not gate.held_up
    store.close()


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[list[Any]]:
    ledger = Ledger()
    cache = langchain.HybridCache(path=tmp_path / "cache.sqlite", ledger=ledger)
    router = langchain.ChatModelRouter({"gpt-4o": chat_model()}, ledger=ledger)
    own = llama_index.HybridCache()
    yield [
        ledger,
        cache,
        langchain.CachedChatModel(langchain.OptimizedChatModel(router), cache),
        langchain.PromptOptimizer("gpt-4o", context_tokens=100),
        langchain.CostCallbackHandler(ledger),
        langchain.BatchingChatModel(chat_model()),
        own,
        llama_index.CachedLLM(llama_index.PromptOptimizingLLM(MockLLM()), own),
        llama_index.RoutedLLM({"gpt-4o": MockLLM()}, ledger=ledger),
        llama_index.CostEventHandler(ledger),
        RequestOptimizer(context=ContextBudget(max_tokens=10)),
    ]
    cache.close()
    ledger.close()


async def test_every_component_can_be_warmed_up(everything: list[Any]) -> None:
    for component in everything:
        component.warm_up()
        await component.awarm_up()


def test_a_cache_that_fails_to_warm_up_still_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Embeddings):
        def embed_query(self, text: str) -> list[float]:
            raise OSError("no network")

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise OSError("no network")

    cache = langchain.HybridCache(Broken(), path=tmp_path / "cache.sqlite")
    cache.warm_up()
    assert "warm-up: OSError" in caplog.text
    cache.close()


def test_warming_up_an_optimizer_calls_no_model_and_fails_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def summariser(*_: object) -> str:
        raise AssertionError("a model was called")

    def embed(texts: Sequence[str]) -> Any:
        raise OSError("no network")

    history = History(summariser=Summariser(model="gpt-4o-mini", call=summariser))
    RequestOptimizer(max_tokens=1, history=history).warm_up("gpt-4o")
    assert not caplog.records
    RequestOptimizer(context=ContextBudget(max_tokens=10), embed=embed).warm_up()
    assert caplog.text.count("(OSError)") == 1


def test_a_model_with_a_warm_up_of_its_own_is_left_alone() -> None:
    class Own(FakeListChatModel):
        def warm_up(self, what: str) -> None:
            raise AssertionError(what)

    langchain.CachedChatModel(Own(responses=["an answer"])).warm_up()
