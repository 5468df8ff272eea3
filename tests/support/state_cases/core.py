"""Components of the core, made in one way and used in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import Ledger, ModelPrice, PriceBook, Usage
from llm_optimizers.embeddings import CachedEmbedder, FrameworkEmbedder, StaticEmbedder
from llm_optimizers.evidence.drift import DriftAlarm
from llm_optimizers.evidence.samples import SampleStore
from llm_optimizers.failures import WarningLog
from llm_optimizers.prompts import (
    ContextBudget,
    ExampleSelector,
    History,
    OutputLimits,
    Passage,
    PassageSelector,
    RequestOptimizer,
    TokenCounter,
)
from llm_optimizers.routing import (
    Always,
    ByTask,
    CascadePolicy,
    Experiment,
    FastEnough,
    FirstOf,
    ForTier,
    Health,
    KeywordPolicy,
    Router,
    RoutingContext,
    Weighted,
)
from llm_optimizers.types import ChatRequest, Message
from support import travellers

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"
CONTEXT = "<context>\n" + "\n\n".join(f"Rule {n} is about {n} cats." for n in range(90))


def asked(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), model=SMALL)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A component and what can be seen of it: the same of the original and of every copy."""

    name: str
    make: Callable[[Path], Any]
    use: Callable[[Any], Any]


def routed_by(policy: Any) -> Callable[[Path], Router]:
    return lambda _: Router([SMALL, LARGE], policy=policy, tiers={}, clock=travellers.clock)


def chosen(router: Router) -> tuple[str, str]:
    context = RoutingContext(tier="gold", task="facts", user="u")
    choice = router.decide(asked("Prove it step by step"), context).choice
    return choice.model, choice.reason


def limits(_: Path) -> OutputLimits:
    learned = OutputLimits(enough=2)
    learned.observe("facts", 100)
    learned.observe("facts", 200)
    return learned


def stored(path: Path) -> ResponseCache[str]:
    cache: ResponseCache[str] = ResponseCache(path=path / "answers.sqlite", semantic=False)
    cache.update(asked("kept?"), "yes")
    return cache


def found(cache: ResponseCache[str]) -> list[str | None]:
    hits = [cache.lookup(asked(text)) for text in ("kept?", "is it kept?")]
    return [None if hit is None else hit.value for hit in hits]


def noted(ledger: Ledger) -> int:
    ledger.note("seen", {}, id="one")
    return len(list(ledger.notes("seen")))


def drawn(store: SampleStore) -> bool:
    return store.offer("What is it?") and any(store.samples())


def cooling(health: Health) -> dict[str, float]:
    health.failed(SMALL, now=0)
    return health.cooling(now=1)


def alarmed(alarm: DriftAlarm) -> float | None:
    return [alarm.observe(9.0) for _ in range(2)][-1]


def kept(selector: PassageSelector) -> object:
    return selector.keep(
        "Which rule is about cats?",
        [Passage(text=f"Rule {n}. Cats are {n}.") for n in range(40)],
        max_tokens=40,
    )


def queried(policy: Any) -> Case:
    return Case(name=type(policy).__name__, make=routed_by(policy), use=chosen)


POLICIES = [
    Always(SMALL),
    Weighted({SMALL: 1.0}),
    FastEnough(limit_s=1),
    ForTier({"gold": SMALL}),
    FirstOf([ForTier({"silver": LARGE}), Always(SMALL)]),
    ByTask({"facts": Always(SMALL)}),
    KeywordPolicy(weak=SMALL, strong=LARGE),
    CascadePolicy(cheap=SMALL, strong=LARGE),
    Experiment("trial", {"a": Always(SMALL), "b": Always(LARGE)}),
]
CORE = [
    Case(name="ResponseCache", make=stored, use=found),
    Case(name="Ledger", make=lambda path: Ledger(path / "costs.sqlite"), use=noted),
    Case(
        name="PriceBook",
        make=lambda _: PriceBook({"own": ModelPrice(input=Decimal(3), output=Decimal(4))}),
        use=lambda book: book.cost(Usage(input_tokens=10), "own"),
    ),
    Case(
        name="SampleStore",
        make=lambda path: SampleStore(path / "samples.sqlite", rate=1),
        use=drawn,
    ),
    Case(name="OutputLimits", make=limits, use=lambda learned: learned.cap("facts")),
    Case(
        name="RequestOptimizer",
        make=lambda _: RequestOptimizer(context=ContextBudget(max_tokens=60)),
        use=lambda optimizer: optimizer.optimize(asked(f"{CONTEXT}\nCats?")).tokens,
    ),
    Case(name="History", make=lambda _: History(keep=2), use=lambda history: history.keep),
    Case(
        name="TokenCounter",
        make=lambda _: TokenCounter(remembered=3),
        use=lambda counter: counter.count("How many tokens?", SMALL),
    ),
    Case(name="ExampleSelector", make=lambda _: ExampleSelector(most=1), use=type),
    Case(name="PassageSelector", make=lambda _: PassageSelector(), use=kept),
    Case(name="Health", make=lambda _: Health(cooldown_s=7), use=cooling),
    Case(name="DriftAlarm", make=lambda _: DriftAlarm([1, 2], window=2), use=alarmed),
    Case(name="WarningLog", make=lambda _: WarningLog(), use=type),
    Case(
        name="Router with a ledger",
        make=lambda path: Router(
            [SMALL, LARGE],
            policy=KeywordPolicy(weak=SMALL, strong=LARGE),
            ledger=Ledger(path / "costs.sqlite"),
            health=Health(cooldown_s=1),
            clock=travellers.clock,
        ),
        use=chosen,
    ),
    *(queried(policy) for policy in POLICIES),
    Case(
        name="StaticEmbedder",
        make=lambda _: StaticEmbedder(),
        use=lambda embedder: (embedder.id, embedder.embed(["cat"]).tolist()),
    ),
    Case(
        name="FrameworkEmbedder",
        make=lambda _: CachedEmbedder(FrameworkEmbedder(travellers.CountedEmbeddings(), name="x")),
        use=lambda embedder: (embedder.id, embedder.embed(["cat"]).tolist()),
    ),
]
