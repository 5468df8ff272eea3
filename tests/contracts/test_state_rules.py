"""What travels with a pickled component, what its copies share, and what raises."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.load import dumps
from langchain_core.runnables import ConfigurableField
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import BaseModel

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from llm_optimizers.batching import Coalescer, JobQueue, OpenAIBatches, ProviderBatch
from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.joint_class import joint_class
from llm_optimizers.prompts import History, RequestOptimizer, Summariser
from llm_optimizers.routing import Always, Router
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


class TestCopiesShare:
    def test_a_deep_copy_has_another_model_and_the_same_cache(self) -> None:
        model = lc.CachedChatModel(model=fake())
        answer_of_model(model, QUESTION)
        for copied in (copy.deepcopy(model), model.model_copy(deep=True)):
            assert copied.model is not model.model
            assert copied.cache is model.cache
            assert answer_of_model(copied, QUESTION)[1] is not None

    def test_a_deep_copied_llm_has_another_llm_and_the_same_cache(self) -> None:
        llm = li.CachedLLM(MockLLM())
        answer_of_llm(llm, QUESTION)
        for copied in (copy.deepcopy(llm), llm.model_copy(deep=True)):
            assert copied.llm is not llm.llm
            assert copied.cache is llm.cache
            assert answer_of_llm(copied, QUESTION)[1] is not None

    @pytest.mark.parametrize(
        "make",
        [
            lambda: li.RoutedLLM({"a": MockLLM(), "b": MockLLM()}, policy=Always("a")),
            lambda: li.PromptOptimizingLLM(MockLLM()),
            lambda: li.BatchedLLM(MockLLM()),
        ],
        ids=["routed", "optimizing", "batched"],
    )
    def test_other_llms_can_be_deep_copied(self, make: Callable[[], Any]) -> None:
        assert "Hello" in answer_of_llm(copy.deepcopy(make()), "Hello")[0]

    def test_a_router_keeps_its_health_its_policy_and_its_ledger(self) -> None:
        class LockedPolicy(Always):
            def __init__(self, model: str) -> None:
                super().__init__(model)
                self.lock = threading.Lock()

        policy, ledger = LockedPolicy("a"), Ledger()
        router = lc.ChatModelRouter(models={"a": fake()}, policy=policy, ledger=ledger)
        copied = copy.deepcopy(router)
        assert copied.models["a"] is not router.models["a"]
        assert copied.router is router.router
        assert copied.policy is policy
        assert copied.ledger is ledger

    def test_a_namespace_that_is_a_method_stays_that_of_the_same_session(self) -> None:
        session = travellers.Session("acme")
        for wrapper in (
            lc.BatchingChatModel(model=fake(), namespace=session.tenant),
            li.BatchedLLM(MockLLM(), namespace=session.tenant),
        ):
            copied = copy.deepcopy(wrapper)
            session.customer = "globex"
            assert copied.namespace() == "globex"

    def test_copies_that_langchain_makes_keep_the_cache(self) -> None:
        model = lc.CachedChatModel(model=fake())
        answer_of_model(model, QUESTION)
        field = ConfigurableField(id="tags")
        for copied in (
            model.with_config(tags=["t"]),
            model.configurable_fields(tags=field).with_config(configurable={"tags": ["u"]}),
        ):
            assert answer_of_model(copied, QUESTION)[1] is not None


def locked_store() -> SimpleKVStore:
    store = SimpleKVStore()
    store.lock = threading.Lock()
    return store


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
        lambda: lc.ChatModelRouter(models={"a": fake()}, policy=lambda _: None),
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
        lambda: ProviderBatch(OpenAIBatches(object()), path=":memory:"),
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


class TestLlamaIndex:
    def test_what_its_llm_loses_is_lost_in_the_copy_only(self) -> None:
        child = travellers.LockedLLM(client=threading.Lock())
        for wrapper in (
            li.CachedLLM(child),
            li.RoutedLLM([child]),
            li.PromptOptimizingLLM(child),
            li.BatchedLLM(child),
            li.CachedLLM(li.RoutedLLM([li.BatchedLLM(child)])),
        ):
            copied = again(wrapper)
            assert child.client is not None
            assert answer_of_llm(copied, "a")[0] == answer_of_llm(wrapper, "a")[0]

    def test_embeddings_of_a_cache_stay_whole(self) -> None:
        model = travellers.LockedEmbedding(embed_dim=3, client=threading.Lock())
        compressor = li.PromptCompressor(max_tokens=5, embed_model=model)
        again([li.HybridCache(model), compressor])
        assert model.client is not None
        assert again(compressor).embed_model.client is None

    def test_the_prompt_settings_and_managers_are_the_childs_again(self) -> None:
        llm = again(li.CachedLLM(FakeLLM(system_prompt="Be kind.")))
        assert llm.system_prompt == "Be kind."
        assert llm.callback_manager is llm.llm.callback_manager
        assert llm.messages_to_prompt is llm.llm.messages_to_prompt

    def test_a_store_that_cannot_be_pickled_is_left_behind(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = li.with_embeddings_cache(MockEmbedding(embed_dim=2), locked_store())
        model.get_text_embedding("a")
        copied = again(model)
        assert "begins with an empty store" in caplog.text
        assert model.embeddings_cache.get("a", "embeddings") is not None
        assert copied.embeddings_cache.get("a", "embeddings") is None
        assert copied.get_text_embedding("a") == model.get_text_embedding("a")

    def test_a_refusal_is_logged_since_a_component_around_it_drops_it_silently(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        llm = li.RoutedLLM([FakeLLM()], ledger=Ledger())
        pickle.dumps(KeywordExtractor(llm=llm))
        assert "ledger in memory cannot be pickled" in caplog.text
        assert answer_of_llm(llm, "a")[0].endswith("a")

    def test_a_conversation_travels_with_a_summary_that_is_being_written(self) -> None:
        entered, go_on = threading.Event(), threading.Event()

        def summarise(prompt: str) -> str:
            entered.set()
            go_on.wait(60)
            return "short"

        async def run() -> None:
            writer = Summariser(model=SMALL, call=summarise)
            block = li.HistoryBlock(history=History(keep=1, every=2, summariser=writer))
            messages = [ChatMessage(f"message {n} " + "of many words " * 200) for n in range(4)]
            putting = asyncio.create_task(block.aput(messages))
            await asyncio.to_thread(entered.wait, 60)
            copied = copy.deepcopy(block)
            go_on.set()
            await putting
            assert "short" in (await block.aget())
            assert "message 0" in (await copied.aget())
            await copied.aput(messages)
            assert "short" in (await copied.aget())
            plain = li.HistoryBlock(history=History(keep=1, every=2))
            await plain.aput(messages)
            assert await again(plain).aget() == await plain.aget()

        asyncio.run(run())

    def test_a_query_engine_is_copied_with_its_own_meter(self) -> None:
        engine = li.CachedQueryEngine(
            RetrieverQueryEngine.from_args(travellers.OneNode(), llm=MockLLM()), li.HybridCache()
        )
        first = str(engine.query(QUESTION))
        for copied in (copy.copy(engine), copy.deepcopy(engine), again(engine)):
            assert str(copied.query(QUESTION)) == first

    @pytest.mark.parametrize(
        "make",
        [
            li.CachedLLM,
            li.PromptOptimizingLLM,
            li.BatchedLLM,
            lambda child: li.RoutedLLM([child]),
        ],
        ids=["cached", "optimizing", "batched", "routed"],
    )
    def test_a_dict_describes_it_without_more_than_the_llms_own(
        self, make: Callable[[Any], Any]
    ) -> None:
        child = MockLLM(max_tokens=7)
        wrapper = make(child)
        answer_of_llm(wrapper, "a secret question")
        written = wrapper.to_json()
        assert json.dumps(child.to_dict()) in written
        assert "secret question" not in written
        with pytest.raises(ConfigurationError, match=r"from a dict.*pickle it"):
            type(wrapper).from_dict(wrapper.to_dict())
        with pytest.raises(ConfigurationError, match="from a dict"):
            type(wrapper).from_json(written)

    def test_the_hash_of_a_transformation_depends_on_what_the_wrapper_does(self) -> None:
        def hashed(**settings: Any) -> str:
            llm = li.PromptOptimizingLLM(MockLLM(), RequestOptimizer(**settings))
            return get_transformation_hash([TextNode(text="a")], KeywordExtractor(llm=llm))

        assert hashed() == hashed()
        assert hashed() != hashed(max_tokens=50)
        unreadable = {"embed": travellers.LockedEmbeddings().embed_documents}
        assert hashed(**unreadable) != hashed(**unreadable)


class Refund(BaseModel):
    days: int


class TestLangChain:
    @pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
    def test_a_structured_output_chain_travels(self, method: str) -> None:
        for model in (
            lc.CachedChatModel(model=travellers.Structured()),
            lc.ChatModelRouter(models={"a": travellers.Structured()}),
        ):
            chain = model.with_structured_output(Refund, method=method)
            for copied in (again(chain), copy.deepcopy(chain), again(copy.deepcopy(again(chain)))):
                assert copied.invoke("How many days?") == Refund(days=3)
                assert copied.invoke("How many days?") == Refund(days=3)

    def test_its_schema_still_decides_what_is_stored(self) -> None:
        model = lc.CachedChatModel(model=travellers.Structured())
        chain = model.with_structured_output(travellers.Strict, method="json_mode")
        for copied in (chain, again(chain), copy.deepcopy(chain)):
            with pytest.raises(OutputParserException):
                copied.invoke("How many days?")
            assert len(copied.first.bound.cache) == 0

    def test_bound_tools_travel(self) -> None:
        router = lc.ChatModelRouter(models={"a": travellers.Structured()})
        bound = again(router.bind_tools([Refund]))
        assert bound.invoke("How many days?").tool_calls[0]["args"] == {"days": 3}

    def test_its_json_shows_no_secret_that_the_models_own_hides(self) -> None:
        child = travellers.WithSecret(responses=["a"], token="s3cret")
        assert "s3cret" not in dumps(child)
        for model in (
            lc.CachedChatModel(model=child, cache=lc.HybridCache(namespace="s3cret")),
            lc.ChatModelRouter(models={"a": child}),
            lc.OptimizedChatModel(model=child),
            lc.BatchingChatModel(model=child, namespace="s3cret"),
        ):
            written = json.loads(dumps(model))
            assert written["type"] == "not_implemented"
            assert "WithSecret" in written["repr"]
            assert "s3cret" not in dumps(model)

    def test_a_handler_in_the_callbacks_of_a_copied_model_is_the_same(self) -> None:
        costs = lc.CostCallbackHandler()
        model = FakeListChatModel(responses=["a"], callbacks=[costs])
        copied = lc.CachedChatModel(model=model).model_copy(deep=True)
        answer_of_model(copied, "a")
        assert len(list(costs.ledger.records())) == 1


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
