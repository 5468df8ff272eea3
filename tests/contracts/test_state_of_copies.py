"""What copies of a component share with it."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import ConfigurableField
from llama_index.core.llms import MockLLM

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from llm_optimizers.costs import Ledger
from llm_optimizers.routing import Always
from llm_optimizers.types import ChatRequest, Message
from support import travellers
from support.travellers import answer_of_llm, answer_of_model, fake

SMALL = "gpt-4o-mini"
QUESTION = "How long does a refund take?"


def again(component: Any) -> Any:
    return pickle.loads(pickle.dumps(component))


def asked(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model=SMALL)


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
