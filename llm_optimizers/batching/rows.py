"""A million prompts: one picklable callable, rows in, rows out, each with its result or its error.

It fits wherever a framework maps a function over partitions. Each process makes one client,
however often the callable is sent to it:

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

`ProviderBatch` costs half as much and needs no cluster, where an answer within a day will do.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, Any

from llm_optimizers.costs import ModelPrice, PriceBook, Usage
from llm_optimizers.errors import ConfigurationError, ItemError, UnpricedError

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

__all__ = ["AskRows"]

_ARRIVED: dict[tuple[int, str], AskRows] = {}
"""By process and identity: a pool sends its function with every chunk, and clients are costly."""
_ARRIVING = threading.Lock()
_KEPT = 16


@dataclass(eq=False, repr=False)
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
        if self.concurrency < 1:
            raise ConfigurationError(f"concurrency is {self.concurrency}; give at least 1")
        self._identity = uuid.uuid4().hex
        self._prices = PriceBook(self.prices)
        self._client: OpenAI | None = None
        self._connected_in = 0
        self._connecting = threading.Lock()

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answer rows, in their order; raises only for what would fail every row alike."""
        if not rows:
            return []
        client = self._connected()
        with ThreadPoolExecutor(min(self.concurrency, len(rows))) as pool:
            return list(pool.map(lambda row: self._ask(client, row), rows))

    def close(self) -> None:
        """Close this process's client; the next rows are asked through a new one."""
        with self._connecting:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as settings; a client belongs to the process that made it."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)}
        return _arrive, (self._identity, settings)

    def _connected(self) -> OpenAI:
        with self._connecting:
            # A process that was forked must not speak on its parent's connections.
            if self._client is None or self._connected_in != os.getpid():
                # The SDK stumbles over modules that the price list is loading in another thread.
                self._cost(Usage())
                if self.client is not None:
                    self._client = self.client()
                else:
                    from openai import OpenAI

                    self._client = OpenAI()
                self._connected_in = os.getpid()
            return self._client

    def _ask(self, client: OpenAI, row: Mapping[str, Any]) -> dict[str, Any]:
        usage: Usage | None = None
        try:
            answer = client.chat.completions.create(
                model=self.model, messages=self._messages(row), **(self.params or {})
            )
            usage = Usage.from_openai(json.loads(answer.usage.to_json()) if answer.usage else {})
            text = _text(answer)
        except Exception as error:  # noqa: BLE001 - it is the row's own result
            cost = None if usage is None else self._cost(usage)
            return _filled(row, error=f"{type(error).__name__}: {error}", usage=usage, cost=cost)
        return _filled(row, result=text, usage=usage, cost=self._cost(usage))

    def _messages(self, row: Mapping[str, Any]) -> Any:
        if "messages" in row:
            return row["messages"]
        if not isinstance(row.get(self.column), str):
            raise ConfigurationError(f"the row has no text under {self.column!r} and no `messages`")
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": row[self.column]}]

    def _cost(self, usage: Usage) -> str | None:
        try:
            return str(self._prices.cost(usage, self.model, provider=self.provider))
        except UnpricedError:
            return None


def _text(answer: ChatCompletion) -> str:
    """The answer's text; one without any is the row's error, though it is billed."""
    if not answer.choices:
        raise ItemError("the answer is empty")
    choice = answer.choices[0]
    if choice.message.content is None:
        said = choice.message.refusal or f"finish reason {choice.finish_reason}"
        raise ItemError(f"the answer has no text: {said}")
    return choice.message.content


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


def _arrive(identity: str, settings: dict[str, Any]) -> AskRows:
    """The process's own copy, made when it first arrives; the oldest of many are let go."""
    place = os.getpid(), identity
    with _ARRIVING:
        if place not in _ARRIVED:
            while len(_ARRIVED) >= _KEPT:
                del _ARRIVED[next(iter(_ARRIVED))]
            copy = _ARRIVED[place] = AskRows(**settings)
            copy._identity = identity
        return _ARRIVED[place]
