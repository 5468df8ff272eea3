"""What travels with a pickled component, what its copies share, and what raises."""

from __future__ import annotations

import copy
import pickle
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from llm_optimizers.batching import Coalescer, JobQueue, ProviderBatch
from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.joint_class import joint_class
from llm_optimizers.prompts import History, RequestOptimizer, Summariser
from llm_optimizers.routing import Router
from llm_optimizers.types import ChatRequest, Message
from support import travellers
from support.fakes import StreamingFake
from support.llama_fakes import FakeLLM
from support.travellers import answer_of_llm, answer_of_model, fake

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"
QUESTION, PARAPHRASE = "How long does a refund take?", "How long will my refund take?"


def again(component: Any) -> Any:
    return pickle.loads(pickle.dumps(component))


def asked(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model=SMALL)


class TestCaches:
    def test_one_in_memory_comes_back_empty_with_its_settings(self) -> None:
        cache: ResponseCache[str] = ResponseCache(
            semantic=False, ttl=5, namespace=travellers.acme, max_entries=2, clock=travellers.clock
        )
        for text in "abc":
            cache.update(asked(text), text)
        other = again(cache)
        assert (len(cache), len(other), other.tenant()) == (2, 0, cache.tenant())
        for text in (QUESTION, "b", "c"):
            other.update(asked(text), text)
        assert len(other) == 2
        assert other.lookup(asked(PARAPHRASE)) is None

    @pytest.mark.parametrize("namespace", [travellers.acme, travellers.remembered_acme, "acme"])
    def test_a_namespace_that_has_a_name_travels(self, namespace: Any) -> None:
        cache = lc.HybridCache(namespace=namespace)
        assert again(cache).responses.tenant() == cache.responses.tenant()

    def test_a_relative_path_means_the_same_file_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        cache: ResponseCache[str] = ResponseCache(path="answers.sqlite")
        ledger = Ledger("costs.sqlite")
        sent = pickle.dumps((cache, ledger))
        monkeypatch.chdir("/")
        other, other_ledger = pickle.loads(sent)
        other.update(asked("a"), "A")
        other_ledger.note("seen", {})
        assert cache.lookup(asked("a")) is not None
        assert len(list(ledger.notes("seen"))) == 1

    def test_copies_share_the_entries(self) -> None:
        cache: ResponseCache[str] = ResponseCache()
        cache.update(asked("a"), "A")
        for copied in (copy.copy(cache), copy.deepcopy(cache)):
            assert copied.lookup(asked("a")) is not None

    def test_two_models_with_one_cache_have_one_in_the_copy_too(self) -> None:
        cache = li.HybridCache()
        first, second = again([li.CachedLLM(FakeLLM(), cache), li.CachedLLM(FakeLLM(), cache)])
        assert first.cache is second.cache

    def test_a_class_with_arguments_of_its_own_is_created_with_them(self) -> None:
        made = again(travellers.OwnCache("acme", 3))
        assert (made.tenant(), made.lookup(asked("a"))) == (
            travellers.OwnCache("acme", 3).tenant(),
            None,
        )


class _LocalPolicy:
    """A policy that cannot be pickled."""

    def __init__(self) -> None:
        self.choose = lambda _: None


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a ledger in memory": (Ledger, r"in memory.*Ledger\(path"),
    "a router's ledger": (lambda: Router([SMALL], ledger=Ledger()), r"Router\.ledger: .*in memory"),
    "a router's clock": (lambda: Router([SMALL], clock=lambda: 0.0), r"Router\.clock .*<lambda>"),
    "a lambda namespace": (lambda: ResponseCache(namespace=lambda: "a"), "namespace .*<lambda>"),
    "a method as namespace": (
        lambda: ResponseCache(namespace=travellers.Session("a").tenant),
        "namespace .*method tenant of a Session",
    ),
    "an object as namespace": (
        lambda: ResponseCache(namespace=travellers.Customer()),
        "namespace is a Customer",
    ),
    "a namespace made of parts": (
        lambda: lc.HybridCache(namespace=partial(getattr, travellers.Session("a"), "customer")),
        "namespace is a partial",
    ),
    "embeddings": (
        lambda: ResponseCache(embeddings=travellers.LockedEmbeddings()),
        r"ResponseCache\.embeddings .*LockedEmbeddings.*lock",
    ),
    "a report": (lambda: RequestOptimizer(report=lambda _: None), r"RequestOptimizer\.report"),
    "a summariser": (
        lambda: History(summariser=Summariser(model=SMALL, call=lambda _: "")),
        r"History\.summariser",
    ),
    "LangChain's model": (
        lambda: lc.CachedChatModel(model=travellers.LockedChatModel.locked()),
        r"CachedChatModel\.model .*LockedChatModel.*lock",
    ),
    "LangChain's cache": (
        lambda: lc.CachedChatModel(model=fake(), cache=lc.HybridCache(namespace=lambda: "a")),
        r"CachedChatModel\.cache: namespace .*<lambda>",
    ),
    "LangChain's policy": (
        lambda: lc.ChatModelRouter(models={"a": fake()}, policy=_LocalPolicy()),
        r"ChatModelRouter\.policy",
    ),
    "LangChain's batches": (
        lambda: lc.BatchingChatModel(model=fake(), namespace=lambda: "a"),
        "namespace .*<lambda>",
    ),
    "LangChain's handler": (lc.CostCallbackHandler, r"CostCallbackHandler\.ledger: .*in memory"),
    "LangChain's passages": (
        lambda: lc.PassageCompressor(max_tokens=1, report=lambda _: None),
        r"PassageCompressor\.report",
    ),
    "LlamaIndex's LLM": (
        lambda: li.CachedLLM(travellers.UnpicklableLLM()),
        r"CachedLLM\.llm .*UnpicklableLLM.*no pickling here",
    ),
    "LlamaIndex's router": (
        lambda: li.RoutedLLM([FakeLLM()], ledger=Ledger()),
        r"RoutedLLM\.router: Router\.ledger: .*in memory",
    ),
    "LlamaIndex's context": (
        lambda: li.RoutedLLM([FakeLLM()], context=lambda: None),
        r"RoutedLLM\.context",
    ),
    "LlamaIndex's optimizer": (
        lambda: li.PromptOptimizingLLM(FakeLLM(), RequestOptimizer(report=lambda _: None)),
        r"PromptOptimizingLLM\.optimizer: RequestOptimizer\.report",
    ),
    "LlamaIndex's batches": (
        lambda: li.BatchedLLM(FakeLLM(), namespace=travellers.Session("a").tenant),
        "namespace .*method tenant of a Session",
    ),
    "a function of the LLM's own": (
        lambda: li.CachedLLM(FakeLLM(messages_to_prompt=lambda messages: str(messages))),
        r"FakeLLM\.messages_to_prompt .*<lambda>",
    ),
    "LlamaIndex's handler": (li.CostEventHandler, r"CostEventHandler\.ledger: .*in memory"),
    "LlamaIndex's nodes": (
        lambda: li.PromptCompressor(max_tokens=1, report=lambda _: None),
        r"PromptCompressor\.report",
    ),
    "a queue": (lambda: JobQueue(lambda job: None), "JobQueue.*in each process"),
    "a provider's batch": (
        lambda: ProviderBatch(OpenAI(api_key="x"), path=Path(tempfile.mkdtemp()) / "b.sqlite"),
        "ProviderBatch.*client of its own",
    ),
    "a coalescer": (lambda: Coalescer(lambda items: items), "Coalescer.*in each process"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_travel_raises_by_name_and_leaves_the_original_whole(name: str) -> None:
    make, words = REFUSED[name]
    component = make()
    held = dict(vars(component))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=words):
            pickle.dumps(component)
    assert vars(component) == held


class TestOtherPicklers:
    def test_cloudpickle_takes_a_function_without_a_name(self) -> None:
        cloudpickle = pytest.importorskip("cloudpickle")
        router = Router([SMALL], clock=lambda: 5.0)
        assert cloudpickle.loads(cloudpickle.dumps(router)).clock() == 5.0

    def test_but_not_what_llama_index_would_leave_out(self) -> None:
        cloudpickle = pytest.importorskip("cloudpickle")
        llm = li.RoutedLLM({"a": FakeLLM(), "b": FakeLLM(completion_to_prompt=lambda text: text)})
        for wrapper in (llm, li.CachedLLM(llm)):
            with pytest.raises(ConfigurationError, match=r"LLM\.completion_to_prompt"):
                cloudpickle.dumps(wrapper)
            with pytest.raises(ConfigurationError, match=r"LLM\.completion_to_prompt"):
                pickle.dumps(wrapper)

    def test_but_no_namespace_that_would_name_the_tenant_of_now(self) -> None:
        cloudpickle = pytest.importorskip("cloudpickle")
        with pytest.raises(ConfigurationError, match="namespace"):
            cloudpickle.dumps(ResponseCache(namespace=lambda: "a"))


class PosingModel(lc.CachedChatModel):
    """A wrapper that is found as the class of its model."""

    @property
    def __class__(self) -> type[Any]:
        return joint_class(type(self), StreamingFake)


class PosingLLM(li.CachedLLM):
    """The same for LlamaIndex."""

    @property
    def __class__(self) -> type[Any]:
        return joint_class(type(self), FakeLLM)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_wrapper_found_as_the_class_of_its_model_can_be_pickled(protocol: int) -> None:
    model, llm = PosingModel(model=fake()), PosingLLM(FakeLLM())
    assert isinstance(model, StreamingFake)
    assert isinstance(llm, FakeLLM)
    for wrapper in (model, llm):
        assert type(pickle.loads(pickle.dumps(wrapper, protocol))) is type(wrapper)


def test_pickling_while_eight_threads_call(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "costs.sqlite")
    models = [
        lc.CachedChatModel(
            model=lc.OptimizedChatModel(model=fake()),
            cache=lc.HybridCache(path=tmp_path / "answers.sqlite", ledger=ledger),
        ),
        lc.ChatModelRouter(models={"a": fake(), "b": fake()}, ledger=ledger),
    ]
    llms = [
        li.CachedLLM(FakeLLM(delay=0.002), li.HybridCache()),
        li.RoutedLLM([FakeLLM(), FakeLLM(model=LARGE)], ledger=ledger),
        li.PromptOptimizingLLM(FakeLLM()),
        li.BatchedLLM(FakeLLM(), combine=True),
    ]
    stop = threading.Event()

    def call(number: int) -> int:
        made = 0
        while not stop.is_set():
            for model in models:
                answer_of_model(model, f"question {number} {made}")
            for llm in llms:
                answer_of_llm(llm, f"question {number} {made}")
            made += 1
        return made

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(call, number) for number in range(8)]
        try:
            copies = [again([*models, *llms]) for _ in range(5)][-1]
        finally:
            stop.set()
        assert all(each.result() for each in calls)
    assert [answer_of_model(model, "a")[0] for model in copies[:2]] == ["a", "a"]
    assert all(answer_of_llm(llm, "a")[0].endswith("a") for llm in copies[2:])
