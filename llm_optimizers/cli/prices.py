"""`llm-optimizers prices`: every rate of a model, its source, and what a call would cost."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from llm_optimizers.cli.ledger_places import FORMATS
from llm_optimizers.cli.output import AsJSON, cell, console, exit_on_error, print_json, say
from llm_optimizers.costs import PriceBook, PriceQuote, Usage
from llm_optimizers.costs.prices.bill import Bill, bill
from llm_optimizers.costs.prices.rates import FEES, LABELS, TOKEN_RATES, RateCard
from llm_optimizers.errors import UnpricedError

__all__ = ["Contract", "prices", "prices_of"]

Contract = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        help="Your contract: own prices, discounts, hours (TOML or JSON, see docs/prices.md).",
    ),
]
_PARTS = {
    "input_audio_tokens": "input_tokens",
    "output_audio_tokens": "output_tokens",
    "output_image_tokens": "output_tokens",
    "web_searches": "",
    "file_searches": "",
    "code_sessions": "",
    "images": "",
}
"""What may have no price, and the count that it is part of."""


class _Tier(StrEnum):
    """The service tiers with prices, as choices for the command line."""

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
            formats=FORMATS,
            help="Show the price on that date, UTC. Default: now.",
        ),
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="The provider that bills it, if not the model's developer.")
    ] = None,
    tier: Annotated[_Tier, typer.Option(help="The service tier.")] = _Tier.STANDARD,
    contract: Contract = None,
    input_tokens: Annotated[
        int, typer.Option("--input", min=0, help="Input tokens, with those of the parts below.")
    ] = 0,
    output_tokens: Annotated[
        int, typer.Option("--output", min=0, help="Output tokens, with reasoning and audio.")
    ] = 0,
    cached: Annotated[int, typer.Option(min=0, help="Input read from the provider's cache.")] = 0,
    written: Annotated[int, typer.Option(min=0, help="Input written to that cache.")] = 0,
    reasoning: Annotated[int, typer.Option(min=0, help="Output that was reasoning.")] = 0,
    audio_input: Annotated[int, typer.Option(min=0, help="Input that was audio.")] = 0,
    audio_output: Annotated[int, typer.Option(min=0, help="Output that was audio.")] = 0,
    picture_output: Annotated[int, typer.Option(min=0, help="Output that was pictures.")] = 0,
    searches: Annotated[int, typer.Option(min=0, help="Web searches.")] = 0,
    file_searches: Annotated[int, typer.Option(min=0, help="File searches.")] = 0,
    code_sessions: Annotated[int, typer.Option(min=0, help="Containers that ran code.")] = 0,
    as_json: AsJSON = False,
) -> None:
    """Show every rate of a model, with its source and date; with counts, what a call would cost.

    A part of a call that has no known price (audio, a search) leaves the whole call unpriced: it is
    never counted as free or as text.

    Example: `llm-optimizers prices gpt-5 --input 1200 --cached 800 --output 300 --searches 2`

    With your contract: `llm-optimizers prices azure/gpt-4o --prices prices.toml --at 2026-01-31`
    """
    usage = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        input_audio_tokens=audio_input,
        output_audio_tokens=audio_output,
        output_image_tokens=picture_output,
        web_searches=searches,
        file_searches=file_searches,
        code_sessions=code_sessions,
    )
    _check_parts(usage)
    with exit_on_error():
        book = prices_of(contract)
    try:
        quote = book.quote(model, provider=provider, at=at, tier=tier.value)
    except UnpricedError as error:
        _say_unpriced(model, str(error), book.similar(model), as_json=as_json)
        raise typer.Exit(1) from None
    example = None if usage == Usage() else bill(quote.card, usage)
    if as_json:
        print_json(_plain(quote, example), indent=2)
        return
    console().print(_table(quote))
    if example is not None:
        console().print(_example_table(example))


def prices_of(contract: Path | None) -> PriceBook:
    """Return the prices of a contract's file, or those of the list."""
    return PriceBook() if contract is None else PriceBook.from_file(contract)


def _check_parts(usage: Usage) -> None:
    """Refuse an example whose parts are more than their whole."""
    for option, whole, parts in (
        ("--input", usage.input_tokens, usage.cache_read_tokens + usage.cache_write_tokens),
        ("--input", usage.input_tokens, usage.input_audio_tokens),
        (
            "--output",
            usage.output_tokens,
            usage.reasoning_tokens + usage.output_audio_tokens + usage.output_image_tokens,
        ),
    ):
        if parts > whole:
            raise typer.BadParameter(f"{whole} is less than its parts, {parts}", param_hint=option)


def _say_unpriced(model: str, reason: str, similar: list[str], *, as_json: bool) -> None:
    if as_json:
        answer = {"model": model, "priced": False, "reason": reason, "similar": similar}
        print_json(answer, indent=2)
        return
    say(reason, err=True)
    if similar:
        say(f"Similar names in the price list: {', '.join(similar)}", err=True)


def _without_price(card: RateCard) -> list[str]:
    """Return what would leave a call to the model unpriced."""
    usages = (Usage(**dict.fromkeys(filter(None, names), 1)) for names in _PARTS.items())
    reasons = (bill(card, usage).unpriced for usage in usages)
    found = dict.fromkeys(reason for reason in reasons if reason is not None)
    return [reason.removeprefix("no price for ") for reason in found]


def _rates(card: RateCard) -> dict[str, Decimal]:
    """Return the rates that there are, tokens per million."""
    tokens = {part: getattr(card, part) for part in TOKEN_RATES}
    fees = {part: getattr(card, part) or None for part in FEES}
    found = {part: rate.scaleb(6) for part, rate in tokens.items() if rate is not None}
    return found | {part: rate for part, rate in fees.items() if rate is not None}


def _plain(quote: PriceQuote, example: Bill | None) -> dict[str, Any]:
    """Return the quote ready for JSON, in dollars per million tokens or each."""

    def rates(card: RateCard, of: Any) -> dict[str, float | None]:
        found = _rates(card)
        return {part: float(found[part]) if part in found else None for part in of}

    card = quote.card
    return {
        "model": quote.model,
        "priced": True,
        "provider": quote.provider,
        "tier": quote.tier,
        "at": quote.at.isoformat(),
        "per_million_tokens": rates(card, TOKEN_RATES),
        "fees": rates(card, FEES),
        "per_request": float(card.per_request),
        "long_context": [
            {"above_input_tokens": above, "per_million_tokens": rates(longer, TOKEN_RATES)}
            for above, longer in card.long_context
        ],
        "not_counted": {name: float(rate) for name, rate in card.unused},
        "without_price": _without_price(card),
        "context_window": quote.context_window,
        "source": quote.source,
        "since": None if quote.since is None else quote.since.isoformat(),
        "url": quote.url,
        "comment": quote.comment,
        "example": None if example is None else _plain_bill(example),
    }


def _plain_bill(example: Bill) -> dict[str, Any]:
    return {
        "cost": None if example.cost is None else float(example.cost),
        "unpriced": example.unpriced,
        "at_least": float(example.known),
        "lines": [
            {
                "part": line.part,
                "count": line.count,
                "cost": None if line.amount is None else float(line.amount),
            }
            for line in example.lines
        ],
    }


def _table(quote: PriceQuote) -> Table:
    table = Table(title=cell(f"{quote.model} from {quote.provider}, {quote.tier} tier"))
    table.add_column("On")
    table.add_column(f"{quote.at:%Y-%m-%d}", justify="right")
    for part, rate in _rates(quote.card).items():
        table.add_row(_label(part), _per(part, rate))
    for above, card in quote.card.long_context:
        table.add_row(f"Above {above:,} input tokens", "")
        for part, rate in _rates(card).items():
            if part in TOKEN_RATES:
                table.add_row(f"  {_label(part)}", _per(part, rate))
    for name, rate in quote.card.unused:
        table.add_row(cell(f"Listed, not counted: {name}"), f"${rate.normalize():f}")
    missing = _without_price(quote.card)
    if missing:
        table.add_row("Unpriced if used", cell(", ".join(missing)))
    if quote.context_window is not None:
        table.add_row("Context window", f"{quote.context_window:,} tokens")
    table.add_row("Source", cell(quote.source))
    table.add_row("Valid since", "not stated" if quote.since is None else f"{quote.since}")
    if quote.url is not None:
        table.add_row("Published at", cell(quote.url))
    return table


def _example_table(example: Bill) -> Table:
    table = Table(title="The example call")
    table.add_column("Part")
    table.add_column("Count", justify="right")
    table.add_column("Rate", justify="right")
    table.add_column("Cost", justify="right")
    for line in example.lines:
        if line.rate is None or line.amount is None:
            table.add_row(_label(line.part), f"{line.count:,}", "none known", "unknown")
            continue
        shown = line.rate.scaleb(6) if line.part in TOKEN_RATES else line.rate
        cost = f"${line.amount.normalize():f}"
        table.add_row(_label(line.part), f"{line.count:,}", _per(line.part, shown), cost)
    table.add_section()
    if example.cost is None:
        known = f"at least ${example.known.normalize():f}"
        table.add_row(f"Unpriced: {example.unpriced}", "", "", known)
    else:
        table.add_row("Cost", "", "", f"${example.cost.normalize():f}")
    return table


def _label(part: str) -> str:
    text = "each request" if part == "per_request" else LABELS[part]
    return text[0].upper() + text[1:]


def _per(part: str, rate: Decimal) -> str:
    amount = f"${rate.normalize():f}"
    return f"{amount} / 1M tokens" if part in TOKEN_RATES else f"{amount} each"
