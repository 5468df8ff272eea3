"""How many files a reader must follow one call through: a miss, a hit, a routed call, a stack.

    python benchmarks/paths.py --json rows.json
    python benchmarks/paths.py --only cache --functions

The interpreter reports every Python function that is entered while one call runs. Counted are those
of `llm_optimizers`, `langchain_llm_optimizers` and `llama_index_llm_optimizers`, without lambdas,
comprehensions and generator expressions, since they are inside the function that is being read. A
generator that is resumed counts as entered again. A file switch is an entered function whose file
differs from that of the one before it; frameworks' functions in between do not count. Each path is
taken a few times before it is measured, so that imports and other work done once are left out.

The models are `FakeListChatModel`s, which report no usage. A miss and a hit go through
`CachedChatModel(cache=HybridCache())`; a routed call through a `ChatModelRouter` with a policy
list, a ledger and a `CostCallbackHandler`; the stacked call through the cache, the prompt
optimiser and that router.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.runnables import RunnableConfig

import langchain_llm_optimizers
import llama_index_llm_optimizers
import llm_optimizers
from harness import Measure, Row, Run, Section, main
from langchain_llm_optimizers import (
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
)
from llm_optimizers.costs import Ledger
from llm_optimizers.routing import FirstOf, KeywordPolicy

PACKAGES = (llm_optimizers, langchain_llm_optimizers, llama_index_llm_optimizers)
ROOTS = {package.__name__: Path(str(package.__file__)).parent for package in PACKAGES}
QUESTION = "How do I return worn boots to the store?"
WARM_UP = 5
TARGETS = {"miss": 48, "hit": 24, "routed": 43}
"""Half of the switches before the modules were arranged in packages."""


@dataclass(frozen=True, slots=True)
class Entered:
    """One of our functions that was entered."""

    file: str
    function: str


def entered_functions(call: Callable[[], object]) -> list[Entered]:
    """Return our functions that one call enters, in order."""
    found: list[Entered] = []
    names: dict[str, str | None] = {}

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<"):
            return
        if code.co_filename not in names:
            names[code.co_filename] = name_of(Path(code.co_filename))
        file = names[code.co_filename]
        if file is not None:
            found.append(Entered(file, code.co_name))

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


def name_of(file: Path) -> str | None:
    """Return the file as `package/module.py`, None if it is not one of ours."""
    return next(
        (
            f"{name}/{file.relative_to(root).as_posix()}"
            for name, root in ROOTS.items()
            if file.is_relative_to(root)
        ),
        None,
    )


def switches(functions: Sequence[Entered]) -> int:
    """Return how often a function's file differs from that of the one before."""
    return sum(before.file != after.file for before, after in pairwise(functions))


def miss_and_hit() -> Iterator[tuple[str, list[Entered]]]:
    model = CachedChatModel(model=fake(), cache=HybridCache())
    yield from asked_twice(model, "miss", "hit", None)


def routed() -> Iterator[tuple[str, list[Entered]]]:
    ledger = Ledger()
    model, config = router(ledger), recording(ledger)
    for _ in range(WARM_UP):
        model.invoke(QUESTION, config)
    yield "routed", entered_functions(lambda: model.invoke(QUESTION, config))


def stacked() -> Iterator[tuple[str, list[Entered]]]:
    ledger = Ledger()
    optimized = OptimizedChatModel(model=router(ledger))
    model = CachedChatModel(model=optimized, cache=HybridCache())
    yield from asked_twice(model, "stacked", "stacked hit", recording(ledger))


def asked_twice(
    model: BaseChatModel, first: str, second: str, config: RunnableConfig | None
) -> Iterator[tuple[str, list[Entered]]]:
    for number in range(WARM_UP):
        for _ in range(2):
            model.invoke(f"What is the price of item {number}?", config)
    yield first, entered_functions(lambda: model.invoke(QUESTION, config))
    yield second, entered_functions(lambda: model.invoke(QUESTION, config))


def router(ledger: Ledger) -> ChatModelRouter:
    return ChatModelRouter(
        models={"small": fake(), "large": fake()},
        policy=FirstOf([KeywordPolicy(weak="small", strong="large")]),
        ledger=ledger,
    )


def recording(ledger: Ledger) -> RunnableConfig:
    return {"callbacks": [CostCallbackHandler(ledger)]}


def fake() -> BaseChatModel:
    return FakeListChatModel(responses=["Within thirty days."])


def measure_paths(paths: Callable[[], Iterator[tuple[str, list[Entered]]]]) -> Measure:
    """Return a function that measures the rows of some paths."""

    def rows(run: Run) -> Iterator[Row]:
        for name, functions in paths():
            row = f"file_switches_{name.replace(' ', '_')}"
            limit = TARGETS.get(name)
            yield Row(name=row, value=switches(functions), target=f"<= {limit}" if limit else "-")
            yield Row(name=f"{name}: functions entered", value=len(functions))
            yield Row(name=f"{name}: files", value=len({each.file for each in functions}))
            if run.options.functions:
                for each in functions:
                    run.say(f"    {each.file:<60} {each.function}")

    return rows


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--functions", action="store_true", help="print the functions entered, in order"
    )


SECTIONS = [
    Section(name="cache", about="a miss and an exact hit", measure=measure_paths(miss_and_hit)),
    Section(name="router", about="a routed call", measure=measure_paths(routed)),
    Section(name="stack", about="cache, prompts and router", measure=measure_paths(stacked)),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS, options)
