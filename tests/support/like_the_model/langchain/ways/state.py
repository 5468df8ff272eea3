"""Copies, pickling, and what a model says of itself."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import BaseModel

from support.like_the_model.langchain.use import Use, Ways

WAYS = Ways()
QUESTION = "where is Lyon?"


COPIES: dict[str, Any] = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda model: model.model_copy(),
    "model_copy, deep": lambda model: model.model_copy(deep=True),
}


def _simple(use: Use) -> Any:
    """Return a model without connections, which cannot be pickled, in its wrapper."""
    return use.wrap(FakeListChatModel(responses=["Lyon"]))


def _copied(function: Any) -> Any:
    return lambda use: function(_simple(use)).invoke(QUESTION, use.config)


def _copied_in_use(function: Any) -> Any:
    def use(use: Use) -> Any:
        model = _simple(use)
        model.invoke(QUESTION, use.config)
        copied = function(model)
        return copied.invoke("and Ulm?", use.config), model.invoke("and Bonn?", use.config)

    return use


def _copied_with_connections(function: Any) -> Any:
    def use(use: Use) -> Any:
        return function(use.model()).invoke(QUESTION, use.config)

    return use


for _name, _function in COPIES.items():
    WAYS.way(f"{_name}: before the first call")(_copied(_function))
    WAYS.way(f"{_name}: after a call")(_copied_in_use(_function))
for _name in ("copy", "model_copy"):
    WAYS.way(f"{_name}: a model with connections")(_copied_with_connections(COPIES[_name]))


@WAYS.way("model_copy: another setting")
def _(use: Use) -> Any:
    return use.model(temperature=0).model_copy(update={"name": "copied"}).invoke(QUESTION)


@WAYS.way("model_copy: another setting of the model")
def _(use: Use) -> Any:
    return use.model().model_copy(update={"temperature": 0.25}).invoke(QUESTION, use.config)


@WAYS.way("attribute: one that is set")
def _(use: Use) -> Any:
    model = use.model()
    model.temperature = 0.25
    return model.invoke(QUESTION, use.config), model.temperature


@WAYS.way("field of the model's class in a pydantic object")
def _(use: Use) -> Any:
    class Settings(BaseModel):
        llm: ChatOpenAI

    return Settings(llm=use.model()).llm.invoke(QUESTION, use.config)


FACTS: dict[str, Any] = {
    "profile": lambda m: m.profile,
    "model_name": lambda m: m.model_name,
    "other attributes": lambda m: (m.temperature, m.openai_api_base is None, m.max_tokens, m.n),
    "model_kwargs": lambda m: m.model_kwargs,
    "hasattr of a missing attribute": lambda m: hasattr(m, "no_such_attribute"),
    "isinstance": lambda m: [
        isinstance(m, each) for each in (ChatOpenAI, BaseChatOpenAI, BaseChatModel)
    ],
    "_llm_type": lambda m: m._llm_type,
    "_identifying_params": lambda m: m._identifying_params,
    "_get_ls_params": lambda m: m._get_ls_params(stop=["END"]),
    "get_name": lambda m: m.get_name(),
    "get_num_tokens": lambda m: m.get_num_tokens(QUESTION),
    "get_token_ids": lambda m: m.get_token_ids(QUESTION),
    "get_num_tokens_from_messages": lambda m: m.get_num_tokens_from_messages(
        [HumanMessage(QUESTION)]
    ),
    "InputType": lambda m: str(m.InputType),
    "OutputType": lambda m: str(m.OutputType),
    "get_input_jsonschema": lambda m: m.get_input_jsonschema(),
    "get_output_jsonschema": lambda m: m.get_output_jsonschema(),
    "config_specs": lambda m: m.config_specs,
    "get_graph": lambda m: m.get_graph().to_json(),
    "get_prompts": lambda m: m.get_prompts(),
    "dumpd": dumpd,
    "lc_secrets": lambda m: m.lc_secrets,
    "hash and equality": lambda m: (m == m, m != object(), bool(m)),
    "name of a chain": lambda m: (m | (lambda given: given)).get_name(),
}


def _fact(read: Any) -> Any:
    return lambda use: read(use.model(temperature=0.5))


for _name, _read in FACTS.items():
    WAYS.way(f"fact: {_name}")(_fact(_read))
