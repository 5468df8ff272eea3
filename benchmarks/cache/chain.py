"""Milliseconds that cache and account add to a chain when they save nothing."""

from __future__ import annotations

import statistics
import time

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from cache.calls import QUESTION, SYSTEM
from harness import Row
from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler, HybridCache
from loopback import served

WARM_UP, CALLS = 20, 600


def chain_overhead() -> list[Row]:
    """The same chain with and without cache and account, on questions that were never asked."""
    prompt = ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", "{question}")])
    cache, costs = HybridCache(), CostCallbackHandler()
    with served() as url:
        model = ChatOpenAI(model="gpt-4o-mini", temperature=0, base_url=url, api_key="none")
        bare = prompt | model | StrOutputParser()
        saving = prompt | CachedChatModel(model=model, cache=cache) | StrOutputParser()
        without, with_ = [], []
        for number in range(WARM_UP + CALLS):
            question = {"question": f"{QUESTION} It is order number {number}."}
            start = time.perf_counter()
            bare.invoke(question)
            middle = time.perf_counter()
            saving.invoke(question, {"callbacks": [costs]})
            end = time.perf_counter()
            if number >= WARM_UP:
                without.append(middle - start)
                with_.append(end - middle)
    assert cache.stats.misses == costs.summary().requests == WARM_UP + CALLS
    difference = statistics.median(b - a for a, b in zip(without, with_, strict=True)) * 1e3
    row = Row(
        name="chain_overhead_ms",
        value=difference,
        target="< 1",
        note="CachedChatModel, HybridCache and CostCallbackHandler on a miss, over HTTP",
    )
    return [
        row,
        Row(name="prompt | ChatOpenAI | parser", value=statistics.median(without) * 1e3, unit="ms"),
        Row(
            name="the same with cache and account", value=statistics.median(with_) * 1e3, unit="ms"
        ),
    ]
