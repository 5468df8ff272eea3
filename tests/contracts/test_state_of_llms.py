"""What of LlamaIndex's wrappers travels, what their copies share, and what raises."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import TextNode

import llama_index_llm_optimizers as li
from llm_optimizers.costs import Ledger
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import History, RequestOptimizer, Summariser
from support import travellers
from support.llama_fakes import FakeLLM
from support.travellers import answer_of_llm

SMALL = "gpt-4o-mini"
QUESTION = "How long does a refund take?"


def again(component: Any) -> Any:
    return pickle.loads(pickle.dumps(component))


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
        model = li.with_embeddings_cache(MockEmbedding(embed_dim=2), travellers.locked_store())
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
