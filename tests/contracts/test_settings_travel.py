"""Each setting of each component that can be pickled travels; a new one cannot be forgotten."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import random
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import StdOutCallbackHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.types import PydanticProgramMode

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
import llm_optimizers
from langchain_llm_optimizers.middleware import CacheMiddleware, PromptMiddleware, RouterMiddleware
from llama_index_llm_optimizers.embeddings import EmbeddingsStore
from llm_optimizers.batching import GroupLimits
from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import Ledger, ModelPrice, PriceBook
from llm_optimizers.costs.prices.contract import Contract
from llm_optimizers.embeddings import CachedEmbedder, FrameworkEmbedder, StaticEmbedder
from llm_optimizers.embeddings.static import STATIC_MODEL
from llm_optimizers.evidence.drift import DriftAlarm
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.pickling.models import PickledWhole
from llm_optimizers.prompts import (
    ContextBudget,
    ExampleSelector,
    History,
    OutputLimits,
    PassageSelector,
    RequestOptimizer,
    Summariser,
    TokenCounter,
)
from llm_optimizers.prompts.context.ranking.model import RankingWeights
from llm_optimizers.routing import (
    Always,
    Health,
    KeywordPolicy,
    LearnedPolicy,
    ModelSpec,
    Router,
    UserTier,
)
from support import travellers
from support.portraits import portrait

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"
Values: TypeAlias = dict[type[Any], tuple[dict[str, Any], dict[str, Any]]]
BASES = (PickledAsArguments, PickledWhole)
OTHERS: tuple[type[Any], ...] = (
    li.CachedQueryEngine,
    li.HistoryBlock,
    lc.PromptOptimizer,
    CacheMiddleware,
    PromptMiddleware,
    RouterMiddleware,
    ExampleSelector,
    PassageSelector,
    KeywordPolicy,
)
"""Components that are pickled as any object is."""
ELSEWHERE = {
    LearnedPolicy: "its only argument is the content of a file, see the tests of learned policies",
}
NOT_PICKLED = {
    "rate_limiter": "it holds a lock; in LlamaIndex it is the wrapped LLM's own",
    "callback_manager": "it is the wrapped LLM's own, which LlamaIndex does not pickle",
}


def components() -> list[type[Any]]:
    """Return all classes that state how they are pickled, and those that need not."""
    for package in (llm_optimizers, lc, li):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    kinds = [kind for base in BASES for kind in subclasses(base)]
    found = [kind for kind in kinds if is_ours(kind) and names_of(kind)]
    return [kind for kind in (*dict.fromkeys(found), *OTHERS) if not inspect.isabstract(kind)]


def is_ours(kind: type[Any]) -> bool:
    """Whether a package has the class under its name: not a test's, nor a joint class."""
    own = ("llm_optimizers.", "langchain_llm_optimizers.", "llama_index_llm_optimizers.")
    module = sys.modules[kind.__module__]
    return kind.__module__.startswith(own) and getattr(module, kind.__name__, None) is kind


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def names_of(kind: type[Any]) -> list[str]:
    """Return the names of all arguments that a class can be created with."""
    _, *given = inspect.signature(kind.__init__).parameters.values()
    named = [
        each.name for each in given if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    open_ended = len(named) < len(given)
    fields = getattr(kind, "model_fields", {}) if open_ended else {}
    return list(dict.fromkeys([*named, *fields]))


def engine(text: str = "") -> RetrieverQueryEngine:
    return RetrieverQueryEngine.from_args(travellers.OneNode(), llm=MockLLM(system_prompt=text))


def own_weights() -> RankingWeights:
    ones = np.ones(3)
    return RankingWeights(passage=ones, sentence=ones, passage_meaning=ones, sentence_meaning=ones)


def linked_model(path: Path) -> Path:
    folder = path / "model"
    folder.symlink_to(STATIC_MODEL)
    return folder


def summariser() -> Summariser:
    return Summariser(model=SMALL, call=str)


def store_of(path: Path) -> SimpleKVStore:
    store = SimpleKVStore()
    store.put("a", {"path": str(path)})
    return store


def cache_settings(path: Path) -> dict[str, Any]:
    return {
        "path": path / "answers.sqlite",
        "semantic": False,
        "threshold": 0.97,
        "ttl": "1h",
        "max_entries": 3,
        "namespace": travellers.acme,
        "wait_timeout": 3.0,
        "clock": travellers.clock,
    }


def settings_of_langchain() -> dict[str, Any]:
    return {
        "name": "mine",
        "cache": InMemoryCache(maxsize=3),
        "verbose": True,
        "callbacks": [StdOutCallbackHandler(color="red")],
        "tags": ["t"],
        "metadata": {"m": 1},
        "custom_get_token_ids": travellers.ignore,
        "disable_streaming": True,
        "output_version": "v1",
        "profile": {"max_input_tokens": 3},
    }


def settings_of_llama_index() -> dict[str, Any]:
    return {
        "system_prompt": "Be brief.",
        "messages_to_prompt": travellers.ignore,
        "completion_to_prompt": travellers.ignore,
        "output_parser": PydanticOutputParser(travellers.Strict),
        "pydantic_program_mode": PydanticProgramMode.LLM,
        "query_wrapper_prompt": PromptTemplate("Q: {query_str}"),
    }


def values_of_core(path: Path) -> Values:
    book = PriceBook({"own": ModelPrice(input=Decimal(3), output=Decimal(4))})
    ledger, counter = Ledger(path / "costs.sqlite"), TokenCounter(remembered=3)
    embeddings = travellers.CountedEmbeddings()
    embed = FrameworkEmbedder(embeddings, name="x").embed
    return {
        ResponseCache: (
            {},
            cache_settings(path) | {"codec": travellers.OwnCodec(), "embeddings": embeddings},
        ),
        Ledger: (
            {"path": path / "one.sqlite"},
            {
                "path": path / "two.sqlite",
                "url": "postgresql://ledger@127.0.0.1:1/costs",
                "prices": book,
                "keep_days": 90,
                "clock": travellers.clock,
            },
        ),
        PriceBook: (
            {},
            {
                "overrides": {"own": ModelPrice(input=Decimal(3), output=Decimal(4))},
                "contract": Contract(names={"mine": "gpt-4o"}),
                "clock": travellers.clock,
            },
        ),
        DriftAlarm: ({"edges": [1, 2]}, {"edges": [1, 3], "window": 7, "limit": 0.5}),
        SampleStore: (
            {"path": path / "one.sqlite"},
            {
                "path": path / "two.sqlite",
                "rate": 0.2,
                "ttl": "2 days",
                "max_samples": 7,
                "clock": travellers.clock,
                "rng": random.Random(7),
            },
        ),
        StaticEmbedder: ({}, {"path": linked_model(path)}),
        FrameworkEmbedder: (
            {"embeddings": embeddings},
            {
                "embeddings": MockEmbedding(embed_dim=3),
                "name": "x",
                "window": 7,
                "passages": True,
            },
        ),
        CachedEmbedder: (
            {"embedder": StaticEmbedder()},
            {"embedder": FrameworkEmbedder(embeddings), "max_entries": 7},
        ),
        TokenCounter: ({}, {"remembered": 7}),
        History: (
            {},
            {
                "keep": 2,
                "every": 3,
                "summary_tokens": 9,
                "summariser": summariser(),
                "remembered": 7,
            },
        ),
        RequestOptimizer: (
            {},
            {
                "passes": frozenset({"tables"}),
                "context": ContextBudget(max_tokens=60),
                "history": History(keep=2),
                "max_tokens": 900,
                "provider_cache": False,
                "marks": True,
                "cache_key": "key",
                "counter": counter,
                "prices": book,
                "embed": embed,
                "report": travellers.ignore,
            },
        ),
        OutputLimits: ({}, {"quantile": 0.5, "margin": 2.0, "enough": 3, "window": 70}),
        Health: ({}, {"cooldown_s": 7}),
        Router: (
            {"models": [SMALL, LARGE]},
            {
                "models": [SMALL, ModelSpec(LARGE, latency_s=3.0)],
                "policy": KeywordPolicy(weak=SMALL, strong=LARGE),
                "safe": SMALL,
                "tiers": {"gold": UserTier(floor=LARGE)},
                "prices": book,
                "ledger": ledger,
                "health": Health(cooldown_s=7),
                "drift": {SMALL: DriftAlarm([1, 2])},
                "count_tokens": travellers.ignore,
                "expected_output_tokens": 7,
                "clock": travellers.clock,
                "rng": random.Random(7),
            },
        ),
        ExampleSelector: (
            {},
            {
                "most": 1,
                "max_tokens": 9,
                "diversity": 0.5,
                "model": SMALL,
                "counter": counter,
                "embed": embed,
            },
        ),
        PassageSelector: (
            {},
            {
                "model": SMALL,
                "counter": counter,
                "embed": embed,
                "weights": own_weights(),
                "min_probability": 0.2,
                "report": travellers.ignore,
            },
        ),
        KeywordPolicy: (
            {"weak": SMALL, "strong": LARGE},
            {
                "weak": "tiny",
                "strong": "huge",
                "intents": {"work": ["dig"]},
                "threshold": 3.0,
                "words_per_point": 9,
            },
        ),
    }


def values_of_langchain(path: Path) -> Values:
    ledger = Ledger(path / "costs.sqlite")
    one, other, shared = travellers.fake(), travellers.fake("b"), settings_of_langchain()
    embeddings = travellers.CountedEmbeddings()
    optimizer = RequestOptimizer(max_tokens=900)
    shorter = {"optimizer": optimizer, "context_tokens": 60, "embeddings": embeddings}
    compressing = {"max_tokens": 40, "model": SMALL, "title_key": "t", "embeddings": embeddings}
    return {
        lc.HybridCache: (
            {},
            cache_settings(path) | {"embeddings": embeddings, "ledger": ledger},
        ),
        lc.CostCallbackHandler: (
            {"ledger": Ledger(path / "one.sqlite")},
            {"ledger": ledger, "counter": TokenCounter(remembered=3)},
        ),
        lc.CachedChatModel: (
            {"model": one},
            shared | {"model": other, "cache": lc.HybridCache(semantic=False)},
        ),
        lc.OptimizedChatModel: (
            {"model": one},
            shared | shorter | {"model": other, "limits": OutputLimits(enough=3), "form": "line"},
        ),
        lc.BatchingChatModel: (
            {"model": one},
            shared
            | {
                "model": other,
                "combine": True,
                "max_size": 3,
                "max_group_tokens": 900,
                "max_delay": 0.5,
                "max_calls": 3,
                "max_pending": 7,
                "answer_timeout": 7.0,
                "namespace": travellers.acme,
            },
        ),
        lc.ChatModelRouter: (
            {"models": {"a": one, "b": other}},
            shared
            | {
                "models": {"a": other, "b": one},
                "policy": Always("a"),
                "safe": "a",
                "specs": {"a": ModelSpec("a", latency_s=3.0)},
                "tiers": {"gold": UserTier(floor="b")},
                "ledger": ledger,
                "prices": PriceBook({"a": ModelPrice(input=Decimal(3), output=Decimal(4))}),
                "deadline_s": 7.0,
                "traffic": SampleStore(path / "samples.sqlite"),
            },
        ),
        lc.PassageCompressor: (
            {"max_tokens": 9},
            compressing | {"min_probability": 0.2, "report": travellers.ignore},
        ),
        lc.PromptOptimizer: ({}, shorter | {"model": SMALL}),
        CacheMiddleware: ({}, {"cache": lc.HybridCache(semantic=False)}),
        PromptMiddleware: ({}, shorter),
        RouterMiddleware: (
            {"router": lc.ChatModelRouter(models={"a": one})},
            {"router": lc.ChatModelRouter(models={"a": other})},
        ),
    }


def values_of_llama_index(path: Path) -> Values:
    ledger, shared = Ledger(path / "costs.sqlite"), settings_of_llama_index()
    one, other = MockLLM(), MockLLM(max_tokens=7)
    embed_model = MockEmbedding(embed_dim=3)
    tiers = {"gold": UserTier(floor="b")}
    return {
        li.HybridCache: ({}, cache_settings(path) | {"embed_model": embed_model}),
        EmbeddingsStore: ({"namespace": "n"}, {"namespace": "m", "store": store_of(path)}),
        li.CostEventHandler: (
            {"ledger": Ledger(path / "one.sqlite")},
            {"ledger": ledger, "counter": TokenCounter(remembered=3)},
        ),
        li.CachedLLM: (
            {"llm": one},
            shared | {"llm": other, "cache": li.HybridCache(semantic=False)},
        ),
        li.PromptOptimizingLLM: (
            {"llm": one},
            shared
            | {
                "llm": other,
                "optimizer": RequestOptimizer(max_tokens=900),
                "context_tokens": 60,
                "embed_model": embed_model,
            },
        ),
        li.BatchedLLM: (
            {"llm": one},
            shared
            | {
                "llm": other,
                "combine": True,
                "limits": GroupLimits(max_delay=0.5),
                "max_pending": 7,
                "max_calls": 3,
                "timeout": 7.0,
                "namespace": travellers.acme,
            },
        ),
        li.RoutedLLM: (
            {"models": {"a": one, "b": other}},
            shared
            | {
                "models": {"a": other, "b": one},
                "policy": Always("a"),
                "safe": "a",
                "tiers": tiers,
                "ledger": ledger,
                "router": Router(["a", "b"], tiers=tiers),
                "deadline_s": 7.0,
                "context": travellers.acme,
                "traffic": SampleStore(path / "samples.sqlite"),
            },
        ),
        li.PromptCompressor: (
            {"max_tokens": 9},
            {
                "max_tokens": 40,
                "model": SMALL,
                "embed_model": embed_model,
                "min_probability": 0.2,
                "report": travellers.ignore,
            },
        ),
        li.CachedQueryEngine: (
            {"query_engine": engine()},
            {"query_engine": engine("Be brief."), "cache": li.HybridCache(semantic=False)},
        ),
        li.HistoryBlock: (
            {},
            {
                "name": "n",
                "description": "d",
                "priority": 2,
                "accept_short_term_memory": False,
                "history": History(keep=2),
                "model": SMALL,
            },
        ),
    }


# With `context_tokens`, which an optimizer cannot be given beside.
BESIDE: Mapping[str, dict[str, Any]] = {
    "embed_model": {"context_tokens": 60},
    "embeddings": {"context_tokens": 60},
}


@pytest.fixture(scope="module")
def values(
    tmp_path_factory: pytest.TempPathFactory,
) -> Values:
    """What each component needs, and another value for each of its settings."""
    made = (values_of_core, values_of_langchain, values_of_llama_index)
    every: Values = {}
    for each in made:
        every |= each(tmp_path_factory.mktemp("files"))
    return every


SETTINGS = [
    pytest.param(kind, name, id=f"{kind.__module__.partition('.')[0]}-{kind.__name__}-{name}")
    for kind in components()
    if kind not in ELSEWHERE
    for name in names_of(kind)
    if name not in NOT_PICKLED
]


@pytest.mark.parametrize(("kind", "name"), SETTINGS)
def test_a_setting_is_the_same_after_the_trip(
    kind: type[Any],
    name: str,
    values: Values,
) -> None:
    assert kind in values, f"add a {kind.__name__} with a value for each of its settings"
    required, others = values[kind]
    assert name in others, f"add a value for {kind.__name__}.{name} that is not its default"
    if "context_tokens" in others:
        required = required | BESIDE.get(name, {})
    if name == "url":
        required = {each: value for each, value in required.items() if each != "path"}
    seeds = name == "rng"
    usual, made = kind(**required), kind(**{**required, name: others[name]})
    sent = pickle.dumps(made)
    expected = portrait(made, seeds=seeds)
    assert expected != portrait(usual, seeds=seeds)
    assert portrait(pickle.loads(sent), seeds=seeds) == expected
