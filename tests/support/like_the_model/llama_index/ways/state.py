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
    return [type(again) is type(llm), isinstance(again, OpenAI), again.metadata, again.temperature]


@way("copy.copy")
def _copy(llm: Any, lab: Lab) -> Any:
    again = copy.copy(llm)
    return [_same(llm, again), again.chat(ASKED), llm.chat(LATER)]


@way("copy.deepcopy")
def _deepcopy(llm: Any, lab: Lab) -> Any:
    again = copy.deepcopy(llm)
    return [_same(llm, again), again.chat(ASKED), llm.chat(LATER)]


@way("model_copy")
def _model_copy(llm: Any, lab: Lab) -> Any:
    again = llm.model_copy()
    return [_same(llm, again), again.chat(ASKED), llm.chat(LATER)]


@way("pickle")
def _pickle(llm: Any, lab: Lab) -> Any:
    again = pickle.loads(pickle.dumps(llm))
    return [_same(llm, again), again.chat(ASKED), llm.chat(LATER)]


@way("to_dict")
def _to_dict(llm: Any, lab: Lab) -> Any:
    return llm.to_dict()
