"""LLMs as objects: copied, pickled, written as data and read again."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.openai import OpenAI
from support.like_the_model.llama_index.ways.way import Lab, way

ASKED = [ChatMessage("How do I activate my new card?")]
LATER = [ChatMessage("How old is Ulm?")]


def _same(llm: Any, again: Any) -> list[Any]:
    """Return what a copy has kept."""
    found = isinstance(again, OpenAI) is isinstance(llm, OpenAI)
    return [type(again) is type(llm), found, again.metadata, again.temperature]


@way("copy.copy")
def _copy(llm: Any, lab: Lab) -> Any:
    again = copy.copy(llm)
    return [_same(llm, again), again.chat(ASKED), llm.chat(LATER)]


# An LLM that keeps a client can be neither copied nor pickled.
_OWN: dict[str, Any] = {"http_client": None, "async_http_client": None, "reuse_client": False}


@way("copy.deepcopy", **_OWN)
def _deepcopy(llm: Any, lab: Lab) -> Any:
    again = copy.deepcopy(llm)
    return [_same(llm, again), again.chat(ASKED), llm.chat(LATER)]


@way("model_copy")
def _model_copy(llm: Any, lab: Lab) -> Any:
    again = llm.model_copy()
    return [_same(llm, again), again.chat(ASKED), llm.chat(LATER)]


@way("model_copy with an update")
def _model_copy_updated(llm: Any, lab: Lab) -> Any:
    again = llm.model_copy(update={"temperature": 0.9, "model": "gpt-4-turbo"})
    answers = [again.chat(ASKED), llm.chat(ASKED)]
    return [_same(llm, again), again.model, llm.temperature, *answers]


@way("pickle", **_OWN)
def _pickle(llm: Any, lab: Lab) -> Any:
    again = pickle.loads(pickle.dumps(llm))
    return [_same(llm, again), again.chat(ASKED), llm.chat(LATER)]


@way("to_dict")
def _to_dict(llm: Any, lab: Lab) -> Any:
    return llm.to_dict()
