"""The dollars that a provider says it billed for a call."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llm_optimizers.costs.usage.places import as_fields, at, there

__all__ = ["Billed", "cost_of_answer", "cost_of_counts"]

_TICK = Decimal("1e-10")  # x.ai's unit
_MOST_DOLLARS = 1_000_000
"""Ten thousand times the dearest call of today: a larger amount cannot be right."""
_LONGEST = 40

# LiteLLM's proxy gives 0 for a model that it has no price for.
_LITELLMS = ("headers.x-litellm-response-cost", "hidden_params.response_cost", "response_cost")
_GATEWAYS = ("provider_metadata.gateway.cost",)
_BESIDE = ("cost", "cost_details", "is_byok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """`cost` is None if none is stated, or if it cannot be right: then it is `suspicious`."""

    cost: Decimal | None = None
    suspicious: bool = False


def cost_of_counts(counts: Mapping[str, Any]) -> Billed:
    """Return the cost that stands beside the counts of a call.

    OpenRouter's credits are dollars; of a call on the user's own key its `cost` is only the fee,
    and what that key is billed stands in the details
    (https://openrouter.ai/docs/use-cases/usage-accounting). Perplexity's `cost` has parts. x.ai
    counts ticks. DeepInfra's is called an estimate, of its own price.
    """
    stated = counts.get("cost")
    if as_fields(stated):
        return _amount(at(counts, "cost.total_cost"))
    if stated is None:
        ticks = _amount(counts.get("cost_in_usd_ticks"), unit=_TICK)
        return _amount(counts.get("estimated_cost")) if ticks == Billed() else ticks
    billed = _amount(stated)
    if counts.get("is_byok") is not True or billed.cost is None:
        return billed
    key = _amount(at(counts, "cost_details.upstream_inference_cost"))
    # Without what the key is billed, the fee is not the bill.
    return key if key.cost is None else Billed(cost=billed.cost + key.cost)


def cost_of_answer(answer: object) -> Billed:
    """Return the cost that an answer states outside its counts.

    langchain-openrouter and the Vercel AI Gateway keep it there, LiteLLM's proxy and client in a
    header and in hidden parameters (https://docs.litellm.ai/docs/proxy/response_headers).
    """
    given = as_fields(answer)
    hidden = getattr(answer, "_hidden_params", None)
    said = [value for _, value in there(given, _LITELLMS)]
    for value in (*said, as_fields(hidden).get("response_cost")):
        billed = _amount(value)
        if billed.cost or billed.suspicious:
            return billed
    for _, value in there(given, _GATEWAYS):
        return _amount(value)
    return cost_of_counts({name: given[name] for name in _BESIDE if name in given})


def _amount(value: object, *, unit: Decimal = Decimal(1)) -> Billed:
    if value is None or value in ("", "None"):
        return Billed()
    with suppress(Exception):
        if not isinstance(value, bool) and isinstance(value, int | float | str | Decimal):
            text = str(value)
            dollars = Decimal(text) * unit if len(text) <= _LONGEST else Decimal(-1)
            if dollars.is_finite() and 0 <= dollars <= _MOST_DOLLARS:
                return Billed(cost=dollars)
    return Billed(suspicious=True)
