"""A million prompts: one picklable callable, rows in, rows out, each with its result or its error.

It fits wherever a framework maps a function over partitions; each process makes its own client:

    multiprocessing   pool.map(ask, chunks)
    Ray Data          dataset.map_batches(lambda frame: DataFrame(ask(frame.to_dict("records"))),
                                          batch_format="pandas")
    Spark             rdd.mapPartitions(lambda rows: ask([row.asDict() for row in rows]))
    Daft              a batch function over columns that calls `ask` with one dict a row

`ProviderBatch` costs half as much and needs no cluster, where an answer within a day will do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from llm_optimizers.costs import ModelPrice, PriceBook, Usage
from llm_optimizers.errors import ConfigurationError, UnpricedError

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["AskRows"]


class AskRows:
    """Asks a model about every row.

    A row holds its question under `column`, or whole messages under `messages`. What comes back
    is the row with four more entries, of the same types everywhere: `result` (text or None),
    `error` (text or None), `usage` (counts by name) and `cost` (dollars as text, None when there
    is no price). A row that fails costs the others nothing.

    Args:
        model: what to ask.
        client: makes the SDK's client, once in each process; must be picklable, such as
            `functools.partial(OpenAI, max_retries=5)`. From the environment if not given.
        column: where the question is.
        system: instructions in front of every question.
        params: further settings of the request.
        concurrency: calls at the same time in each process.
        provider: who sells the model, for its price.
        prices: your own prices by model.
    """

    def __init__(
        self,
        model: str,
        *,
        client: Callable[[], OpenAI] | None = None,
        column: str = "prompt",
        system: str | None = None,
        params: Mapping[str, Any] | None = None,
        concurrency: int = 8,
        provider: str | None = None,
        prices: Mapping[str, ModelPrice] | None = None,
    ) -> None:
        if concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; give at least 1")
        self._settings = {
            "client": client,
            "column": column,
            "system": system,
            "params": dict(params or {}),
            "concurrency": concurrency,
            "provider": provider,
            "prices": dict(prices or {}),
        }
        self._model = model
        self._make_client = client
        self._column = column
        self._system = system
        self._params = dict(params or {})
        self._concurrency = concurrency
        self._provider = provider
        self._prices = PriceBook(prices)
        self._client: OpenAI | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answer rows, in their order; raises only for what would fail every row alike."""
        if not rows:
            return []
        client = self._connected()
        with ThreadPoolExecutor(min(self._concurrency, len(rows))) as pool:
            return list(pool.map(lambda row: self._ask(client, row), rows))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as settings; a client belongs to the process that made it."""
        return _rebuild, (self._model, self._settings)

    def _connected(self) -> OpenAI:
        if self._client is None:
            if self._make_client is not None:
                self._client = self._make_client()
            else:
                from openai import OpenAI

                self._client = OpenAI()
        return self._client

    def _ask(self, client: OpenAI, row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = client.chat.completions.create(
                model=self._model, messages=self._messages(row), **self._params
            )
            usage = Usage.from_openai(json.loads(answer.usage.to_json()) if answer.usage else {})
            text = answer.choices[0].message.content
        except Exception as error:  # noqa: BLE001 - it is the row's own result
            return _filled(row, error=f"{type(error).__name__}: {error}")
        return _filled(row, result=text, usage=usage, cost=self._cost(usage))

    def _messages(self, row: Mapping[str, Any]) -> Any:
        if "messages" in row:
            return row["messages"]
        if not isinstance(row.get(self._column), str):
            raise ConfigurationError(
                f"the row has no text under {self._column!r} and no `messages`"
            )
        system = [{"role": "system", "content": self._system}] if self._system else []
        return [*system, {"role": "user", "content": row[self._column]}]

    def _cost(self, usage: Usage) -> str | None:
        try:
            return str(self._prices.cost(usage, self._model, provider=self._provider))
        except UnpricedError:
            return None


def _filled(
    row: Mapping[str, Any],
    *,
    result: str | None = None,
    error: str | None = None,
    usage: Usage | None = None,
    cost: str | None = None,
) -> dict[str, Any]:
    counts = (usage or Usage()).as_dict()
    return {**row, "result": result, "error": error, "usage": counts, "cost": cost}


def _rebuild(model: str, settings: dict[str, Any]) -> AskRows:
    return AskRows(model, **settings)
