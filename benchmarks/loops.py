"""How long a call holds up its event loop, and what it costs: idle, on first use, under faults.

    python benchmarks/loops.py --json rows.json
    python benchmarks/loops.py --only faults

A task wakes every two milliseconds, and notes by how much the longest gap between two wake-ups
exceeds that. The first row of each subject is the gap of its first call in a fresh process (what is
loaded on first use), with `warm_up` and without; then the gap and the time of later calls, under
one fault at a time: another process holds the file, an embedder or a policy takes 50 ms. The models
are fakes that answer at once, so a call's time is ours and the framework's. Imports and the loading
of vocabularies in a thread still hold Python's lock for some milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness import Row, Run, Section, main

Ask = Callable[[int], Awaitable[object]]
WAKE_S = 0.002
QUESTION = "How do I return worn boots, order {}?"
TARGET_MS = 50
LONG_TEXT = " ".join(f"Item {n}: a quick fox jumps over {n * 7} dogs." for n in range(2_200))


async def measured(ask: Ask, calls: int) -> tuple[float, float]:
    """Return the longest gap in milliseconds, and the microseconds of a call."""
    gap, ended = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal gap
        last = time.perf_counter()
        while not ended.is_set():
            await asyncio.sleep(WAKE_S)
            now = time.perf_counter()
            gap, last = max(gap, now - last - WAKE_S), now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(5 * WAKE_S)
    gap, start = 0.0, time.perf_counter()
    for number in range(calls):
        await ask(number)
        await asyncio.sleep(0)
    seconds = time.perf_counter() - start
    await asyncio.sleep(5 * WAKE_S)
    ended.set()
    await watching
    return gap * 1e3, seconds / calls * 1e6


class Subjects:
    """What is measured: functions that return a component and how to call it."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self.costs, self.file = folder / "costs.sqlite", folder / "cache.sqlite"
        self.samples = folder / "samples.sqlite"
        self.ending = ending

    def chat_model(self) -> Any:
        from langchain_core.language_models import FakeListChatModel

        return FakeListChatModel(responses=["an answer"])

    def llm(self) -> Any:
        from llama_index.core.llms import MockLLM

        return MockLLM(max_tokens=5)

    def ledger(self) -> Any:
        from llm_optimizers.costs import Ledger

        return self.ending.enter_context(Ledger(self.costs))

    def cached(self, **settings: Any) -> Any:
        from langchain_llm_optimizers import CachedChatModel, HybridCache

        return CachedChatModel(self.chat_model(), HybridCache(**settings))

    def langchain_miss(self) -> tuple[Any, Ask]:
        model = self.cached()
        return model, lambda n: model.ainvoke(QUESTION.format(n))

    def langchain_hit(self) -> tuple[Any, Ask]:
        model = self.cached(ledger=self.ledger())
        return model, lambda _: model.ainvoke(QUESTION)

    def langchain_hit_in_file(self) -> tuple[Any, Ask]:
        model = self.cached(path=self.file)
        return model, lambda _: model.ainvoke(QUESTION)

    def langchain_miss_in_file(self) -> tuple[Any, Ask]:
        model = self.cached(path=self.file)
        return model, lambda n: model.ainvoke(QUESTION.format(n))

    def langchain_routed(self) -> tuple[Any, Ask]:
        from langchain_llm_optimizers import ChatModelRouter
        from llm_optimizers.evidence import SampleStore

        models = {"gpt-4o-mini": self.chat_model(), "gpt-4o": self.chat_model()}
        traffic = SampleStore(self.samples, rate=1.0)
        model = ChatModelRouter(models, ledger=self.ledger(), traffic=traffic)
        return model, lambda n: model.ainvoke(QUESTION.format(n))

    def langchain_handler(self) -> tuple[Any, Ask]:
        from langchain_llm_optimizers import CostCallbackHandler

        handler, model = CostCallbackHandler(self.ledger()), self.chat_model()
        config: Any = {"callbacks": [handler]}
        return handler, lambda n: model.ainvoke(QUESTION.format(n), config)

    def langchain_optimizer(self) -> tuple[Any, Ask]:
        from langchain_llm_optimizers import PromptOptimizer

        optimizer = PromptOptimizer("gpt-4o", context_tokens=200)
        text = f"<context>{LONG_TEXT[:18_000]}</context>\nHow many dogs has item {{}}?"
        return optimizer, lambda n: optimizer.ainvoke(text.format(n))

    def langchain_long_prompt(self) -> tuple[Any, Ask]:
        from langchain_llm_optimizers import OptimizedChatModel

        model = OptimizedChatModel(self.chat_model())
        return model, lambda n: model.ainvoke(f"{LONG_TEXT} {n}")

    def langchain_batching(self) -> tuple[Any, Ask]:
        from langchain_llm_optimizers import BatchingChatModel

        model = BatchingChatModel(self.chat_model())
        self.ending.callback(model.close)
        return model, lambda n: model.ainvoke(QUESTION.format(n))

    def llama_index_miss(self) -> tuple[Any, Ask]:
        from llama_index_llm_optimizers import CachedLLM

        llm = CachedLLM(self.llm())
        return llm, lambda n: llm.acomplete(QUESTION.format(n))

    def llama_index_routed(self) -> tuple[Any, Ask]:
        from llama_index_llm_optimizers import RoutedLLM

        models = {"gpt-4o-mini": self.llm(), "gpt-4o": self.llm()}
        llm = RoutedLLM(models, ledger=self.ledger())
        return llm, lambda n: llm.acomplete(QUESTION.format(n))

    def llama_index_handler(self) -> tuple[Any, Ask]:
        from llama_index_llm_optimizers import CostEventHandler

        costs = self.ending.enter_context(CostEventHandler(self.ledger()))
        llm = self.llm()
        return costs, lambda n: llm.acomplete(QUESTION.format(n))

    def llama_index_optimizer(self) -> tuple[Any, Ask]:
        from llama_index_llm_optimizers import PromptOptimizingLLM

        llm = PromptOptimizingLLM(self.llm())
        return llm, lambda n: llm.acomplete(QUESTION.format(n))

    def slow_embedder(self) -> tuple[Any, Ask]:
        from langchain_core.embeddings import Embeddings

        class Slow(Embeddings):
            def embed_query(self, text: str) -> list[float]:
                time.sleep(0.05)
                return [1.0, float(len(text))]

            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return [self.embed_query(text) for text in texts]

        model = self.cached(embeddings=Slow())
        return model, lambda n: model.ainvoke(QUESTION.format(n))

    def slow_policy(self) -> tuple[Any, Ask]:
        from langchain_llm_optimizers import ChatModelRouter

        class Slow:
            def choose(self, _: Any) -> None:
                time.sleep(0.05)

        model = ChatModelRouter({"gpt-4o": self.chat_model()}, policy=Slow())
        return model, lambda n: model.ainvoke(QUESTION.format(n))

    def ledger_record(self) -> tuple[Any, Ask]:
        from llm_optimizers.costs import CallRecord, Usage

        ledger, cost = self.ledger(), Decimal("0.001")

        async def record(number: int) -> None:
            ledger.record(
                CallRecord(
                    id=str(number),
                    time=datetime.now(UTC),
                    model="gpt-4o",
                    usage=Usage(input_tokens=3),
                    cost=cost,
                    baseline_model="gpt-4o",
                    baseline_cost=cost,
                )
            )

        return ledger, record


EVERYTHING = [name for name in vars(Subjects) if name.startswith(("langchain_", "llama_index_"))]
WITH_LEDGER = [
    "ledger_record",
    "langchain_hit",
    "langchain_routed",
    "langchain_handler",
    "llama_index_routed",
    "llama_index_handler",
]
SLOW = ["slow_embedder", "slow_policy"]


def measure_here(name: str, warm: bool, held: str, calls: int) -> dict[str, float]:
    """Measure one subject in this process; `held` is the file that another connection locks."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        subjects = Subjects(Path(folder), ending)
        component, ask = getattr(subjects, name)()

        async def run() -> dict[str, float]:
            if warm:
                await component.awarm_up()
            first, _ = await measured(ask, 1)
            if held:
                path = getattr(subjects, held)
                with sqlite3.connect(path, isolation_level=None) as other:
                    other.execute("BEGIN IMMEDIATE")
                    gap, each = await measured(lambda n: ask(n + 1), calls)
                    other.execute("ROLLBACK")
            else:
                gap, each = await measured(lambda n: ask(n + 1), calls)
            return {"first": first, "gap": gap, "each": each}

        return asyncio.run(run())


def measure(name: str, *, warm: bool = True, held: str = "", calls: int = 100) -> dict[str, float]:
    """Measure one subject in a fresh process."""
    command = [sys.executable, __file__, "--measure", json.dumps([name, warm, held, calls])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def first_use(run: Run) -> Iterator[Row]:
    for done, name in enumerate(EVERYTHING):
        run.progress(done, len(EVERYTHING), name)
        cold, warm = measure(name, warm=False, calls=2), measure(name, calls=2)
        yield Row(name=f"{name}: first call, not warmed up", value=cold["first"], unit="ms")
        yield Row(
            name=f"{name}_first_gap_ms", value=warm["first"], unit="ms", target=f"< {TARGET_MS}"
        )


def steady(run: Run) -> Iterator[Row]:
    for done, name in enumerate(EVERYTHING):
        run.progress(done, len(EVERYTHING), name)
        yield from _rows(name, measure(name))


def faults(run: Run) -> Iterator[Row]:
    held = [(name, "costs") for name in WITH_LEDGER]
    held += [("langchain_miss_in_file", "file"), ("langchain_routed", "samples")]
    for done, (name, path) in enumerate(held):
        run.progress(done, len(held) + len(SLOW), name)
        yield from _rows(f"{name}_{path}_locked", measure(name, held=path, calls=20))
    for name in SLOW:
        yield from _rows(name, measure(name, calls=10))


def _rows(name: str, found: dict[str, float]) -> Iterator[Row]:
    yield Row(name=f"{name}_gap_ms", value=found["gap"], unit="ms", target=f"< {TARGET_MS}")
    yield Row(name=f"{name}: a call", value=found["each"], unit="us")


SECTIONS = [
    Section(name="first", about="the first call of a process", measure=first_use),
    Section(name="steady", about="later calls", measure=steady),
    Section(name="faults", about="locked files, a slow embedder, a slow policy", measure=faults),
]

if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure_here(*json.loads(sys.argv[2]))))
    else:
        main(__doc__, SECTIONS)
