"""Components in other processes: a pool of workers, and LlamaIndex's pipeline with two of them."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from llm_optimizers.costs import Ledger
from llm_optimizers.routing import KeywordPolicy
from support.llama_fakes import FakeLLM
from support.travellers import answer_of_llm, answer_of_llm_for, answer_of_model, fake

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


@pytest.mark.parametrize("name", LLMS)
def test_a_pipeline_with_two_workers_leaves_the_llm_whole(name: str, tmp_path: Path) -> None:
    llm = LLMS[name](tmp_path)
    held = dict(vars(llm))
    pipeline = IngestionPipeline(
        transformations=[KeywordExtractor(llm=llm, show_progress=False)], disable_cache=True
    )
    given = [TextNode(text=f"Text {number} about cats.") for number in range(4)]
    nodes = pipeline.run(nodes=given, num_workers=2)
    alone = asyncio.run(pipeline.arun(nodes=given))
    found = [node.metadata["excerpt_keywords"] for node in nodes]
    assert found == [node.metadata["excerpt_keywords"] for node in alone]
    assert all(vars(llm)[each] is value for each, value in held.items())
    assert answer_of_llm(llm, "Still there?")[0].endswith("Still there?")
    if name.startswith("cached"):
        # What a worker stored, the parent was served.
        assert llm.cache.stats.hits["exact"] == len(given)


def test_workers_share_a_cache_file_and_its_tenants(tmp_path: Path) -> None:
    llm = cached_llm(tmp_path)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first = pool.map(partial(answer_of_llm_for, llm, "acme"), QUESTIONS)
        again = pool.map(partial(answer_of_llm_for, llm, "acme"), QUESTIONS)
        other = pool.map(partial(answer_of_llm_for, llm, "globex"), QUESTIONS)
    assert [hit for _, hit in first] == [None, None]
    assert [hit["tier"] for _, hit in again] == ["exact", "exact"]
    assert [hit for _, hit in other] == [None, None]
    assert answer_of_llm_for(llm, "acme", QUESTIONS[0])[1] is not None


def test_workers_use_chat_models_and_one_ledger(tmp_path: Path) -> None:
    router = lc.ChatModelRouter(
        models={"small": fake("s"), "large": fake("l")},
        policy=KeywordPolicy(weak="small", strong="large"),
        ledger=Ledger(tmp_path / "costs.sqlite"),
    )
    cache = lc.HybridCache(path=tmp_path / "answers.sqlite")
    model = lc.CachedChatModel(model=router, cache=cache)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        answers = pool.map(partial(answer_of_model, model), QUESTIONS)
    assert [text for text, _ in answers] == [router.invoke(each).text for each in QUESTIONS]
    assert answer_of_model(model, QUESTIONS[0])[1] is not None
    assert len(list(router.ledger.notes("routing.decision"))) == 4


def test_joblib_takes_a_wrapper_to_its_workers(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")  # with scikit-learn, of the extra `fit`
    llm = cached_llm(tmp_path)
    answers = joblib.Parallel(n_jobs=2)(joblib.delayed(answer_of_llm)(llm, q) for q in QUESTIONS)
    assert [text for text, _ in answers] == [answer_of_llm(llm, q)[0] for q in QUESTIONS]
    assert llm.cache.stats.hits["exact"] == 2
