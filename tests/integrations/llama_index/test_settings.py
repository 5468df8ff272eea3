"""`optimized_settings`: changes `Settings` in a block and restores them in any order of blocks."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index_instrumentation import get_dispatcher

from llama_index_llm_optimizers import (
    CachedLLM,
    CostEventHandler,
    HybridCache,
    PromptOptimizingLLM,
    optimized_settings,
)
from llm_optimizers.costs import Ledger
from support.llama_fakes import FakeLLM, HashEmbedding

DOCUMENTS = [Document(text="Passwords are reset on the login page.")]


def state() -> dict[str, Any]:
    ours = ("_llm", "_embed_model", "_prompt_helper", "_chat_prompt_helper", "_callback_manager")
    return {name: value for name, value in vars(Settings).items() if name in ours}


def test_a_rag_app_in_one_line_and_its_records() -> None:
    inner, ledger = FakeLLM(), Ledger()
    Settings.llm, Settings.embed_model = FakeLLM(), HashEmbedding()
    before = state()
    with optimized_settings(llm=inner, ledger=ledger) as costs:
        index = VectorStoreIndex.from_documents(DOCUMENTS)
        engine = index.as_query_engine()
        first, second = engine.query("Where?"), engine.query("Where?")
        assert str(first) == str(second)
        assert costs.ledger is ledger
    assert state() == before
    assert len(inner.calls) == 1
    kinds = [record.hit_strategy for record in ledger.records()]
    assert kinds == [None, None, None, "cache.embeddings", "cache.exact"]
    root = get_dispatcher()
    assert not any(isinstance(handler, CostEventHandler) for handler in root.event_handlers)


def test_the_llm_in_settings_is_used_if_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    # The embedding model is made when it is first read; the default one would need a key.
    made: list[object] = []
    monkeypatch.setattr("llama_index.core.settings.resolve_embed_model", made.append)
    Settings.llm = inner = FakeLLM()
    with optimized_settings():
        assert isinstance(Settings.llm, CachedLLM)
        assert isinstance(Settings.llm.llm, PromptOptimizingLLM)
        assert Settings.llm.llm.llm is inner
        assert not made
    assert Settings.llm is inner


def test_prompt_helpers_belong_to_the_current_llm() -> None:
    Settings.llm = FakeLLM(window=4_000)
    assert Settings.context_window == 4_000
    with optimized_settings(llm=FakeLLM(window=16_000)):
        assert Settings.context_window == 16_000
    assert Settings.context_window == 4_000
    with optimized_settings():
        assert Settings.context_window == 4_000


@pytest.mark.parametrize("inner_first", [True, False])
def test_blocks_may_end_in_any_order(inner_first: bool) -> None:
    Settings.llm = base = FakeLLM()
    first, second = FakeLLM(model="a"), FakeLLM(model="b")
    outer, inner = ExitStack(), ExitStack()
    outer.enter_context(optimized_settings(llm=first))
    inner.enter_context(optimized_settings(llm=second))
    assert Settings.llm.metadata.model_name == "b"
    (inner if inner_first else outer).close()
    assert Settings.llm.metadata.model_name == ("a" if inner_first else "b")
    (outer if inner_first else inner).close()
    assert Settings.llm is base


def test_the_block_restores_after_an_error_and_after_a_change_inside() -> None:
    Settings.llm = base = FakeLLM()

    def fail() -> None:
        with optimized_settings(cache=HybridCache()):
            Settings.llm = FakeLLM(model="other")
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError):
        fail()
    assert Settings.llm is base
