"""The time from request to Decision, with the learned policy and two models."""

from __future__ import annotations

import statistics
import time
from decimal import Decimal

from llm_optimizers.costs import ModelPrice, PriceBook
from llm_optimizers.evidence.drift import quantile_edges
from llm_optimizers.routing import ModelSpec, Router
from llm_optimizers.routing.learning.activation import assess_activation
from llm_optimizers.routing.learning.artefact import RouterArtefact
from llm_optimizers.routing.learning.calibration import Calibration
from llm_optimizers.routing.learning.fitting import fit_gains
from llm_optimizers.routing.policies.learned import LearnedPolicy
from llm_optimizers.types import ChatRequest, Message
from routing.outcomes import Outcomes

TOKENS, CHARACTERS_A_TOKEN = 500, 4.3
ROUNDS = 400


def decide_ms(data: Outcomes) -> float:
    """Return the median milliseconds for a prompt of about 500 tokens."""
    price = ModelPrice(input=Decimal(1), output=Decimal(2))
    router = Router(
        [ModelSpec("weak"), ModelSpec("strong")],
        policy=LearnedPolicy(_artefact(data)),
        prices=PriceBook({"weak": price, "strong": price}),
    )
    text = " ".join(data.prompts)
    size = int(TOKENS * CHARACTERS_A_TOKEN)
    requests = [
        ChatRequest(messages=(Message(role="user", content=text[start : start + size]),))
        for start in range(0, 50 * size, size)
    ]
    times: list[float] = []
    for number in range(ROUNDS):
        request = requests[number % len(requests)]
        started = time.perf_counter()
        router.decide(request)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def _artefact(data: Outcomes) -> RouterArtefact:
    """Return a router that acts, so that no step is skipped; its quality does not matter here."""
    size = 1_500
    gains = data.gains[:size]
    report = assess_activation(
        gains, gains, range(size), weak="weak", strong="strong", tolerance=0.5
    )
    model = fit_gains(data.features[:size], {"weak": gains}, bits=17)
    return RouterArtefact.of(
        Calibration(
            model=model,
            strong="strong",
            tolerance=0.5,
            labels=size,
            reports={"weak": report},
            edges={"weak": quantile_edges(gains)},
        ),
        created="2026-01-01",
    )
