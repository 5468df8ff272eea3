"""Milliseconds that the cache and the ledger add to a chain when they save nothing."""

from __future__ import annotations

import statistics
import time

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from cache.calls import QUESTION, SYSTEM
from harness import Row
from langchain_llm_optimizers import CachedChatModel, CostCallbackHandler, HybridCache
from loopback import loopback_server

WARM_UP, CALLS = 20, 600


def chain_overhead() -> list[Row]:
    """Compare a chain with and without cache and ledger, on questions not asked before."""
    prompt = ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", "{question}")])
    cache, costs = HybridCache(), CostCallbackHandler()
    with loopback_server() as url:
        model = ChatOpenAI(model="gpt-4o-mini", temperature=0, base_url=url, api_key="none")
        plain = prompt | model | StrOutputParser()
        cached = prompt | CachedChatModel(model=model, cache=cache) | StrOutputParser()
        without, with_ = [], []
        for number in range(WARM_UP + CALLS):
            question = {"question": f"{QUESTION} It is order number {number}."}
            start = time.perf_counter()
            plain.invoke(question)
            middle = time.perf_counter()
            cached.invoke(question, {"callbacks": [costs]})
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
