"""`llm-optimizers audit-prompts`: wasted tokens in prompt files, line by line, and their cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from llm_optimizers.cli.output import AsJSON, cell, console, exit_on_error, print_json, say
from llm_optimizers.cli.prompt_files import Prompt, read_prompts
from llm_optimizers.costs import PriceBook
from llm_optimizers.errors import UnpricedError
from llm_optimizers.prompts import TokenCount, TokenCounter
from llm_optimizers.prompts.audit import Finding, audit
from llm_optimizers.shown import shown

__all__ = ["audit_prompts"]

_DAYS = 30
_PER_DAY = 1_000
_ALONE = 20  # texts of no template that are audited; a log may have as many as requests


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audited:
    """A prompt with the size of its text and the findings in it."""

    prompt: Prompt
    tokens: TokenCount
    findings: tuple[Finding, ...]

    @property
    def in_all(self) -> int:
        """Tokens of all requests of the log, or of the one text of another file."""
        return round(self.tokens.tokens * self.prompt.longer)

    @property
    def is_exact(self) -> bool:
        """Whether `in_all` was counted and not estimated from the example."""
        return self.tokens.exact and self.prompt.texts == 1

    def wasted(self, *, lossless: bool) -> int:
        """Tokens to save in all requests, by default or after a person's judgement."""
        found = sum(f.tokens for f in self.findings if f.lossless is lossless)
        return found * (self.prompt.requests or 1)


def audit_prompts(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="System prompts as text, a chat request as .json ({messages: […]} or a list), or "
            "a log of requests as .jsonl.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    model: Annotated[str, typer.Option(help="The model that the prompts are sent to.")] = "gpt-4o",
    per_day: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Requests per day with each prompt, by default 1,000; of a log: of all its "
            "requests, by default as many as it holds.",
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Show where prompts waste tokens, what to change, and what the waste costs at your traffic.

    What the optimiser removes by default is counted apart from what is for you to judge. Where an
    optional pass would make the change, the advice names it. Of a log, each template is shown
    once, with the number of requests that were made from it.

    Example: `llm-optimizers audit-prompts system_prompt.txt monday.jsonl --per-day 20000`
    """
    counter = TokenCounter()
    with exit_on_error():
        prompts, others = _chosen(chain.from_iterable(read_prompts(path) for path in files))
        audited = [
            _Audited(
                prompt=each,
                tokens=counter.count(each.text, model),
                findings=audit(each.text, model=model, counter=counter, role=each.role),
            )
            for each in prompts
        ]
    totals = _totals(audited, model, per_day, others)
    if as_json:
        print_json({**totals, "prompts": [_plain(a) for a in audited]}, indent=2)
        return
    clean = [each for each in audited if not each.findings and each.prompt.requests is not None]
    for each in audited:
        if each not in clean:
            _print(each)
    _print_clean(clean)
    _print_totals(totals)


def _chosen(prompts: Iterable[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """Return the prompts to audit, and the texts of no template that are left out."""
    chosen: list[Prompt] = []
    others: list[Prompt] = []
    alone = 0
    for each in prompts:
        alone += each.requests == 1
        (chosen if each.requests != 1 or alone <= _ALONE else others).append(each)
    return chosen, others


def _tokens_of(others: list[Prompt], audited: list[_Audited]) -> int:
    """Estimate the tokens of texts that were not counted, as many a character as of the others."""
    characters = sum(len(each.prompt.text) for each in audited) or 1
    each = sum(a.tokens.tokens for a in audited) / characters
    return round(each * sum(len(other.text) for other in others))


def _totals(
    audited: list[_Audited], model: str, per_day: int | None, others: list[Prompt]
) -> dict[str, Any]:
    """Return tokens and money per month, at the input price and at the price of cached input."""
    logged = max((a.prompt.requests or 0 for a in audited), default=0)
    more = _tokens_of(others, audited)
    each_day = _PER_DAY if per_day is None else per_day
    totals: dict[str, Any] = {
        "model": model,
        "requests_per_day": logged if logged and per_day is None else each_day,
        "tokens": sum(a.in_all for a in audited) + more,
        "tokens_are_exact": all(a.is_exact for a in audited) and not others,
        "lossless_tokens": sum(a.wasted(lossless=True) for a in audited),
        "tokens_to_judge": sum(a.wasted(lossless=False) for a in audited),
        "texts_not_audited": len(others),
    }
    try:
        rates = PriceBook().rates(model)
    except UnpricedError as error:
        return {**totals, "dollars_per_month": None, "unpriced": str(error)}

    of_log = Decimal(1) if per_day is None or not logged else Decimal(per_day) / logged

    def times(each: _Audited) -> Decimal:
        """How often a day the tokens of a prompt are sent; those of a log are all it holds."""
        if each.prompt.requests is None:
            return Decimal(each_day)
        return of_log

    def monthly(counts: Iterator[tuple[_Audited, int]], rate: Decimal, rest: int = 0) -> float:
        sent = sum((count * times(each) for each, count in counts), rest * of_log)
        return float(round(sent * rate * _DAYS, 2))

    def wasted(*, lossless: bool) -> Iterator[tuple[_Audited, int]]:
        return ((each, each.wasted(lossless=lossless)) for each in audited)

    return {
        **totals,
        "dollars_per_month": {
            "now": monthly(((each, each.in_all) for each in audited), rates.input, more),
            "lossless_saving": monthly(wasted(lossless=True), rates.input),
            "lossless_saving_if_cached": monthly(wasted(lossless=True), rates.cache_read),
            "saving_to_judge": monthly(wasted(lossless=False), rates.input),
        },
    }


def _plain(audited: _Audited) -> dict[str, Any]:
    prompt = audited.prompt
    logged = {"requests": prompt.requests, "texts": prompt.texts, "tokens_in_all": audited.in_all}
    return {
        "file": prompt.file,
        "place": prompt.place,
        "tokens": audited.tokens.tokens,
        **(logged if prompt.requests is not None else {}),
        "findings": [asdict(finding) for finding in audited.findings],
    }


def _print(audited: _Audited) -> None:
    prompt = audited.prompt
    where = f"{shown(prompt.file)} {prompt.place}".strip()
    about = "" if audited.tokens.exact else "about "
    size = f"{where}: {about}{audited.tokens.tokens:,} tokens"
    if prompt.requests is not None:
        size += f", in {prompt.requests:,} requests"
        size += f" ({prompt.texts:,} texts of one template)" if prompt.texts > 1 else ""
    if not audited.findings:
        say(f"{size}, nothing found")
        return
    table = Table(title=cell(size))
    table.add_column("Line", justify="right")
    table.add_column("Tokens", justify="right")
    table.add_column("What")
    table.add_column("Where")
    table.add_column("What to change")
    for found in audited.findings:
        tokens = f"-{found.tokens:,}" if found.tokens else ""
        cells = (found.kind, found.excerpt, found.advice)
        table.add_row(str(found.line), tokens, *(cell(each) for each in cells))
    console().print(table)


def _print_clean(clean: list[_Audited]) -> None:
    """Name the prompts of logs without findings in one line."""
    if clean:
        requests = sum(each.prompt.requests or 0 for each in clean)
        say(f"Nothing found in {len(clean):,} other texts or templates, sent {requests:,} times.")


def _print_totals(totals: dict[str, Any]) -> None:
    tokens, sure, more = (totals[k] for k in ("tokens", "lossless_tokens", "tokens_to_judge"))
    if totals["texts_not_audited"]:
        say(f"{totals['texts_not_audited']:,} texts of no template were not audited.")
    say(
        f"\nThe optimiser removes {sure:,} of {tokens:,} tokens by default, proven to change "
        f"nothing; {more:,} more are for you to judge."
    )
    money = totals["dollars_per_month"]
    if money is None:
        say(totals["unpriced"])
        return
    sure_money, cached = money["lossless_saving"], money["lossless_saving_if_cached"]
    say(
        f"At {totals['requests_per_day']:,} requests per day to {shown(totals['model'])}, the "
        f"prompts cost ${money['now']:,.2f} per month. By default ${sure_money:,.2f} of that "
        f"are saved (${cached:,.2f} if the provider has cached the prompt), by the others up to "
        f"${money['saving_to_judge']:,.2f}."
    )
