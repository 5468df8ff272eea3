"""A picklable function over rows of prompts, which returns each row with its result or error.

For any framework that maps a function over partitions. Each process creates one client, however
often the function is sent to it:

    multiprocessing   pool.map(ask, chunks)
    Ray Data          dataset.map_batches(
                          lambda frame: DataFrame(ask(frame.to_dict("records"))),
                          batch_format="pandas")
    Spark             frame.rdd.mapPartitions(lambda rows: ask([row.asDict() for row in rows]))
    Daft              @daft.func.batch(return_dtype=daft.DataType.string())
                      def answer(prompts: daft.Series):
                          rows = ask([{"prompt": prompt} for prompt in prompts.to_pylist()])
                          return [row["result"] for row in rows]
                      frame.with_column("answer", answer(daft.col("prompt")))

`ProviderBatch` costs half as much and needs no cluster, if answers within a day are soon enough.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llm_optimizers.arguments import function, mapping, optional, string, text, whole
from llm_optimizers.costs import ModelPrice, PriceBook, Usage
from llm_optimizers.costs.answers import Reported
from llm_optimizers.costs.call import Call
from llm_optimizers.costs.reports import Report
from llm_optimizers.errors import ConfigurationError, ItemError
from llm_optimizers.forks import ProcessLock
from llm_optimizers.shown import shown_lines

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

__all__ = ["AskRows"]

_COPIES: dict[tuple[int, str], AskRows] = {}
"""Unpickled copies by process and id: a pool sends its function with each chunk, and a client is
expensive to create."""
_COPIES_LOCK = ProcessLock()
_MAX_COPIES = 16


@dataclass(eq=False, repr=False)
class AskRows:
    """Asks a model about every row.

    A row holds its question under `column`, or a list of messages under `messages`. The returned
    row has four more entries, always of the same types: `result` (text or None), `error` (text or
    None), `usage` (counts by name) and `cost` (dollars as text, None without a price). A row that
    fails does not affect the others.

    Args:
        model: the model's name.
        client: creates the SDK's client, once in each process; must be picklable, such as
            `functools.partial(OpenAI, max_retries=5)`. From the environment if not given.
        column: the key of the question.
        system: a system message for every question.
        params: more parameters of the request.
        concurrency: concurrent calls in each process.
        provider: the model's provider, for its price.
        prices: your own prices by model.
    """

    model: str
    _: KW_ONLY
    client: Callable[[], OpenAI] | None = None
    column: str = "prompt"
    system: str | None = None
    params: Mapping[str, Any] | None = None
    concurrency: int = 8
    provider: str | None = None
    prices: Mapping[str, ModelPrice] | None = None

    def __post_init__(self) -> None:
        text("model", self.model)
        optional(function, "client", self.client)
        text("column", self.column)
        optional(string, "system", self.system)
        optional(mapping, "params", self.params)
        self.concurrency = whole("concurrency", self.concurrency, least=1)
        optional(text, "provider", self.provider)
        optional(mapping, "prices", self.prices, ModelPrice)
        self._identity = uuid.uuid4().hex
        self._prices = PriceBook(self.prices)
        self._client: OpenAI | None = None
        self._connected_in = 0
        self._connecting = ProcessLock()

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answer rows, in order; raises only errors that would affect every row."""
        if not rows:
            return []
        client = self._connect()
        with ThreadPoolExecutor(min(self.concurrency, len(rows))) as pool:
            return list(pool.map(lambda row: self._ask(client, row), rows))

    def close(self) -> None:
        """Close this process's client; later rows use a new one."""
        with self._connecting:
            client, self._client = self._client, None
            inherited = self._connected_in != os.getpid()
        if client is not None and not inherited:
            client.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only the settings; a client belongs to the process that created it."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)}
        return _copy_of, (self._identity, settings)

    def _connect(self) -> OpenAI:
        with self._connecting:
            # A forked process must not use its parent's connections.
            if self._client is None or self._connected_in != os.getpid():
                # Load the price list first: the SDK fails while another thread loads modules.
                self._prices.warm_up()
                if self.client is not None:
                    self._client = self.client()
                else:
                    from openai import OpenAI

                    self._client = OpenAI()
                self._connected_in = os.getpid()
            return self._client

    def _ask(self, client: OpenAI, row: Mapping[str, Any]) -> dict[str, Any]:
        usage: Usage | None = None
        cost: str | None = None
        try:
            answer = client.chat.completions.create(
                model=self.model, messages=self._messages(row), **(self.params or {})
            )
            reported = Report().add(answer).reported()
            usage, cost = reported.usage or Usage(), self._cost(reported)
            text = _text(answer)
        except Exception as error:  # noqa: BLE001 - it becomes the row's error
            return _with_result(
                row, error=f"{type(error).__name__}: {shown_lines(error)}", usage=usage, cost=cost
            )
        return _with_result(row, result=text, usage=usage, cost=cost)

    def _messages(self, row: Mapping[str, Any]) -> Any:
        if "messages" in row:
            return row["messages"]
        if not isinstance(row.get(self.column), str):
            raise ConfigurationError(f"the row has no text under {self.column!r} and no `messages`")
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": row[self.column]}]

    def _cost(self, reported: Reported) -> str | None:
        call = Call(
            id="row",
            time=datetime.now(UTC),
            asked=self.model,
            answered=reported.model,
            provider=self.provider,
            reported=reported.usage,
            tier=reported.tier,
            suspicious=reported.suspicious,
            billed=reported.cost,
        )
        cost = call.record(self._prices).cost
        return None if cost is None else str(cost)


def _text(answer: ChatCompletion) -> str:
    """Return the answer's text; an answer without text is an error, although it is billed."""
    if not answer.choices:
        raise ItemError("the answer is empty")
    choice = answer.choices[0]
    if choice.message.content is None:
        reason = choice.message.refusal or f"finish reason {choice.finish_reason}"
        raise ItemError(f"the answer has no text: {reason}")
    return choice.message.content


def _with_result(
    row: Mapping[str, Any],
    *,
    result: str | None = None,
    error: str | None = None,
    usage: Usage | None = None,
    cost: str | None = None,
) -> dict[str, Any]:
    counts = (usage or Usage()).as_dict()
    return {**row, "result": result, "error": error, "usage": counts, "cost": cost}


def _copy_of(identity: str, settings: dict[str, Any]) -> AskRows:
    """Return this process's copy, created when first unpickled; the oldest of many are dropped."""
    key = os.getpid(), identity
    with _COPIES_LOCK:
        if key not in _COPIES:
            while len(_COPIES) >= _MAX_COPIES:
                del _COPIES[next(iter(_COPIES))]
            copy = _COPIES[key] = AskRows(**settings)
            copy._identity = identity
        return _COPIES[key]
