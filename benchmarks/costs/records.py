"""Records as an app with many users makes them.

30 days of calls in the order of time. A session is 20 calls in a row of one of 2,000 users with one
of 5 features, a few minutes long; an agent's run is 5 calls in a row, the first of which gives the
run its id. Ids are made as the two frameworks make them, half of each: LangChain's run ids (UUID 7,
which begin with the time) and LlamaIndex's event ids (UUID 4, random). One of 5 models answers, was
asked for or is the baseline. 30 % are hits of a cache, of which two thirds are exact; a quarter of
the others went to a cheaper model than was asked for. All have the tags `user`, `feature`,
`session` and `run`, a latency with microseconds, and costs of the 8 to 10 digits that prices give.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from llm_optimizers.costs import CallRecord, Saving, Usage

__all__ = ["PER_RUN", "PER_SESSION", "records"]

PER_SESSION, PER_RUN = 20, 5
_USERS = 2_000
_FEATURES = ("search", "chat", "summary", "translate", "extract")
_PRICES = {
    # Dollars for a million input tokens, and output tokens.
    "gpt-4o": (Decimal("2.5"), Decimal(10)),
    "gpt-4o-mini": (Decimal("0.15"), Decimal("0.6")),
    "claude-sonnet-4-5": (Decimal(3), Decimal(15)),
    "gemini-2.5-flash": (Decimal("0.3"), Decimal("2.5")),
    "deepseek-chat": (Decimal("0.28"), Decimal("0.42")),
}
_MODELS = tuple(_PRICES)
_CHEAP = "gpt-4o-mini"
_START = datetime(2026, 10, 1, tzinfo=UTC)
_DAYS = timedelta(days=30)


def records(count: int, *, seed: int = 1, feature: str = "") -> Iterator[CallRecord]:
    """Yield `count` records; all of one `feature` if it is given."""
    rng = random.Random(seed)
    session = run = user = used = ""
    for number in range(count):
        time = _START + _DAYS * (number / count) + timedelta(microseconds=rng.randrange(1_000))
        name = _id(rng, time)
        if number % PER_SESSION == 0:
            session, user = _id(rng, time), f"user-{rng.randrange(_USERS)}"
            used = feature or rng.choice(_FEATURES)
        if number % PER_RUN == 0:
            run = name
        tags = {"user": user, "feature": used, "session": session, "run": run}
        yield _record(rng, name, time, tags, rng.choice(_MODELS))


def _record(
    rng: random.Random, name: str, time: datetime, tags: dict[str, str], asked: str
) -> CallRecord:
    usage = Usage(
        input_tokens=rng.randrange(50, 4_000),
        cache_read_tokens=rng.choice((0, 0, 0, 1_024)),
        output_tokens=rng.randrange(5, 800),
    )
    full = _dollars(asked, usage)
    if rng.random() < 0.3:
        strategy = rng.choice(("cache.exact", "cache.exact", "cache.semantic"))
        return CallRecord(
            id=name,
            time=time,
            model=asked,
            provider="openai",
            usage=Usage(),
            cost=Decimal(0),
            baseline_model=asked,
            baseline_cost=full,
            baseline_usage=usage,
            hit_strategy=strategy,
            savings=(Saving(strategy=strategy, amount=full),),
            tags=tags,
            latency_s=round(rng.expovariate(500), 6),
            priced_by="list",
        )
    routed = asked != _CHEAP and rng.random() < 0.25
    cost = _dollars(_CHEAP, usage) if routed else full
    return CallRecord(
        id=name,
        time=time,
        model=_CHEAP if routed else asked,
        provider="openai",
        usage=usage,
        cost=cost,
        baseline_model=asked,
        baseline_cost=full,
        savings=(Saving(strategy="routing", amount=full - cost),) if routed else (),
        tags=tags,
        latency_s=round(rng.expovariate(0.5), 6),
        priced_by="list",
    )


def _dollars(model: str, usage: Usage) -> Decimal:
    price_in, price_out = _PRICES[model]
    return (usage.input_tokens * price_in + usage.output_tokens * price_out) / 1_000_000


def _id(rng: random.Random, time: datetime) -> str:
    bits = rng.getrandbits(128)
    if rng.random() < 0.5:
        return str(UUID(int=bits, version=4))
    bits = bits & ~(0xFFFFFFFFFFFF << 80) | int(time.timestamp() * 1000) << 80
    return str(UUID(int=bits & ~(0xF << 76) | 0x7 << 76))
