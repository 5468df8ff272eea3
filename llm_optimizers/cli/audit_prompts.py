"""`llm-optimizers audit-prompts`: wasted tokens in prompt files, line by line, and their cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_optimizers.cli.output import AsJSON
from llm_optimizers.costs import PriceBook
from llm_optimizers.errors import ConfigurationError, UnpricedError
from llm_optimizers.prompts import TokenCount, TokenCounter
from llm_optimizers.prompts.audit import Finding, audit
from llm_optimizers.types import ChatRequest, Message

__all__ = ["audit_prompts"]

_DAYS = 30
_MAX_BYTES = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audited:
    """One message of a file: its place, its size and the findings."""

    file: str
    place: str
    tokens: TokenCount
    findings: tuple[Finding, ...]


def audit_prompts(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="System prompts as text, chat requests as JSON ({messages: […]} or a list), or "
            "JSONL.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    model: Annotated[str, typer.Option(help="The model that the prompts are sent to.")] = "gpt-4o",
    per_day: Annotated[int, typer.Option(min=0, help="Requests per day with each prompt.")] = 1_000,
    as_json: AsJSON = False,
) -> None:
    """Show where prompts waste tokens, what to change, and what the waste costs at your traffic.

    What the optimiser removes by default is counted apart from what is for you to judge. Where an
    optional pass would make the change, the advice names it.
    """
    counter = TokenCounter()
    audited: list[_Audited] = []
    for path in files:
        for place, message in _messages(path):
            audited.append(
                _Audited(
                    file=str(path),
                    place=place,
                    tokens=counter.count(message.text, model),
                    findings=audit(
                        message.text,
                        model=model,
                        counter=counter,
                        role=message.role,
                    ),
                )
            )
    totals = _totals(audited, model, per_day)
    if as_json:
        typer.echo(json.dumps({**totals, "prompts": [_plain(a) for a in audited]}, indent=2))
        return
    for each in audited:
        _print(each)
    _print_totals(totals)


def _messages(path: Path) -> Iterator[tuple[str, Message]]:
    """Yield the messages of a file; a text file is one system prompt."""
    if path.stat().st_size > _MAX_BYTES:
        raise typer.BadParameter(f"{path} is over {_MAX_BYTES // 1_000_000} MB; split it")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is not UTF-8 text") from None
    if path.suffix not in (".json", ".jsonl"):
        yield "", Message(role="system", content=text)
        return
    rows = [text] if path.suffix == ".json" else [r for r in text.split("\n") if r.strip()]
    for number, row in enumerate(rows, start=1):
        at = f"row {number}, " if path.suffix == ".jsonl" else ""
        try:
            raw = json.loads(row)
            body = raw if isinstance(raw, dict) else {"messages": raw}
            request = ChatRequest.from_openai(body.get("body") or body)
        except (ValueError, RecursionError, ConfigurationError, AttributeError) as error:
            raise typer.BadParameter(f"{path}: {at}not a chat request: {error}") from None
        for index, message in enumerate(request.messages):
            yield f"{at}message {index} ({message.role})", message


def _totals(audited: list[_Audited], model: str, per_day: int) -> dict[str, Any]:
    """Return tokens and money per month, at the input price and at the price of cached input."""
    tokens = sum(a.tokens.tokens for a in audited)
    sure = sum(f.tokens for a in audited for f in a.findings if f.lossless)
    more = sum(f.tokens for a in audited for f in a.findings if not f.lossless)
    totals: dict[str, Any] = {
        "model": model,
        "requests_per_day": per_day,
        "tokens": tokens,
        "tokens_are_exact": all(a.tokens.exact for a in audited),
        "lossless_tokens": sure,
        "tokens_to_judge": more,
    }
    try:
        rates = PriceBook().rates(model)
    except UnpricedError as error:
        return {**totals, "dollars_per_month": None, "unpriced": str(error)}

    def monthly(count: int, rate: Decimal) -> float:
        return float(round(count * rate * per_day * _DAYS, 2))

    return {
        **totals,
        "dollars_per_month": {
            "now": monthly(tokens, rates.input),
            "lossless_saving": monthly(sure, rates.input),
            "lossless_saving_if_cached": monthly(sure, rates.cache_read),
            "saving_to_judge": monthly(more, rates.input),
        },
    }


def _plain(audited: _Audited) -> dict[str, Any]:
    return {
        "file": audited.file,
        "place": audited.place,
        "tokens": audited.tokens.tokens,
        "findings": [asdict(finding) for finding in audited.findings],
    }


def _print(audited: _Audited) -> None:
    where = f"{audited.file} {audited.place}".strip()
    about = "" if audited.tokens.exact else "about "
    console = Console()
    if not audited.findings:
        console.print(Text(f"{where}: {about}{audited.tokens.tokens:,} tokens, nothing found"))
        return
    table = Table(title=Text(f"{where}: {about}{audited.tokens.tokens:,} tokens"))
    table.add_column("Line", justify="right")
    table.add_column("Tokens", justify="right")
    table.add_column("What")
    table.add_column("Where")
    table.add_column("What to change")
    for found in audited.findings:
        tokens = f"-{found.tokens:,}" if found.tokens else ""
        cells = (found.kind, found.excerpt, found.advice)
        table.add_row(str(found.line), tokens, *(Text(cell) for cell in cells))
    console.print(table)


def _print_totals(totals: dict[str, Any]) -> None:
    tokens, sure, more = (totals[k] for k in ("tokens", "lossless_tokens", "tokens_to_judge"))
    typer.echo(
        f"\nThe optimiser removes {sure:,} of {tokens:,} tokens by default, proven to change "
        f"nothing; {more:,} more are for you to judge."
    )
    money = totals["dollars_per_month"]
    if money is None:
        typer.echo(totals["unpriced"])
        return
    sure_money, cached = money["lossless_saving"], money["lossless_saving_if_cached"]
    typer.echo(
        f"At {totals['requests_per_day']:,} requests per day to {totals['model']}, the prompts "
        f"cost ${money['now']:,.2f} per month. By default ${sure_money:,.2f} of that "
        f"are saved (${cached:,.2f} if the provider has cached the prompt), by the others up to "
        f"${money['saving_to_judge']:,.2f}."
    )
