"""Components in other processes: a pool of workers, and LlamaIndex's pipeline with two of them."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from llm_optimizers.costs import Ledger
from llm_optimizers.routing import KeywordPolicy
from support.llama_fakes import FakeLLM
from support.travellers import (
    NamedKeywords,
    answer_of_llm,
    answer_of_llm_for,
    answer_of_model,
    fake,
)
from support.waiting import eventually

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"
QUESTIONS = ["How long does a refund take?", "Where is my order?"]

pytestmark = pytest.mark.slow


def cached_llm(path: Path) -> Any:
    return li.CachedLLM(FakeLLM(), li.HybridCache(path=path / "answers.sqlite"))


def routed_llm(path: Path) -> Any:
    policy = KeywordPolicy(weak=SMALL, strong=LARGE)
    ledger = Ledger(path / "costs.sqlite")
    return li.RoutedLLM([FakeLLM(model=SMALL), FakeLLM(model=LARGE)], policy=policy, ledger=ledger)


LLMS: dict[str, Callable[[Path], Any]] = {
    "cached": cached_llm,
    "routed": routed_llm,
    "optimizing": lambda _: li.PromptOptimizingLLM(FakeLLM()),
    "batched": lambda _: li.BatchedLLM(FakeLLM(), combine=True),
    "cached router": lambda path: li.CachedLLM(
        routed_llm(path), li.HybridCache(path=path / "answers.sqlite")
    ),
}


@pytest.fixture(scope="module")
def workers() -> Iterator[Pool]:
    """Two processes; each takes seconds to import the frameworks."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        yield pool


def test_a_pipeline_with_two_workers_leaves_its_llms_whole(tmp_path: Path) -> None:
    llms = {}
    for name, make in LLMS.items():
        (tmp_path / name).mkdir()
        llms[name] = make(tmp_path / name)
    held = {name: dict(vars(llm)) for name, llm in llms.items()}
    pipeline = IngestionPipeline(
        transformations=[NamedKeywords(llm=llm, key=name) for name, llm in llms.items()],
        disable_cache=True,
    )
    given = [TextNode(text=f"Text {number} about cats.") for number in range(4)]
    nodes = pipeline.run(nodes=given, num_workers=2)
    alone = asyncio.run(pipeline.arun(nodes=given))
    assert [node.metadata.keys() for node in nodes] == [llms.keys()] * len(given)
    assert [node.metadata for node in nodes] == [node.metadata for node in alone]
    for name, llm in llms.items():
        assert all(vars(llm)[each] is value for each, value in held[name].items())
        assert answer_of_llm(llm, "Still there?")[0].endswith("Still there?")
        if name.startswith("cached"):
            # What a worker stored, the parent was served.
            assert llm.cache.stats.hits["exact"] == len(given)


def test_workers_share_a_cache_file_and_its_tenants(workers: Pool, tmp_path: Path) -> None:
    llm = cached_llm(tmp_path)
    first, again, other = (
        workers.map(partial(answer_of_llm_for, llm, customer), QUESTIONS)
        for customer in ("acme", "acme", "globex")
    )
    assert [hit for _, hit in first] == [None, None]
    assert [hit["tier"] for _, hit in again] == ["exact", "exact"]
    assert [hit for _, hit in other] == [None, None]
    assert answer_of_llm_for(llm, "acme", QUESTIONS[0])[1] is not None


def test_workers_use_chat_models_and_one_ledger(workers: Pool, tmp_path: Path) -> None:
    router = lc.ChatModelRouter(
        models={"small": fake("s"), "large": fake("l")},
        policy=KeywordPolicy(weak="small", strong="large"),
        ledger=Ledger(tmp_path / "costs.sqlite"),
    )
    cache = lc.HybridCache(path=tmp_path / "answers.sqlite")
    model = lc.CachedChatModel(model=router, cache=cache)
    answers = workers.map(partial(answer_of_model, model), QUESTIONS)
    assert [text for text, _ in answers] == [router.invoke(each).text for each in QUESTIONS]
    assert answer_of_model(model, QUESTIONS[0])[1] is not None
    # A worker writes what it recorded within a moment.
    eventually(lambda: len(list(router.ledger.notes("routing.decision"))) == 4)


def test_joblib_takes_a_wrapper_to_its_workers(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")  # with scikit-learn, of the extra `fit`
    llm = cached_llm(tmp_path)
    answers = joblib.Parallel(n_jobs=2)(joblib.delayed(answer_of_llm)(llm, q) for q in QUESTIONS)
    assert [text for text, _ in answers] == [answer_of_llm(llm, q)[0] for q in QUESTIONS]
    assert llm.cache.stats.hits["exact"] == 2
