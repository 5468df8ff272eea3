"""What of LangChain's wrappers travels, what their copies share, and what raises."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.load import dumps
from pydantic import BaseModel

import langchain_llm_optimizers as lc
from support import travellers
from support.travellers import answer_of_model


def again(component: Any) -> Any:
    return pickle.loads(pickle.dumps(component))


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
