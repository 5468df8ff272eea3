"""Pickled and copied components: settings travel, the original stays whole, losses are errors."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware, RouterMiddleware
from llm_optimizers.batching import GroupLimits
from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import Ledger, ModelPrice, PriceBook, Usage
from llm_optimizers.embeddings import CachedEmbedder, FrameworkEmbedder, StaticEmbedder
from llm_optimizers.evidence.drift import DriftAlarm
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.failures import WarningLog
from llm_optimizers.prompts import (
    ContextBudget,
    ExampleSelector,
    History,
    OutputLimits,
    Passage,
    PassageSelector,
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.routing import (
    Always,
    ByTask,
    CascadePolicy,
    Experiment,
    FastEnough,
    FirstOf,
    ForTier,
    Health,
    KeywordPolicy,
    Router,
    RoutingContext,
    Weighted,
)
from llm_optimizers.types import ChatRequest, Message
from support import travellers

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"
CONTEXT = "<context>\n" + "\n\n".join(f"Rule {n} is about {n} cats." for n in range(90))


def asked(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model=SMALL)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A component and what can be seen of it: the same of the original and of every copy."""

    name: str
    make: Callable[[Path], Any]
    use: Callable[[Any], Any]


def routed_by(policy: Any) -> Callable[[Path], Router]:
    return lambda _: Router([SMALL, LARGE], policy=policy, tiers={}, clock=travellers.clock)


def chosen(router: Router) -> tuple[str, str]:
    context = RoutingContext(tier="gold", task="facts", user="u")
    choice = router.decide(asked("Prove it step by step"), context).choice
    return choice.model, choice.reason


def limits(_: Path) -> OutputLimits:
    learned = OutputLimits(enough=2)
    learned.observe("facts", 100)
    learned.observe("facts", 200)
    return learned


def stored(path: Path) -> ResponseCache[str]:
    cache: ResponseCache[str] = ResponseCache(path=path / "answers.sqlite", semantic=False)
    cache.update(asked("kept?"), "yes")
    return cache


def found(cache: ResponseCache[str]) -> list[str | None]:
    hits = [cache.lookup(asked(text)) for text in ("kept?", "is it kept?")]
    return [None if hit is None else hit.value for hit in hits]


def noted(ledger: Ledger) -> int:
    ledger.note("seen", {}, id="one")
    return len(list(ledger.notes("seen")))


def drawn(store: SampleStore) -> bool:
    return store.offer("What is it?") and any(store.samples())


def cooling(health: Health) -> dict[str, float]:
    health.failed(SMALL, now=0)
    return health.cooling(now=1)


def alarmed(alarm: DriftAlarm) -> float | None:
    return [alarm.observe(9.0) for _ in range(2)][-1]


def kept(selector: PassageSelector) -> object:
    return selector.keep(
        "Which rule is about cats?",
        [Passage(text=f"Rule {n}. Cats are {n}.") for n in range(40)],
        max_tokens=40,
    )


def queried(policy: Any) -> Case:
    return Case(name=type(policy).__name__, make=routed_by(policy), use=chosen)


POLICIES = [
    Always(SMALL),
    Weighted({SMALL: 1.0}),
    FastEnough(limit_s=1),
    ForTier({"gold": SMALL}),
    FirstOf([ForTier({"silver": LARGE}), Always(SMALL)]),
    ByTask({"facts": Always(SMALL)}),
    KeywordPolicy(weak=SMALL, strong=LARGE),
    CascadePolicy(cheap=SMALL, strong=LARGE),
    Experiment("trial", {"a": Always(SMALL), "b": Always(LARGE)}),
]
CORE = [
    Case(name="ResponseCache", make=stored, use=found),
    Case(name="Ledger", make=lambda path: Ledger(path / "costs.sqlite"), use=noted),
    Case(
        name="PriceBook",
        make=lambda _: PriceBook({"own": ModelPrice(input=Decimal(3), output=Decimal(4))}),
        use=lambda book: book.cost(Usage(input_tokens=10), "own"),
    ),
    Case(
        name="SampleStore",
        make=lambda path: SampleStore(path / "samples.sqlite", rate=1),
        use=drawn,
    ),
    Case(name="OutputLimits", make=limits, use=lambda learned: learned.cap("facts")),
    Case(
        name="RequestOptimizer",
        make=lambda _: RequestOptimizer(context=ContextBudget(max_tokens=60)),
        use=lambda optimizer: optimizer.optimize(asked(f"{CONTEXT}\nCats?")).tokens,
    ),
    Case(name="History", make=lambda _: History(keep=2), use=lambda history: history.keep),
    Case(
        name="TokenCounter",
        make=lambda _: TokenCounter(remembered=3),
        use=lambda counter: counter.count("How many tokens?", SMALL),
    ),
    Case(name="ExampleSelector", make=lambda _: ExampleSelector(most=1), use=type),
    Case(name="PassageSelector", make=lambda _: PassageSelector(), use=kept),
    Case(name="Health", make=lambda _: Health(cooldown_s=7), use=cooling),
    Case(name="DriftAlarm", make=lambda _: DriftAlarm([1, 2], window=2), use=alarmed),
    Case(name="WarningLog", make=lambda _: WarningLog(), use=type),
    Case(
        name="Router with a ledger",
        make=lambda path: Router(
            [SMALL, LARGE],
            policy=KeywordPolicy(weak=SMALL, strong=LARGE),
            ledger=Ledger(path / "costs.sqlite"),
            health=Health(cooldown_s=1),
            clock=travellers.clock,
        ),
        use=chosen,
    ),
    *(queried(policy) for policy in POLICIES),
    Case(
        name="StaticEmbedder",
        make=lambda _: StaticEmbedder(),
        use=lambda embedder: (embedder.id, embedder.embed(["cat"]).tolist()),
    ),
    Case(
        name="FrameworkEmbedder",
        make=lambda _: CachedEmbedder(FrameworkEmbedder(travellers.CountedEmbeddings(), name="x")),
        use=lambda embedder: (embedder.id, embedder.embed(["cat"]).tolist()),
    ),
]


def fake(text: str = "a") -> FakeListChatModel:
    return FakeListChatModel(responses=[text])


def answered(model: Any) -> str:
    return str(model.invoke("How long does a refund take?").text)


def chat_router(_: Path = Path()) -> lc.ChatModelRouter:
    policy = KeywordPolicy(weak="small", strong="large")
    return lc.ChatModelRouter(models={"small": fake("s"), "large": fake("l")}, policy=policy)


def cached_model(path: Path) -> lc.CachedChatModel:
    cache = lc.HybridCache(path=path / "answers.sqlite", semantic=False)
    model = lc.CachedChatModel(model=fake(), cache=cache)
    answered(model)
    return model


def how_cached(model: Any) -> list[object]:
    texts = ("How long does a refund take?", "How long will my refund take?")
    return [travellers.answer_of_model(model, text)[1] is None for text in texts]


LANGCHAIN = [
    Case(name="CachedChatModel", make=cached_model, use=lambda model: answered(model)),
    Case(name="ChatModelRouter", make=chat_router, use=answered),
    Case(
        name="OptimizedChatModel",
        make=lambda path: lc.OptimizedChatModel(model=fake(), limits=limits(path), form="line"),
        use=lambda model: (answered(model), model.limits.cap("facts"), model.form),
    ),
    Case(
        name="BatchingChatModel",
        make=lambda _: lc.BatchingChatModel(
            model=fake(), max_size=3, max_delay=0.0, namespace=travellers.acme
        ),
        use=lambda model: (answered(model), model.max_size, model.namespace),
    ),
    Case(
        name="all four",
        make=lambda _: lc.CachedChatModel(
            model=lc.ChatModelRouter(
                models={
                    "a": lc.OptimizedChatModel(model=fake()),
                    "b": lc.BatchingChatModel(model=fake("b"), max_delay=0.0),
                }
            )
        ),
        use=answered,
    ),
    Case(
        name="LangChain HybridCache",
        make=lambda path: lc.HybridCache(
            path=path / "answers.sqlite", ledger=Ledger(path / "costs.sqlite")
        ),
        use=lambda cache: noted(cache.ledger),
    ),
    Case(
        name="CostCallbackHandler",
        make=lambda path: lc.CostCallbackHandler(Ledger(path / "costs.sqlite")),
        use=lambda handler: noted(handler.ledger),
    ),
    Case(
        name="PromptOptimizer",
        make=lambda _: lc.PromptOptimizer(SMALL, context_tokens=60),
        use=lambda optimizer: optimizer.invoke(f"{CONTEXT}\nCats?"),
    ),
    Case(
        name="PassageCompressor",
        make=lambda _: lc.PassageCompressor(max_tokens=40, report=travellers.ignore),
        use=lambda compressor: (compressor.max_tokens, compressor.compress_documents([], "cats")),
    ),
    Case(
        name="CacheMiddleware",
        make=lambda path: CacheMiddleware(lc.HybridCache(path=path / "answers.sqlite")),
        use=lambda middleware: len(middleware.cache),
    ),
    Case(name="PromptMiddleware", make=lambda _: PromptMiddleware(context_tokens=60), use=type),
    Case(
        name="RouterMiddleware",
        make=lambda _: RouterMiddleware(chat_router()),
        use=lambda middleware: answered(middleware.router),
    ),
]


def replied(llm: Any) -> str:
    return travellers.answer_of_llm(llm, "How long does a refund take?")[0]


def llm(name: str = SMALL) -> travellers.LockedLLM:
    return travellers.LockedLLM(model=name, client=threading.Lock())


def llm_router(path: Path) -> li.RoutedLLM:
    policy = KeywordPolicy(weak=SMALL, strong=LARGE)
    return li.RoutedLLM(
        [llm(), llm(LARGE)],
        policy=policy,
        ledger=Ledger(path / "costs.sqlite"),
        traffic=SampleStore(path / "samples.sqlite", rate=1),
    )


LLAMA_INDEX = [
    Case(
        name="CachedLLM",
        make=lambda path: li.CachedLLM(
            llm(), li.HybridCache(path=path / "answers.sqlite"), system_prompt="Be brief."
        ),
        use=lambda each: (replied(each), each.system_prompt),
    ),
    Case(
        name="RoutedLLM",
        make=llm_router,
        use=lambda each: (replied(each), len(list(each.traffic.samples())) > 0),
    ),
    Case(
        name="PromptOptimizingLLM",
        make=lambda _: li.PromptOptimizingLLM(
            llm(), RequestOptimizer(context=ContextBudget(max_tokens=60))
        ),
        use=lambda each: (
            replied(each),
            each.optimizer.optimize(asked(f"{CONTEXT}\nCats?")).tokens,
        ),
    ),
    Case(
        name="BatchedLLM",
        make=lambda _: li.BatchedLLM(
            llm(), combine=True, limits=GroupLimits(max_delay=0), namespace=travellers.acme
        ),
        use=lambda each: (replied(each), each.combine, each.namespace),
    ),
    Case(
        name="all four LLMs",
        make=lambda path: li.CachedLLM(
            li.RoutedLLM({"a": li.PromptOptimizingLLM(llm()), "b": li.BatchedLLM(llm(LARGE))})
        ),
        use=replied,
    ),
    Case(
        name="LlamaIndex HybridCache",
        make=lambda path: li.HybridCache(
            MockEmbedding(embed_dim=3), path=path / "answers.sqlite", namespace=travellers.acme
        ),
        use=lambda cache: cache.tenant(),
    ),
    Case(
        name="CostEventHandler",
        make=lambda path: li.CostEventHandler(Ledger(path / "costs.sqlite")),
        use=lambda handler: noted(handler.ledger),
    ),
    Case(
        name="PromptCompressor",
        make=lambda _: li.PromptCompressor(
            max_tokens=20, embed_model=MockEmbedding(embed_dim=3), report=travellers.ignore
        ),
        use=lambda each: each.postprocess_nodes(
            [NodeWithScore(node=TextNode(text=f"{n} cats.", id_=str(n))) for n in range(9)],
            QueryBundle("5 cats"),
        ),
    ),
    Case(
        name="HistoryBlock",
        make=lambda _: li.HistoryBlock(history=History(keep=1, every=2), model=LARGE),
        use=lambda block: (block.history.every, block.model),
    ),
    Case(
        name="with_embeddings_cache",
        make=lambda _: li.with_embeddings_cache(MockEmbedding(embed_dim=3)),
        use=lambda model: (
            model.get_text_embedding("cats"),
            model.embeddings_cache.get("cats", "embeddings") is not None,
        ),
    ),
]
CASES = [pytest.param(case, id=case.name) for case in (*CORE, *LANGCHAIN, *LLAMA_INDEX)]


@pytest.mark.parametrize("case", CASES)
class TestEveryComponent:
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_pickled_it_keeps_its_settings_and_the_original_stays_whole(
        self, case: Case, protocol: int, tmp_path: Path
    ) -> None:
        original = case.make(tmp_path)
        expected, held = case.use(original), dict(vars(original))
        again = pickle.loads(pickle.dumps(original, protocol))
        assert type(again) is type(original)
        assert case.use(again) == expected
        assert vars(original).keys() == held.keys()
        assert all(vars(original)[name] is value for name, value in held.items())
        assert case.use(original) == expected

    def test_a_pickle_of_a_copy_of_a_pickle_works(self, case: Case, tmp_path: Path) -> None:
        original = case.make(tmp_path)
        expected = case.use(original)
        once = pickle.loads(pickle.dumps(original))
        twice = pickle.loads(pickle.dumps(copy.copy(once)))
        assert case.use(twice) == expected

    def test_copies_work(self, case: Case, tmp_path: Path) -> None:
        original = case.make(tmp_path)
        expected = case.use(original)
        for copied in (copy.copy(original), copy.copy(copy.copy(original))):
            assert type(copied) is type(original)
            assert case.use(copied) == expected


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in (*CORE, *LANGCHAIN)])
def test_a_deep_copy_works(case: Case, tmp_path: Path) -> None:
    original = case.make(tmp_path)
    expected = case.use(original)
    copied = copy.deepcopy(original)
    assert type(copied) is type(original)
    assert case.use(copied) == expected
    assert case.use(original) == expected
