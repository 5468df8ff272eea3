"""A row of the table: one answer, and its bill by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from llama_index.core.llms.llm import LLM

from llm_optimizers.costs import ModelPrice
from support.scripted_server import scripted_server

__all__ = ["UNPRICED", "Row", "million", "pieces"]

UNPRICED = None
"""The honest bill of a call with a part that no list has a price for."""


def million(tokens: int, dollars: str) -> Decimal:
    """Return the price of tokens at so many dollars a million."""
    return tokens * Decimal(dollars) / 1_000_000


def pieces(count: int, dollars: str) -> Decimal:
    """Return the price of pieces at so many dollars each."""
    return count * Decimal(dollars)


@dataclass(frozen=True, kw_only=True)
class Row:
    """An answer and its bill.

    `body` is what the server answers, or `events` if the answer is streamed; `serve` runs another
    server than one that sends these. `langchain` and `llama_index` make a model for the server's
    URL, None where a framework has none here. `billed` says in words what is billed, `rates` where
    its rates are published. `dollars` is the bill; `seen_by_langchain` is another one where
    LangChain hides a part of the answer. `own` are prices of the user's for models without a list
    price. With `stream` the answer is streamed. `prompt` is what is asked in LangChain, where that
    says more than the answer. `priced_by` and `suspicious` are those of our
    record.
    """

    name: str
    billed: str
    rates: str
    dollars: Decimal | None
    langchain: Callable[[str], BaseChatModel] | None = None
    llama_index: Callable[[str], LLM] | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    serve: Callable[[], AbstractContextManager[Any]] | None = None
    seen_by_langchain: Decimal | str | None = ""
    own: Mapping[str, ModelPrice] = field(default_factory=dict)
    stream: bool = False
    prompt: Sequence[BaseMessage] = ()
    priced_by: str | None = "list"
    suspicious: bool = False

    def __str__(self) -> str:
        return self.name

    def server(self) -> AbstractContextManager[Any]:
        """Run the server that gives the answer; its `url` is for the models."""
        if self.serve is not None:
            return self.serve()
        return scripted_server(self.body, self.events)

    def bill(self, framework: str) -> Decimal | None:
        """Return the bill that a framework lets an account see."""
        if framework == "langchain" and self.seen_by_langchain != "":
            return self.seen_by_langchain  # type: ignore[return-value]
        return self.dollars
