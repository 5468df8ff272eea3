"""Requests of a batch: read, checked, and split into shards that fit a provider's limits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm_optimizers.arguments import keep, optional, whole
from llm_optimizers.batching.provider.prepared import PreparedRequest
from llm_optimizers.batching.queue.job import dump_json
from llm_optimizers.connections.paths import file_path, opened_to_read
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.text.json_lines import json_lines, opened_lines
from llm_optimizers.types import ChatRequest

__all__ = [
    "BatchRequest",
    "ShardLimits",
    "estimate_tokens",
    "form_shards",
    "read_batch",
    "read_jsonl",
]

CHAT = "/v1/chat/completions"
_LINE_OVERHEAD = 200
"""Bytes of a line in addition to its body: id, method, url, quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """One request: the caller's `id`, the endpoint and the body as JSON text.

    `source` and `context` are those of a `PreparedRequest`, the context as text. A request with an
    `answer` (JSON text) is not sent.
    """

    id: str
    body: str
    endpoint: str = CHAT
    model: str = ""
    tokens: int = 0
    source: str | None = None
    context: str | None = None
    answer: str | None = None

    @property
    def asked(self) -> tuple[str, str, str]:
        """What a request with the same id must have in common with this one."""
        return self.id, self.endpoint, self.source or self.body

    @property
    def size(self) -> int:
        """An upper bound on the bytes of its line in the provider's file."""
        return len(self.body.encode()) + _LINE_OVERHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLimits:
    """The limits of one provider batch; `max_tokens` limits the estimated input tokens."""

    max_requests: int
    max_bytes: int
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        keep(self, "max_requests", whole("max_requests", self.max_requests, least=1))
        keep(self, "max_bytes", whole("max_bytes", self.max_bytes, least=1))
        keep(self, "max_tokens", optional(whole, "max_tokens", self.max_tokens, least=1))


def estimate_tokens(body: Mapping[str, Any]) -> int:
    """Estimate input tokens as one per four bytes of JSON."""
    return len(json.dumps(body, ensure_ascii=False).encode()) // 4 + 1


def read_batch(
    requests: Iterable[Mapping[str, Any] | ChatRequest | PreparedRequest],
    count_tokens: Callable[[Mapping[str, Any]], int] = estimate_tokens,
) -> list[BatchRequest]:
    """Read bodies, `ChatRequest`s, `PreparedRequest`s, or lines of OpenAI's batch format.

    The id of a body without one is its position, from 1.

    Raises:
        ConfigurationError: some requests are invalid; names each with its error.
    """
    return _checked(
        (
            (number, request.to_openai() if isinstance(request, ChatRequest) else request)
            for number, request in enumerate(requests, 1)
        ),
        count_tokens,
        "request",
    )


def read_jsonl(
    path: str | os.PathLike[str], count_tokens: Callable[[Mapping[str, Any]], int] = estimate_tokens
) -> list[BatchRequest]:
    """Read a file with one request per line; blank lines are skipped.

    Raises:
        ConfigurationError: some lines are invalid; names each by number with its error.
    """
    return _checked(_lines(file_path("path", path)), count_tokens, "line")


def form_shards(
    requests: Sequence[BatchRequest], limits: ShardLimits
) -> Iterator[list[BatchRequest]]:
    """Split requests into shards of one endpoint and one model each, within the limits.

    Providers refuse files with several models.
    """
    kinds: dict[tuple[str, str], list[BatchRequest]] = {}
    for request in requests:
        kinds.setdefault((request.endpoint, request.model), []).append(request)
    for kind in kinds.values():
        shard: list[BatchRequest] = []
        size = tokens = 0
        for request in kind:
            full = len(shard) >= limits.max_requests or size + request.size > limits.max_bytes
            heavy = limits.max_tokens is not None and tokens + request.tokens > limits.max_tokens
            if shard and (full or heavy):
                yield shard
                shard, size, tokens = [], 0, 0
            shard.append(request)
            size += request.size
            tokens += request.tokens
        yield shard


def _lines(path: Path) -> Iterator[tuple[int, object]]:
    with opened_to_read(path), opened_lines(path) as lines:
        for line in json_lines(lines):
            yield line.number, line.value if line.reason is None else ValueError(line.reason)


def _checked(
    numbered: Iterable[tuple[int, object]],
    count_tokens: Callable[[Mapping[str, Any]], int],
    what: str,
) -> list[BatchRequest]:
    requests: list[BatchRequest] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, raw in numbered:
        try:
            request = _request(number, raw, count_tokens)
        except ConfigurationError as error:
            faults.append(f"{what} {number}: {error}")
            continue
        if request.id in seen:
            faults.append(
                f"{what} {number}: id {request.id!r} is already used by {what} {seen[request.id]}"
            )
        seen.setdefault(request.id, number)
        requests.append(request)
    if faults:
        more = f"\n… and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise ConfigurationError("\n".join(faults[:20]) + more)
    if not requests:
        raise ConfigurationError("there are no requests; give at least one")
    return requests


def _request(
    number: int, raw: object, count_tokens: Callable[[Mapping[str, Any]], int]
) -> BatchRequest:
    if isinstance(raw, PreparedRequest):
        return _prepared(number, raw, count_tokens)
    if isinstance(raw, ValueError):
        raise ConfigurationError(f"it is {raw}")
    if not isinstance(raw, Mapping):
        raise ConfigurationError("it must be a JSON object")
    body = raw.get("body", raw)
    if not isinstance(body, Mapping):
        raise ConfigurationError("its `body` must be an object")
    endpoint = str(raw.get("url") or CHAT) if "body" in raw else CHAT
    if endpoint == CHAT:
        ChatRequest.from_openai(body)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise ConfigurationError("it has no `model`")
    if body.get("stream"):
        raise ConfigurationError("a batch cannot stream; leave `stream` out")
    text = dump_json(body, "body")
    return BatchRequest(
        id=str(raw["custom_id"]) if "custom_id" in raw and "body" in raw else str(number),
        body=text,
        endpoint=endpoint,
        model=body["model"],
        tokens=count_tokens(body),
    )


def _prepared(
    number: int, prepared: PreparedRequest, count_tokens: Callable[[Mapping[str, Any]], int]
) -> BatchRequest:
    context = prepared.context.dump()
    if prepared.answer is not None:
        answer = dump_json(prepared.answer, "answer")
        known = BatchRequest(id=str(number), body="{}", answer=answer)
    else:
        known = _request(number, prepared.body, count_tokens)
    return replace(known, source=prepared.source, context=context)
