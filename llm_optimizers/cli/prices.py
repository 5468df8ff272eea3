"""`llm-optimizers prices`: show the price used for a model, its source and its start date."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from llm_optimizers.cli.output import AsJSON, cell, console, print_json, say
from llm_optimizers.costs import PriceBook, PriceQuote
from llm_optimizers.errors import UnpricedError

__all__ = ["prices"]

_LABELS = {
    "input": "Input",
    "output": "Output",
    "cache_read": "Input read from cache",
    "cache_write": "Input written to cache",
    "cache_write_1h": "Input cached for an hour",
    "reasoning": "Reasoning",
}


class _Tier(StrEnum):
    """The service tiers, as choices for the command line."""

    STANDARD = "standard"
    BATCH = "batch"
    FLEX = "flex"
    PRIORITY = "priority"


def prices(
    model: Annotated[
        str, typer.Argument(help="For example gpt-4o-mini or anthropic:claude-opus-4-5.")
    ],
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Show the price on that date, UTC. Default: now.",
        ),
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="The provider that bills it, if not the model's developer.")
    ] = None,
    tier: Annotated[_Tier, typer.Option(help="The service tier.")] = _Tier.STANDARD,
    as_json: AsJSON = False,
) -> None:
    """Show the price used for a model, its source and its start date.

    Example: `llm-optimizers prices gpt-4o-mini --tier batch --at 2026-01-31`
    """
    book = PriceBook()
    try:
        quote = book.quote(model, provider=provider, at=at, tier=tier.value)
    except UnpricedError as error:
        _say_unpriced(model, str(error), book.similar(model), as_json=as_json)
        raise typer.Exit(1) from None
    if as_json:
        print_json(_plain(quote), indent=2)
    else:
        console().print(_table(quote))


def _say_unpriced(model: str, reason: str, similar: list[str], *, as_json: bool) -> None:
    if as_json:
        answer = {"model": model, "priced": False, "reason": reason, "similar": similar}
        print_json(answer, indent=2)
        return
    say(reason, err=True)
    if similar:
        say(f"Similar names in the price list: {', '.join(similar)}", err=True)


def _per_million(rate: Decimal | None) -> Decimal | None:
    return None if rate is None else rate.scaleb(6)


def _plain(quote: PriceQuote) -> dict[str, Any]:
    """Return the quote ready for JSON, in dollars per million tokens."""

    def rates(card: Any) -> dict[str, float | None]:
        amounts = {part: _per_million(getattr(card, part)) for part in _LABELS}
        return {part: None if v is None else float(v) for part, v in amounts.items()}

    return {
        "model": quote.model,
        "priced": True,
        "provider": quote.provider,
        "tier": quote.tier,
        "at": quote.at.isoformat(),
        "per_million_tokens": rates(quote.card),
        "per_request": float(quote.card.per_request),
        "long_context": [
            {"above_input_tokens": above, "per_million_tokens": rates(card)}
            for above, card in quote.card.long_context
        ],
        "context_window": quote.context_window,
        "source": quote.source,
        "since": None if quote.since is None else quote.since.isoformat(),
        "url": quote.url,
    }


def _table(quote: PriceQuote) -> Table:
    table = Table(title=cell(f"{quote.model} from {quote.provider}, {quote.tier} tier"))
    table.add_column("On")
    table.add_column(f"{quote.at:%Y-%m-%d}", justify="right")
    for part, label in _LABELS.items():
        amount = _per_million(getattr(quote.card, part))
        if amount is not None:
            table.add_row(label, f"${amount.normalize():f} / 1M tokens")
    if quote.card.per_request:
        table.add_row("Each request", f"${quote.card.per_request.normalize():f}")
    for above, card in quote.card.long_context:
        rates = card.rates
        each = f"${rates.input.scaleb(6).normalize():f} in, ${rates.output.scaleb(6).normalize():f}"
        table.add_row(f"Above {above:,} input tokens", f"{each} out / 1M tokens")
    if quote.context_window is not None:
        table.add_row("Context window", f"{quote.context_window:,} tokens")
    table.add_row("Source", cell(quote.source))
    table.add_row("Valid since", "not stated" if quote.since is None else f"{quote.since}")
    if quote.url is not None:
        table.add_row("Published at", cell(quote.url))
    return table
