"""What our account says of a row, and what LangChain's own handlers say; the table of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from langchain_community.callbacks.openai_info import OpenAICallbackHandler
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.runnables import RunnableConfig
from llama_index.core.base.llms.types import ChatMessage

from langchain_llm_optimizers import CostCallbackHandler
from llama_index_llm_optimizers import CostEventHandler
from llm_optimizers.costs import CallRecord, Ledger, PriceBook
from support.provider_bills.row import Row

__all__ = ["Seen", "seen", "table"]

QUESTION = "How is the weather in Ulm?"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A row's records by framework, and what LangChain's handlers made of the same call.

    `tokens` are UsageMetadataCallbackHandler's input and output, `openai` is what
    OpenAICallbackHandler says it cost.
    """

    row: Row
    records: Mapping[str, CallRecord]
    tokens: str = "–"
    openai: str = "–"


def seen(row: Row) -> Seen:
    """Make the row's call in both frameworks."""
    records: dict[str, CallRecord] = {}
    tokens = openai = "–"
    if row.langchain is not None:
        records["langchain"], tokens, openai = _in_langchain(row)
    if row.llama_index is not None:
        records["llama-index"] = _in_llama_index(row)
    return Seen(row=row, records=records, tokens=tokens, openai=openai)


def _in_langchain(row: Row) -> tuple[CallRecord, str, str]:
    assert row.langchain is not None
    costs = CostCallbackHandler(Ledger(prices=PriceBook(row.own)))
    tokens, openai = UsageMetadataCallbackHandler(), OpenAICallbackHandler()
    with row.server() as server:
        model = row.langchain(server.url)
        given: RunnableConfig = {"callbacks": [costs, tokens, openai]}
        if row.stream:
            list(model.stream(list(row.prompt) or QUESTION, config=given))
        else:
            model.invoke(list(row.prompt) or QUESTION, config=given)
    (record,) = costs.ledger.records()
    found = list(tokens.usage_metadata.values())
    said = f"{found[0]['input_tokens']:,} / {found[0]['output_tokens']:,}" if found else "nothing"
    return record, said, _cost_of(openai)


def _in_llama_index(row: Row) -> CallRecord:
    assert row.llama_index is not None
    ledger = Ledger(prices=PriceBook(row.own))
    with row.server() as server, CostEventHandler(ledger):
        llm = row.llama_index(server.url)
        question = [ChatMessage(QUESTION)]
        if row.stream:
            list(llm.stream_chat(question))
        else:
            llm.chat(question)
    (record,) = ledger.records()
    return record


def _cost_of(handler: OpenAICallbackHandler) -> str:
    if not handler.successful_requests:
        return "an error"
    return f"${handler.total_cost:.8f}".rstrip("0").rstrip(".")


def table(found: Iterable[Seen]) -> str:
    """Return the table of the page."""
    names = ["answer", "what is billed", "by hand", "LlamaIndex", "LangChain"]
    names += ["usage handler", "OpenAI handler"]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for each in found:
        row, records = each.row, each.records
        cells = [row.name, row.billed, _dollars(row.dollars)]
        cells += [_said(records.get(name)) for name in ("llama-index", "langchain")]
        lines.append(f"| {' | '.join([*cells, each.tokens, each.openai])} |")
    return "\n".join(lines)


def _said(record: CallRecord | None) -> str:
    if record is None:
        return "–"
    marks = ", suspicious" if record.suspicious else ""
    marks += ", says the provider" if record.priced_by == "provider" else ""
    return f"{_dollars(record.cost)}{marks}"


def _dollars(amount: Decimal | None) -> str:
    return "unpriced" if amount is None else f"${amount.normalize():f}"
